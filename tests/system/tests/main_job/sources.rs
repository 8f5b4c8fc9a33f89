//! `caution verify` with source from elsewhere: real git over https and ssh.

use super::verify::with_manifest;
use super::{HELLO, Running, check};
use caution_measure::Sha256Digest;
use caution_system_tests::command::{Ran, finish};
use caution_system_tests::git_server::GitServer;
use caution_system_tests::repository::Repository;
use std::fs;
use std::path::Path;
use std::process::Command;

/// One honest enclave, and servers that have its source.
struct Case {
    running: Running,
    server: GitServer,
    /// A clone whose `origin` is what the servers serve.
    clone: Repository,
}

impl Case {
    fn new() -> Self {
        Self::of(Running::honest(), GitServer::start())
    }

    fn of(running: Running, server: GitServer) -> Self {
        let clone = HELLO.repository.clone_of();
        let bare = server.folder().join("app.git");
        clone.git(&["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        clone.git(&["remote", "set-url", "origin", bare.to_str().unwrap()]);
        Self { running, server, clone }
    }

    /// `caution verify` of the enclave, run in `dir` by the user who knows the servers.
    fn verify(&self, dir: &Path, more: &[&str]) -> Ran {
        let url = self.running.attestation_url();
        let mut command = self.running.machine.command(dir, ["verify", "--json", "--attestation-url", &url]);
        self.server.lend(&mut command);
        finish(&command.args(more).output().unwrap())
    }

    /// What the source line of a verdict says, of a run that ends with `code`.
    #[track_caller]
    fn source(&self, dir: &Path, more: &[&str], code: i32) -> String {
        check(&self.verify(dir, more).expect(code).json(), "source").to_string()
    }

    fn push(&self, what: &str) {
        self.clone.git(&["push", "-q", "--force", "origin", what]);
    }

    fn served_git(&self, arguments: &[&str]) {
        let bare = self.server.folder().join("app.git");
        let status = Command::new("git").arg("-C").arg(bare).args(arguments).status();
        assert!(status.is_ok_and(|status| status.success()), "git {arguments:?}");
    }
}

#[track_caller]
fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
}

#[test]
fn source_from_git_repositories_elsewhere() {
    let case = Case::new();
    let elsewhere = tempfile::tempdir().unwrap();
    https(&case, elsewhere.path());
    private(&case, elsewhere.path());
    ssh(&case, elsewhere.path());
    named_by_the_enclave(&case, elsewhere.path());
    refused(&case, elsewhere.path());
    moved_branch(&case, elsewhere.path());
    too_large(&case, elsewhere.path());
    rewritten_history(&case, elsewhere.path());
}

fn https(case: &Case, elsewhere: &Path) {
    let (url, head) = (case.server.https_url("git", "app.git"), HELLO.repository.head());
    let verdict = case.verify(elsewhere, &["--app-source-url", &url]).expect(0).json();
    assert_eq!((&verdict["commit"], &verdict["saved"]), (&head.into(), &serde_json::Value::Null));
    holds(&check(&verdict, "source").to_string(), &[&format!("from {url}")]);
    assert_eq!(fs::read_dir(elsewhere).unwrap().count(), 0);

    // In a checkout of that source the result is kept, and nothing else there changes.
    let here = HELLO.repository.clone_of();
    let verdict = case.verify(&here.root, &["--app-source-url", &url, "--commit", "main"]).expect(0).json();
    assert_eq!(verdict["saved"], ".caution/trusted_hashes.json");
    assert_eq!(here.git(&["for-each-ref"]), HELLO.repository.clone_of().git(&["for-each-ref"]));
}

fn private(case: &Case, elsewhere: &Path) {
    let url = case.server.https_url("private", "app.git");
    let said = case.source(elsewhere, &["--app-source-url", &url], 16);
    holds(&said, &["wants a name and password", "git ls-remote"]);
    case.server
        .configure("[credential]\n\thelper = \"!f() { echo username=reader; echo password=secret; }; f\"\n");
    case.source(elsewhere, &["--app-source-url", &url], 0);
    case.server.configure("");
}

fn ssh(case: &Case, elsewhere: &Path) {
    let url = case.server.ssh_url("app.git");
    holds(&case.source(elsewhere, &["--app-source-url", &url, "--ref", "main"], 0), &["what main is now"]);
    let known = fs::read(case.server.known_hosts()).unwrap();
    fs::write(case.server.known_hosts(), "").unwrap();
    let said = case.source(elsewhere, &["--app-source-url", &url], 16);
    holds(&said, &["cannot show that it is that server", "fingerprint"]);
    fs::write(case.server.known_hosts(), known).unwrap();
}

/// The address in the manifest is one of the user's configuration here, as of a mirror.
fn named_by_the_enclave(case: &Case, elsewhere: &Path) {
    let said = case.source(elsewhere, &[], 16);
    holds(&said, &["no address that the enclave names", "https://git.example.org/hello.git"]);
    case.server.configure(&format!(
        "[url \"{}\"]\n\tinsteadOf = https://git.example.org/hello.git\n",
        case.server.https_url("git", "app.git")
    ));
    holds(&case.source(elsewhere, &[], 0), &["only the enclave named", "review what is there"]);
    case.server.configure("");
}

fn refused(case: &Case, elsewhere: &Path) {
    for (url, words) in [
        ("http://127.0.0.1/app.git", "use https:// or ssh://"),
        ("git://127.0.0.1/app.git", "use https:// or ssh://"),
        ("ext::sh", "names a program to run"),
        ("file:///srv/app.git", "it is on this machine"),
        ("https://me:secret@127.0.0.1/app.git", "credential helper"),
    ] {
        let error = case.verify(elsewhere, &["--app-source-url", url]).expect(2).stdout;
        holds(&error, &[words]);
    }
    let absent = case.server.https_url("git", "none.git");
    let said = case.source(elsewhere, &["--app-source-url", &absent], 16);
    holds(&said, &["There is no git repository at"]);

    // What https is turned into by somebody's configuration is held to the same rule.
    let bare = case.server.folder();
    case.server.configure(&format!("[url \"file://{}/\"]\n\tinsteadOf = https://mirror/\n", bare.display()));
    let said = case.source(elsewhere, &["--app-source-url", "https://mirror/app.git"], 16);
    holds(&said, &["not allowed"]);
    case.server.configure("");
}

fn moved_branch(case: &Case, elsewhere: &Path) {
    let url = case.server.https_url("git", "app.git");
    case.clone.edit("README.md", "\n", "\n\n");
    case.push("main");
    let from = ["--app-source-url", &url];
    case.source(elsewhere, &from, 0);
    let said = case.source(elsewhere, &[&from[..], &["--ref", "main"]].concat(), 0);
    holds(&said, &["1 commit behind main"]);
    let said = case.source(elsewhere, &[&from[..], &["--commit", "main"]].concat(), 13);
    holds(&said, &["another commit", &case.clone.head()]);
    let said = case.source(elsewhere, &[&from[..], &["--ref", "gone"]].concat(), 13);
    holds(&said, &["no branch or tag `gone`"]);
    // The same question in a checkout, of what it knows.
    holds(&case.source(&case.clone.root, &["--ref", "main"], 0), &["1 commit behind main"]);
    // A server that gives no commits by their id has it under a name.
    let old = case.server.https_url("old", "app.git");
    case.source(elsewhere, &["--app-source-url", &old], 0);
}

fn too_large(case: &Case, elsewhere: &Path) {
    let url = case.server.ssh_url("app.git");
    case.clone.git(&["checkout", "-q", "-b", "large"]);
    let noise: Vec<u8> =
        (0u32..1 << 20).flat_map(|n| n.wrapping_mul(0x9e37_79b9).rotate_left(n).to_le_bytes()).collect();
    fs::write(case.clone.root.join("noise"), noise).unwrap();
    case.clone.commit("noise");
    case.push("large");
    case.clone.git(&["checkout", "-q", "main"]);
    let from = ["--app-source-url", &url, "--ref", "large"];
    let said = case.source(elsewhere, &[&from[..], &["--max-source", "1"]].concat(), 16);
    holds(&said, &["sends more than 1048576 bytes", "git clone"]);
    case.source(elsewhere, &from, 0);
    case.served_git(&["branch", "-q", "-D", "large"]);
}

fn rewritten_history(case: &Case, elsewhere: &Path) {
    let url = case.server.https_url("git", "app.git");
    case.clone.git(&["checkout", "-q", "--orphan", "rewritten"]);
    case.clone.commit("another first");
    case.push("rewritten:main");
    let said = case.source(elsewhere, &["--app-source-url", &url, "--ref", "main"], 13);
    holds(&said, &["is not in the history of main", &HELLO.repository.head()]);
    case.served_git(&["reflog", "expire", "--expire=now", "--all"]);
    case.served_git(&["gc", "-q", "--prune=now"]);
    let said = case.source(elsewhere, &["--app-source-url", &url], 13);
    holds(&said, &[&format!("Commit {} is not in", HELLO.repository.head())]);
}

#[test]
fn source_from_archives() {
    let case = Case::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let archive = |name: &str, more: &[&str]| {
        let path = case.server.folder().join(name);
        let output = format!("--output={}", path.display());
        case.clone.git(&[&["archive", &output], more, &["HEAD"]].concat());
        path.to_str().unwrap().to_owned()
    };
    let head = HELLO.repository.head();
    let honest = archive("app.tar.gz", &["--prefix=app-1.0/"]);
    let sha256 = Sha256Digest::of(&fs::read(&honest).unwrap()).to_string();

    let verdict = case.verify(elsewhere.path(), &["--from-tarball", &honest]).expect(0).json();
    let said = check(&verdict, "source").to_string();
    holds(&said, &[&sha256, &head[..7], "the id itself was not checked"]);
    assert_eq!((&verdict["commit"], &verdict["saved"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    // Over https, from one who has the authority that git was told of.
    let url = case.server.https_url("files", "app.tar.gz");
    let said = case.source(elsewhere.path(), &["--app-source-url", &url, "--commit", &head], 0);
    holds(&said, &[&url, &sha256]);
    let said = case.source(elsewhere.path(), &["--app-source-url", &url, "--max-source", "1"], 0);
    holds(&said, &[&sha256]);

    // The same files without the name of a commit.
    let tree = case.server.folder().join("tree.tar");
    let output = format!("--output={}", tree.display());
    case.clone.git(&["archive", &output, "HEAD^{tree}"]);
    let said = case.source(elsewhere.path(), &["--from-tarball", tree.to_str().unwrap()], 0);
    holds(&said, &["names no commit"]);

    // One changed byte, in a plain archive: another greeting is built.
    let mut bytes = fs::read(&tree).unwrap();
    let at = bytes.windows(5).position(|w| w == b"Hello").expect("the greeting");
    bytes[at + 1] = b'a';
    let changed = case.server.folder().join("changed.tar");
    fs::write(&changed, bytes).unwrap();
    let ran = case.verify(elsewhere.path(), &["--from-tarball", changed.to_str().unwrap()]).expect(12);
    assert_eq!(ran.json()["failure"], "measurement_mismatch");

    // Of another commit, as it says itself or as is expected.
    case.clone.edit("README.md", "\n", "\n\n");
    let later = archive("later.tar", &[]);
    let said = case.source(elsewhere.path(), &["--from-tarball", &later], 13);
    holds(&said, &["do not mean the same commit", &head, &case.clone.head()]);
    let other = case.clone.head();
    case.source(elsewhere.path(), &["--from-tarball", &honest, "--commit", &other], 13);
    case.verify(elsewhere.path(), &["--from-tarball", &honest, "--commit", "main"]).expect(2);
    case.verify(elsewhere.path(), &["--from-tarball", &honest, "--ref", "main"]).expect(2);
}

/// The manifest names more addresses than the commit, which is found out once the source is there.
#[test]
fn addresses_of_the_enclave_are_tried_in_order() {
    let (hello, server) = (&*HELLO, GitServer::start());
    let urls = [
        "http://127.0.0.1/app.git".to_owned(),
        server.https_url("git", "none.git"),
        server.https_url("files", "app.tar.gz"),
        server.https_url("git", "app.git"),
    ];
    fs::write(server.folder().join("app.tar.gz"), "no archive").unwrap();
    let manifest = with_manifest(&hello.manifest, |m| m.app_source.as_mut().unwrap().urls = urls.to_vec());
    let running = Running::start(&hello.repository.root, &hello.eif, manifest.path(), &[]);
    let case = Case::of(running, server);
    let elsewhere = tempfile::tempdir().unwrap();
    let said = case.source(elsewhere.path(), &[], 13);
    holds(&said, &["disagrees with commit", "app_source.urls"]);

    fs::remove_dir_all(case.server.folder().join("app.git")).unwrap();
    let said = case.source(elsewhere.path(), &[], 16);
    holds(
        &said,
        &["no address that the enclave names", "nothing on that way shows who answers", "is no tar archive"],
    );
    for url in &urls[1..] {
        holds(&said, &[url.rsplit('/').next().unwrap()]);
    }
}
