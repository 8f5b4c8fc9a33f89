use super::*;
use crate::testing::Scratch;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

fn export(scratch: &Scratch) -> Result<(PathBuf, usize), GitError> {
    let repository = Repository::discover(scratch.path())?;
    let into = scratch.outside("export");
    let count = repository.export(&repository.head()?, &into)?;
    Ok((into, count))
}

#[test]
fn commit_ids_are_full_lower_case_hex() {
    for good in ["0".repeat(40), "af09".repeat(16)] {
        assert_eq!(good.parse::<CommitId>().map(|id| id.to_string()).ok(), Some(good));
    }
    for bad in ["", "HEAD", "abc", &"A".repeat(40), &"g".repeat(40), &"0".repeat(41)] {
        assert!(matches!(bad.parse::<CommitId>(), Err(GitError::CommitId(_))), "{bad}");
    }
}

#[test]
fn attributes_and_local_files_do_not_change_an_export() {
    let scratch = Scratch::new();
    scratch.write(".gitattributes", "secret export-ignore\n*.txt text eol=crlf\nid export-subst ident\n");
    scratch.write("secret", "kept");
    scratch.write("lines.txt", "one\ntwo\n");
    scratch.write("id", "$Format:%H$ $Id$");
    scratch.write(".gitignore", "ignored\n");
    scratch.write("ignored", "not in the commit");
    scratch.commit();
    scratch.write("untracked", "not in the commit");
    scratch.write("id", "changed after the commit");

    let (into, count) = export(&scratch).expect("exports");
    assert_eq!(count, 5);
    let read = |name| fs::read_to_string(into.join(name)).expect("is there");
    assert_eq!(read("secret"), "kept");
    assert_eq!(read("lines.txt"), "one\ntwo\n");
    assert_eq!(read("id"), "$Format:%H$ $Id$");
    assert!(!into.join("ignored").exists() && !into.join("untracked").exists());
}

#[test]
fn modes_and_times_are_fixed() {
    let scratch = Scratch::new();
    scratch.write("dir/plain", "x");
    scratch.write("dir/run", "x");
    fs::set_permissions(scratch.path().join("dir/run"), fs::Permissions::from_mode(0o777)).expect("chmod");
    std::os::unix::fs::symlink("../../../etc/passwd", scratch.path().join("escape")).expect("symlink");
    scratch.commit();

    let (into, _) = export(&scratch).expect("exports");
    for (name, mode) in [("", 0o755), ("dir", 0o755), ("dir/plain", 0o644), ("dir/run", 0o755)] {
        let meta = fs::symlink_metadata(into.join(name)).expect("is there");
        assert_eq!((meta.mode() & 0o7777, meta.mtime()), (mode, 315_619_200), "{name}");
    }
    let link = into.join("escape");
    assert_eq!(fs::read_link(&link).expect("is a link").as_os_str(), "../../../etc/passwd");
    assert_eq!(fs::symlink_metadata(&link).expect("is there").mtime(), 315_619_200);
}

#[test]
fn names_that_are_not_utf8_keep_their_bytes() {
    let scratch = Scratch::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9 \"quoted\"\nline");
    fs::write(scratch.path().join(name), "x").expect("writes");
    scratch.commit();
    let (into, _) = export(&scratch).expect("exports");
    assert_eq!(fs::read(into.join(name)).expect("is there"), b"x");
}

#[test]
fn a_large_tree_exports_whole() {
    let scratch = Scratch::new();
    for folder in 0..40 {
        for file in 0..50 {
            scratch.write(&format!("d{folder}/e{file}/f"), &format!("{folder}.{file}"));
        }
    }
    scratch.write("big", &"0123456789abcdef".repeat(100_000));
    scratch.commit();
    let (into, count) = export(&scratch).expect("exports");
    assert_eq!(count, 2001);
    assert_eq!(fs::read_to_string(into.join("d39/e49/f")).expect("is there"), "39.49");
    assert_eq!(fs::metadata(into.join("big")).expect("is there").len(), 1_600_000);
}

