use super::*;
use crate::testing::Scratch;
use std::fs;

/// One member: type, name, content or link target, mode.
fn member(kind: u8, name: &str, content: &str, mode: u32) -> Vec<u8> {
    let is_file = matches!(kind, b'0' | b'g' | b'x');
    let mut header = [0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let size = if is_file { content.len() } else { 0 };
    header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    header[156] = kind;
    if !is_file {
        header[157..157 + content.len()].copy_from_slice(content.as_bytes());
    }
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[329..337].copy_from_slice(b"0000001\0");
    header[337..345].copy_from_slice(b"0000003\0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    if is_file {
        bytes.extend(content.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes
}

fn take(members: &[Vec<u8>]) -> Result<Unpacked, ArchiveError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("app.tar");
    fs::write(&path, [members.concat(), vec![0; 1024]].concat()).expect("writes");
    from_archive(&path, folder.path())
}

#[test]
fn an_archive_of_a_commit_has_its_tree() {
    let scratch = Scratch::new();
    scratch.write("Procfile", "run: /app/x\n");
    scratch.write("src/deep/\u{e9} \"quoted\"\\ \t", "one\r\ntwo\n");
    scratch.write("empty", "");
    scratch.write("run.sh", "#!/bin/sh\n");
    scratch.write(&format!("long/{}/{}", "a".repeat(120), "b".repeat(140)), "x");
    scratch.git(&["add", "-A"]);
    scratch.git(&["update-index", "--chmod=+x", "run.sh"]);
    std::os::unix::fs::symlink("../../etc/passwd", scratch.path().join("link")).expect("a new link");
    scratch.commit();
    let commit = scratch.ask(&["rev-parse", "HEAD"]);
    let tree = scratch.ask(&["rev-parse", "HEAD^{tree}"]);
    for (name, more) in [
        ("a.tar", &["--format=tar"][..]),
        ("b.tar.gz", &["--format=tar.gz", "--prefix=app-1.0/"]),
        ("c.tgz", &["--format=tgz"]),
    ] {
        let path = scratch.outside(name);
        let output = format!("--output={}", path.display());
        scratch.git(&[&["archive", &output, "HEAD"], more].concat());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unpacked = from_archive(&path, folder.path()).expect(name);
        assert_eq!(unpacked.repository.tree_id(&unpacked.commit).expect("has a tree"), tree, "{name}");
        assert_eq!(unpacked.named.map(|id| id.to_string()), Some(commit.clone()));
        assert_ne!(unpacked.commit.as_str(), commit);
        assert_eq!(unpacked.sha256, Sha256Digest::of(&fs::read(&path).expect("is there")));
    }
}

#[test]
fn what_no_archive_of_git_holds_is_refused_by_name() {
    let file = |name: &str| member(b'0', name, "x", 0o644);
    let refusal = |members: &[Vec<u8>]| take(members).expect_err("refused").to_string();
    for (members, words) in [
        (vec![member(b'1', "a", "b", 0)], "a hard link"),
        (vec![member(b'3', "a", "", 0)], "a device"),
        (vec![member(b'4', "a", "", 0)], "a device"),
        (vec![member(b'6', "a", "", 0)], "a named pipe"),
        (vec![file("../a")], "`..` component"),
        (vec![file("/a")], "empty component"),
        (vec![file("a//b")], "empty component"),
        (vec![file("a/.GIT/config")], "`.git` component"),
        (vec![file("a"), file("a")], "stands in the archive twice"),
        (vec![file("a"), file("./a")], "stands in the archive twice"),
        (vec![file("a"), file("a/b")], "both a file and a folder"),
        (vec![member(b'2', "a", "/etc", 0), file("a/b")], "both a file and a folder"),
        (vec![file("x/a"), member(b'5', "x/sub/", "", 0o755)], "empty folder `x/sub`"),
        (vec![], "no files"),
        (vec![member(b'g', "g", "20 path=else/where\n\n", 0), file("a")], "global headers"),
        (
            vec![
                member(b'g', "g", "17 comment=abcd\n\n", 0),
                member(b'g', "g", "16 comment=abcd\n", 0),
                file("a"),
            ],
            "global headers",
        ),
    ] {
        let said = refusal(&members);
        assert!(said.contains(words), "{words}: {said}");
    }
    for bytes in [&b"not an archive"[..], b"\x1f\x8bnot gzip"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("app.tar");
        fs::write(&path, bytes).expect("writes");
        let error = from_archive(&path, folder.path()).expect_err("refused");
        assert!(matches!(error, ArchiveError::Tar(_)), "{error:?}");
        assert!(error.fix().is_some());
    }
}

#[test]
fn one_folder_around_everything_is_left_out_and_two_are_not() {
    let file = |name: &str| member(b'0', name, "x", 0o644);
    let names = |members: &[Vec<u8>]| {
        let unpacked = take(members).expect("is taken");
        drop(unpacked);
        let mut entries = Entries::default();
        for bytes in members {
            let mut reader = TarReader::new(&bytes[..], 1024);
            let one = reader.next_member().expect("reads").expect("a member");
            entries.add(&one.path, &one.kind, one.mode).expect("is taken");
        }
        let leaves = entries.finish().expect("is taken");
        leaves.into_keys().map(|name| String::from_utf8(name).expect("text")).collect::<Vec<_>>()
    };
    assert_eq!(names(&[member(b'5', "x/", "", 0o755), file("x/a"), file("x/b/c")]), ["a", "b/c"]);
    assert_eq!(names(&[file("x/a"), file("y/a")]), ["x/a", "y/a"]);
    assert_eq!(names(&[file("x/a"), file("xa")]), ["x/a", "xa"]);
    assert_eq!(names(&[member(b'5', "./", "", 0o755), file("./a")]), ["a"]);
}

/// Paths compress to next to nothing, and each of these is held in memory.
#[test]
fn paths_that_fill_the_memory_are_refused() {
    let file = MemberKind::File { size: 0, holes: None };
    let refused = |count: u64, rest: &str, what: &str| {
        let mut entries = Entries::default();
        let path = |number: u64| format!("{number}/{rest}").into_bytes();
        let added = (0..count).try_for_each(|number| entries.add(&path(number), &file, 0o644).map(drop));
        let error = added.and_then(|()| entries.finish().map(drop)).expect_err(what);
        assert!(matches!(error, ArchiveError::TooMuch { what: found, .. } if found == what), "{error:?}");
    };
    refused(42_000, &(("n".repeat(250) + "/").repeat(13) + "a"), "bytes in all paths");
    refused(500, &("a/".repeat(999) + "b"), "folders");
}

#[test]
fn an_archive_that_ends_early_leaves_no_source() {
    let whole = member(b'0', "a", &"x".repeat(4000), 0o644);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("app.tar");
    fs::write(&path, &whole[..1000]).expect("writes");
    let error = from_archive(&path, folder.path()).expect_err("refused");
    assert!(matches!(error, ArchiveError::Tar(_)), "{error:?}");
}
