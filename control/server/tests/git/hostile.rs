//! What hostile clients try.

use super::support::{World, text};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Stores an object as it is, which git itself would refuse to make.
fn object(dir: &Path, kind: &str, content: &[u8]) -> String {
    let mut git = Command::new("git");
    git.args(["hash-object", "-w", "--literally", "--stdin", "-t", kind]).current_dir(dir);
    let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    git.stdin.take().unwrap().write_all(content).unwrap();
    let output = git.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A commit of a tree with one entry.
fn commit(dir: &Path, mode: &str, name: &str, entry: &str) -> String {
    let mut tree = format!("{mode} {name}\0").into_bytes();
    tree.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&entry[at..at + 2], 16).unwrap()));
    let tree = object(dir, "tree", &tree);
    let text = format!("tree {tree}\nauthor a <a@b.c> 0 +0000\ncommitter a <a@b.c> 0 +0000\n\nhostile\n");
    object(dir, "commit", text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_objects_are_refused_and_nothing_is_stored() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    let blob = object(&dir, "blob", b"[core]\n\tfsmonitor = id\n");
    let inner = {
        let mut tree = b"100644 config\0".to_vec();
        tree.extend((0..40).step_by(2).map(|at| u8::from_str_radix(&blob[at..at + 2], 16).unwrap()));
        object(&dir, "tree", &tree)
    };
    for (mode, name, entry) in [
        ("40000", ".git", &inner),
        ("40000", ".GIT", &inner),
        ("40000", "..", &inner),
        ("40000", "git~1", &inner),
        ("120000", ".gitmodules", &blob),
        ("100644", "a/b", &blob),
    ] {
        let commit = commit(&dir, mode, name, entry);
        let target = format!("{commit}:refs/heads/main");
        let pushed = world.run("alice", &dir, &["push", "caution", &target]).await;
        assert!(!pushed.status.success(), "{mode} {name}: {}", text(&pushed));
    }
    // A commit whose tree was never sent.
    let text_of = "tree 0123456789012345678901234567890123456789\nauthor a <a@b.c> 0 +0000\n\
                   committer a <a@b.c> 0 +0000\n\nno tree\n";
    let commit = object(&dir, "commit", text_of.as_bytes());
    let pushed = world.run("alice", &dir, &["push", "caution", &format!("{commit}:refs/heads/main")]).await;
    assert!(!pushed.status.success(), "{}", text(&pushed));
    assert_eq!(text(&world.run("alice", &dir, &["ls-remote", "caution"]).await), "");
    assert_eq!(world.jobs().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_branches_and_tags_are_taken_up_to_their_limit_and_the_deploy_branch_stays() {
    let world = World::new().await;
    let dir = world.checkout("one").await;
    for name in ["refs/evil", "refs/replace/0123456789012345678901234567890123456789", "refs/notes/x"] {
        let pushed = world.run("alice", &dir, &["push", "caution", &format!("main:{name}")]).await;
        assert!(text(&pushed).contains("is neither a branch nor a tag."), "{name}: {}", text(&pushed));
    }
    let head = text(&world.run("alice", &dir, &["rev-parse", "HEAD"]).await);
    let refs: String = (0..1001).map(|n| format!("create refs/tags/t{n} {}\n", head.trim())).collect();
    let mut update = Command::new("git");
    update.args(["update-ref", "--stdin"]).current_dir(&dir).stdin(Stdio::piped());
    let mut update = update.spawn().unwrap();
    update.stdin.take().unwrap().write_all(refs.as_bytes()).unwrap();
    assert!(update.wait().unwrap().success());
    let pushed = world.run("alice", &dir, &["push", "-q", "caution", "--tags"]).await;
    assert!(text(&pushed).contains("1001 branches and tags, more than 1000"), "{}", text(&pushed));

    let failing = world.fail("It does not matter.", "none");
    tokio::join!(world.run("alice", &dir, &["push", "-q", "caution", "main"]), failing);
    let removed = world.run("alice", &dir, &["push", "caution", ":main"]).await;
    assert!(!removed.status.success(), "{}", text(&removed));
    let listed = text(&world.run("alice", &dir, &["ls-remote", "caution"]).await);
    assert!(listed.contains("refs/heads/main"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_but_gits_two_is_run() {
    let world = World::new().await;
    let app = world.app.to_string();
    for command in [
        "id".to_owned(),
        format!("\"git-upload-archive '{app}.git'\""),
        format!("\"git-upload-pack '../../etc/{app}.git'\""),
        format!("\"git-receive-pack '{app}.git'; touch owned\""),
        "-s sftp".to_owned(),
        "-W 127.0.0.1:22".to_owned(),
    ] {
        let output = world.ssh_command("alice", &command).await;
        assert!(!output.status.success(), "{command}: {}", text(&output));
    }
    let shell = world.ssh_command("alice", "").await;
    assert!(text(&shell).contains("There is no shell here"), "{}", text(&shell));
    assert!(!world.path("data/git/owned").exists());
}