#[test]
fn submodules_and_lfs_pointers_are_refused_by_name() {
    let scratch = Scratch::new();
    scratch.write("a", "x");
    scratch.commit();
    let head = Repository::discover(scratch.path()).and_then(|r| r.head()).expect("has a head");
    scratch.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{head},vendor/lib")]);
    scratch.git(&["commit", "-qm", "submodule"]);
    match export(&scratch) {
        Err(GitError::Submodules { paths, .. }) => assert_eq!(paths, ["vendor/lib"]),
        other => panic!("{other:?}"),
    }

    let scratch = Scratch::new();
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "ab".repeat(32));
    scratch.write("model.bin", &pointer);
    scratch.write("README", "version https://git-lfs.github.com/spec/v1 is a URL");
    scratch.commit();
    match export(&scratch) {
        Err(error @ GitError::LfsPointers { .. }) => {
            assert!(error.to_string().contains("the Git LFS pointer `model.bin`"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// Trees that `git add` would never make, made by hand.
#[test]
fn hostile_trees_are_refused_and_nothing_is_written_through_links() {
    for (entries, why) in [
        (vec![("100644", ".git", "x")], ".git"),
        (vec![("100644", "..", "x")], ".."),
        (vec![("120000", "link", "/tmp"), ("100644", "link", "x")], "twice"),
        (vec![("100644", "a", "x"), ("040000", "a", "sub")], "both"),
        (vec![("120000", "link", "")], "target"),
        (vec![("120000", ".dockerignore", "/dev/zero")], "an engine would read"),
        (vec![("120000", "Containerfile.containerignore", "/dev/zero")], "an engine would read"),
    ] {
        let scratch = Scratch::new();
        scratch.write("seed", "x");
        scratch.commit();
        let commit = scratch.commit_tree(&entries);
        let repository = Repository::discover(scratch.path()).expect("is a repository");
        let into = scratch.outside("export");
        match repository.export(&commit, &into) {
            Err(GitError::BadPath { why: said, .. }) => assert!(said.contains(why), "{said}"),
            other => panic!("{entries:?}: {other:?}"),
        }
        assert!(!scratch.outside("x").exists());
    }
}

#[test]
fn dirty_names_what_differs_and_leaves_our_own_folders_out() {
    let scratch = Scratch::new();
    scratch.write("a", "1");
    scratch.write("b", "1");
    scratch.write(".gitignore", "ignored\n");
    scratch.commit();
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    assert_eq!(repository.dirty().expect("status"), Vec::<String>::new());

    scratch.write("a", "2");
    scratch.write("staged", "1");
    scratch.git(&["add", "staged"]);
    scratch.write("new\u{1b}name", "1");
    scratch.write("ignored", "1");
    scratch.write("eif-stage/boot.json", "1");
    scratch.write(".caution/deployment.json", "1");
    assert_eq!(repository.dirty().expect("status"), ["a", "staged", "new\\u{1b}name"]);
}

#[test]
fn commits_are_found_named_and_described() {
    let scratch = Scratch::new();
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    assert!(matches!(repository.head(), Err(GitError::NoCommits(_))));
    scratch.write("a", "hello");
    scratch.git(&["add", "."]);
    scratch.git(&["commit", "-qm", "greet \u{1b}[31mby name\n\nbody"]);
    scratch.git(&["tag", "-a", "-m", "t", "v1"]);

    fs::create_dir(scratch.path().join("sub")).expect("mkdir");
    let repository = Repository::discover(&scratch.path().join("sub")).expect("is a repository");
    assert_eq!(repository.root(), scratch.path().canonicalize().expect("exists"));
    let head = repository.head().expect("has a head");
    assert_eq!(repository.resolve("v1").expect("is a tag"), head);
    assert_eq!(repository.resolve(head.short()).expect("is an id"), head);
    assert_eq!(repository.subject(&head).expect("has one"), "greet \\u{1b}[31mby name");
    assert_eq!(repository.branch().expect("asks").as_deref(), Some("main"));
    assert_eq!(repository.tree_id(&head).expect("has one").len(), 40);
    assert!(repository.contains(&head).expect("asks"));
    let absent: CommitId = "1".repeat(40).parse().expect("is an id");
    assert!(!repository.contains(&absent).expect("asks"));
    for unknown in ["no-such-branch", "--help", "a b", &"1".repeat(40)] {
        let error = repository.resolve(unknown).expect_err("is unknown");
        assert!(matches!(error, GitError::UnknownRevision { shallow: false, .. }), "{unknown}: {error:?}");
    }
    let into = scratch.outside("export");
    assert!(matches!(repository.export(&absent, &into), Err(GitError::UnknownRevision { .. })));

    scratch.git(&["checkout", "-q", "--detach"]);
    assert_eq!(repository.branch().expect("asks"), None);
}

#[test]
fn single_files_are_read_from_the_commit() {
    let scratch = Scratch::new();
    scratch.write("dir/file", "committed");
    scratch.write("*", "star");
    std::os::unix::fs::symlink("dir/file", scratch.path().join("link")).expect("symlink");
    scratch.commit();
    scratch.write("dir/file", "changed");
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    let head = repository.head().expect("has a head");
    let read = |path, max| repository.read_file(&head, path, max);
    assert_eq!(read("dir/file", 9).expect("reads").as_deref(), Some(&b"committed"[..]));
    assert_eq!(read("*", 9).expect("reads").as_deref(), Some(&b"star"[..]));
    assert_eq!(read("absent", 9).expect("reads"), None);
    assert!(matches!(read("dir/file", 8), Err(GitError::FileTooBig { size: 9, max: 8, .. })));
    assert!(matches!(read("link", 99), Err(GitError::NotAFile { .. })));
    assert!(matches!(read("dir", 99), Err(GitError::NotAFile { .. })));
}

#[test]
fn replacement_objects_do_not_change_what_a_commit_is() {
    let scratch = Scratch::new();
    scratch.write("a", "first");
    scratch.commit();
    let first = Repository::discover(scratch.path()).and_then(|r| r.head()).expect("has a head");
    scratch.write("a", "second");
    scratch.commit();
    scratch.git(&["replace", first.as_str(), "HEAD"]);
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    let content = repository.read_file(&first, "a", 99).expect("reads");
    assert_eq!(content.as_deref(), Some(&b"first"[..]));
}

#[test]
fn places_that_are_no_checkout_are_named() {
    let scratch = Scratch::new();
    let outside = scratch.outside("empty");
    fs::create_dir(&outside).expect("mkdir");
    for place in [outside.as_path(), &scratch.outside("absent"), &scratch.path().join(".git")] {
        assert!(matches!(Repository::discover(place), Err(GitError::NotARepository(_))), "{place:?}");
    }
    scratch.git(&["init", "-q", "--bare", outside.to_str().expect("is text")]);
    assert!(matches!(Repository::discover(&outside), Err(GitError::Bare(_))));
}

#[test]
fn a_shallow_clone_says_so() {
    let scratch = Scratch::new();
    for text in ["1", "2"] {
        scratch.write("a", text);
        scratch.commit();
    }
    let clone = scratch.outside("clone");
    let url = format!("file://{}", scratch.path().display());
    scratch.git(&["clone", "-q", "--depth=1", &url, clone.to_str().expect("is text")]);
    let repository = Repository::discover(&clone).expect("is a repository");
    let error = repository.resolve("HEAD~1").expect_err("is cut off");
    assert!(matches!(error, GitError::UnknownRevision { shallow: true, .. }), "{error:?}");
    assert_eq!(error.fix().as_deref(), Some("git fetch --unshallow"));
}

#[test]
fn failures_of_git_become_named_errors() {
    let git = Git::find().expect("is installed");
    let said = "fatal: detected dubious ownership in repository at '/srv/app'\nTo add …";
    let error = git.failure("rev-parse", said.as_bytes());
    assert!(matches!(&error, GitError::DubiousOwnership(path) if path == Path::new("/srv/app")));
    let fix = error.fix().expect("has one");
    assert_eq!(fix, "git config --global --add safe.directory /srv/app");
    assert!(matches!(git.failure("status", b"fatal: odd\x1b[2J\n"),
        GitError::Failed { command: "status", message } if message == "fatal: odd\\u{1b}[2J"));
}

/// A repository that came as an archive can hold anything under any id; git does not check when it reads.
#[test]
fn an_object_that_is_not_what_its_id_says_is_refused() {
    for what in ["HEAD:a", "HEAD:dir", "HEAD"] {
        let scratch = Scratch::new();
        scratch.write("a", "honest");
        scratch.write("dir/b", "honest too");
        scratch.commit();
        let repository = Repository::discover(scratch.path()).expect("is a repository");
        let head = repository.head().expect("has a head");
        let real = scratch.ask(&["rev-parse", what]);
        // Another object of the same kind, stored under the honest one's name.
        scratch.write("a", "forged");
        scratch.write("dir/b", "forged too");
        scratch.commit();
        let forged = scratch.ask(&["rev-parse", what]);
        let stored = |id: &str| scratch.path().join(".git/objects").join(&id[..2]).join(&id[2..]);
        fs::remove_file(stored(&real)).expect("removes");
        fs::copy(stored(&forged), stored(&real)).expect("copies");

        let exported = repository.export(&head, &scratch.outside("export"));
        assert!(
            matches!(&exported, Err(GitError::Forged { object }) if *object == real),
            "{what}: {exported:?}"
        );
        if what == "HEAD:a" {
            assert!(matches!(repository.read_file(&head, "a", 99), Err(GitError::Forged { .. })));
        }
        if what == "HEAD" {
            assert!(matches!(repository.tree_id(&head), Err(GitError::Forged { .. })));
        }
    }
}

#[test]
fn ids_of_other_objects_are_no_commits() {
    let scratch = Scratch::new();
    scratch.write("a", "x");
    scratch.commit();
    scratch.git(&["tag", "-a", "-m", "t", "v1"]);
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    for what in ["v1", "HEAD^{tree}", "HEAD:a"] {
        let id: CommitId = scratch.ask(&["rev-parse", what]).parse().expect("is an id");
        assert!(!repository.contains(&id).expect("asks"), "{what}");
        assert!(matches!(repository.tree_id(&id), Err(GitError::UnknownRevision { .. })), "{what}");
    }
}

/// Ten folders in each of ten levels, made of ten trees.
#[test]
fn trees_that_unfold_without_end_are_refused() {
    let scratch = Scratch::new();
    scratch.write("seed", "x");
    scratch.commit();
    let mut tree = scratch.ask(&["hash-object", "-t", "tree", "-w", "/dev/null"]);
    for _ in 0..10 {
        let entries: String = (0..10).map(|n| format!("040000 tree {tree}\t{n}\n")).collect();
        tree = scratch.ask_with(&["mktree"], entries.as_bytes());
    }
    let commit = scratch.ask_with(&["commit-tree", &tree, "-m", "bomb"], b"");
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    let commit = commit.parse().expect("is an id");
    let exported = repository.export(&commit, &scratch.outside("export"));
    assert!(matches!(exported, Err(GitError::TooMuch { .. })), "{exported:?}");
}

/// What a repository's own configuration asks git to run while it answers our questions.
#[test]
fn programs_of_the_repositorys_configuration_do_not_run() {
    let scratch = Scratch::new();
    scratch.write("a", "1");
    scratch.write(".gitattributes", "* filter=evil\n");
    scratch.commit();
    let trace = scratch.outside("ran");
    let evil = format!("touch {}; cat", trace.display());
    for key in
        ["filter.evil.clean", "filter.evil.process", "filter.evil.smudge", "core.fsmonitor", "diff.external"]
    {
        scratch.git(&["config", key, &evil]);
    }
    scratch.git(&["config", "filter.evil.required", "true"]);
    scratch.write("a", "2");
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    assert_eq!(repository.dirty().expect("status"), ["a"]);

    // A missing object of a partial clone, to be fetched by a command of its own choice.
    let blob = scratch.ask(&["rev-parse", "HEAD:a"]);
    fs::remove_file(scratch.path().join(".git/objects").join(&blob[..2]).join(&blob[2..])).expect("removes");
    let url = format!("ext::sh -c touch% {}", trace.display());
    for (key, value) in [
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "evil"),
        ("remote.evil.promisor", "true"),
        ("remote.evil.url", url.as_str()),
        ("protocol.ext.allow", "always"),
    ] {
        scratch.git(&["config", key, value]);
    }
    let repository = Repository::discover(scratch.path()).expect("is a repository");
    let exported = export(&scratch);
    assert!(
        matches!(&exported, Err(GitError::MissingObject { object, .. }) if *object == blob),
        "{exported:?}"
    );
    assert_eq!(repository.dirty().expect("status"), ["a"]);
    assert!(!trace.exists());
}

/// A folder inside a checkout that looks like a repository of its own, with its own configuration.
#[test]
fn a_repository_hidden_in_a_checkout_is_not_used() {
    let scratch = Scratch::new();
    let inner = scratch.path().join("assets");
    scratch.git(&["init", "-q", "--bare", inner.to_str().expect("is text")]);
    scratch.git(&["--git-dir", inner.to_str().expect("is text"), "config", "core.bare", "false"]);
    scratch.git(&["--git-dir", inner.to_str().expect("is text"), "config", "core.worktree", ".."]);
    assert!(Repository::discover(&inner).is_err());
}
