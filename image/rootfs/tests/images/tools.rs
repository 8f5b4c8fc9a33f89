//! Images that other programs made, compared with what another program unpacks from them.
//!
//! Runs where `buildah` and `umoci` are installed, as root; says so where it does not.

use crate::{paths, tree_of};
use caution_rootfs::Limits;
use caution_rootfs::cpio::{Entry, EntryKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::process::Command;

/// A Containerfile is not needed: layers are made by committing a working container.
const SCRIPT: &str = r#"
set -eu
export STORAGE_DRIVER=vfs
buildah="buildah --root $work/root --runroot $work/run"
layer() {
    c=$($buildah from --pull-never "$1"); m=$($buildah mount "$c")
    (cd "$m"; umask 022; eval "$3")
    $buildah umount "$c" >/dev/null; $buildah commit --quiet --format oci --disable-compression=false "$c" "$2" >/dev/null
    $buildah rm "$c" >/dev/null
}
layer scratch one '
    mkdir -p usr/bin usr/lib etc d/sub opaque/in "sp ace"; ln -s usr/lib lib; echo libc >usr/lib/libc.so
    echo root:x:0:0::/: >etc/passwd; echo suid >usr/bin/su; chmod 4755 usr/bin/su; ln usr/bin/su usr/bin/su-link
    chown 1000:1001 d; chmod 1777 d; mkfifo d/fifo; mknod d/null c 1 3; mknod d/disk b 8 1
    echo 1 >opaque/in/old; echo 2 >d/sub/gone; echo x >"sp ace/$(printf "caf\351\n")"; : >empty
    touch usr/lib/$(printf "%0200d" 7); ln -s /absolute/nowhere dangling; echo f >becomes-dir; mkdir becomes-link'
layer one two '
    rm -r d/sub; rm -r opaque; mkdir opaque; echo new >opaque/new; rm becomes-dir; mkdir becomes-dir
    rmdir becomes-link; ln -s d becomes-link; ln usr/lib/libc.so lib/hard; chmod 600 empty; chown 5:6 etc/passwd'
$buildah push --quiet two "oci:$work/image:two" >/dev/null
umoci unpack --image "$work/image:two" "$work/bundle" >/dev/null 2>&1
"#;

fn tools() -> bool {
    let missing: Vec<&str> = ["buildah", "umoci"]
        .into_iter()
        .filter(|tool| Command::new(tool).arg("--version").output().is_err())
        .collect();
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !missing.is_empty() || !root {
        eprintln!("NOT TESTED: needs root and these programs: {missing:?} (apt-get install buildah umoci)");
    }
    missing.is_empty() && root
}

#[test]
fn buildahs_layers_give_what_umoci_unpacks() {
    if !tools() {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let output = Command::new("sh").args(["-c", SCRIPT]).env("work", work.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = tree_of(&work.path().join("image"), &Limits::default()).unwrap();
    let unpacked = work.path().join("bundle/rootfs");
    let mut found = Vec::new();
    walk(&unpacked, &unpacked, &mut found);
    found.sort();
    let expected: Vec<String> = tree.entries().map(|entry| describe(&entry)).collect();
    let mut expected_sorted = expected.clone();
    expected_sorted.sort();
    assert_eq!(expected_sorted, found);
    assert!(paths(&tree).contains(&"usr/lib/hard".to_owned()));
    let hard_links = tree.entries().filter(|entry| matches!(entry.kind, EntryKind::HardLink { .. })).count();
    assert_eq!(hard_links, 4);
}

fn describe(entry: &Entry) -> String {
    let kind = match &entry.kind {
        EntryKind::Directory => "dir".to_owned(),
        EntryKind::File { size } => format!("file {size} 1"),
        EntryKind::HardLink { size, names, .. } => format!("file {size} {names}"),
        EntryKind::Symlink(target) => format!("link {}", target.escape_ascii()),
        EntryKind::CharDevice { major, minor } => format!("char {major} {minor}"),
        EntryKind::BlockDevice { major, minor } => format!("block {major} {minor}"),
        EntryKind::Fifo => "fifo".to_owned(),
    };
    format!("{} {:o} {}:{} {kind}", entry.path.escape_ascii(), entry.mode, entry.uid, entry.gid)
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
    for inner in std::fs::read_dir(folder).expect("readable") {
        let path = inner.expect("readable").path();
        let metadata = std::fs::symlink_metadata(&path).expect("readable");
        let kind = metadata.file_type();
        let rdev = metadata.rdev();
        let (major, minor) = ((rdev >> 8) & 0xfff, (rdev & 0xff) | ((rdev >> 12) & 0xfff00));
        let what = if kind.is_dir() {
            "dir".to_owned()
        } else if kind.is_symlink() {
            let target = std::fs::read_link(&path).expect("readable");
            format!("link {}", target.as_os_str().as_encoded_bytes().escape_ascii())
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else if kind.is_char_device() {
            format!("char {major} {minor}")
        } else if kind.is_block_device() {
            format!("block {major} {minor}")
        } else {
            format!("file {} {}", metadata.len(), metadata.nlink())
        };
        let name = path.strip_prefix(root).expect("below").as_os_str().as_encoded_bytes().escape_ascii();
        let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
        found.push(format!("{name} {mode:o} {uid}:{gid} {what}"));
        if kind.is_dir() {
            walk(root, &path, found);
        }
    }
}
