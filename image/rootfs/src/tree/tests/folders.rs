//! An unpacked image gives the tree of its layers.

use super::*;
use crate::tree::walk;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

fn archive_of(tree: &Tree) -> Vec<u8> {
    tree.write_cpio("rootfs", &[], Vec::new()).expect("written to memory")
}

fn unpack(layer: &[u8], into: &Path) {
    fs::write(into.join("layer.tar"), layer).expect("writes");
    let root = into.join("root");
    fs::create_dir(&root).expect("mkdir");
    let status = Command::new("tar")
        .args(["--numeric-owner", "--same-owner", "-xpf", "../layer.tar"])
        .current_dir(&root)
        .status()
        .expect("tar runs");
    assert!(status.success());
}

#[test]
fn an_unpacked_image_gives_the_tree_of_its_layers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let me = fs::metadata(folder.path()).expect("is there");
    // Only root may give files away and make devices.
    let (owner, is_root) =
        if me.uid() == 0 { ((1000, 1001), true) } else { ((me.uid().into(), me.gid().into()), false) };
    let mut layer = Layer::new()
        .dir("./", 0o711)
        .dir("app", 0o755)
        .add("app/one", header(EntryType::Regular, 0o4751, owner, 5), b"hello")
        .symlink("app/link", "/nowhere")
        .add("app-b", header(EntryType::Regular, 0o600, owner, 0), b"")
        .add("fifo", header(EntryType::Fifo, 0o622, owner, 0), b"")
        .dir("tmp", 0o1777)
        .dir("etc", 0o755)
        .file("etc/hosts", "")
        .file("etc/hostname", "kept");
    for name in ["app/two", "zwei"] {
        let mut link = header(EntryType::Link, 0o4751, owner, 0);
        layer.0.append_link(&mut link, name, "app/one").expect("written to memory");
    }
    if is_root {
        let mut device = header(EntryType::Char, 0o666, (0, 0), 0);
        device.set_device_major(1).and_then(|()| device.set_device_minor(300)).expect("fits");
        layer = layer.add("null", device, b"");
    }
    let layer = layer.finish();
    let mut merged = merged_bytes([layer.clone()], &Limits::default()).expect("merges");
    unpack(&layer, folder.path());
    let root = folder.path().join("root");
    let name = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let _socket = UnixListener::bind(root.join("socket")).expect("binds");
    let mut walked = walk(&root, &Limits::default()).expect("walks");
    if !is_root {
        // tar gave everything to whoever runs the test.
        let said = |tree: &Tree| tree.entries().map(|e| (e.path, e.kind, e.mode)).collect::<Vec<_>>();
        assert_eq!(said(&walked).len(), said(&merged).len());
        return;
    }
    assert_eq!(listing(&walked), listing(&merged));
    assert!(archive_of(&walked) == archive_of(&merged), "the archives differ");
    assert_eq!(walked.len(), merged.len());
    // What is said about the root wins over the folder's own attributes.
    for tree in [&mut walked, &mut merged] {
        tree.set_root(0o755, 7, 8);
        assert_eq!((tree.root().mode, tree.root().uid, tree.root().gid), (0o755, 7, 8));
    }
    fs::write(root.join(name), "x").expect("writes");
    let walked = walk(&root, &Limits::default()).expect("walks");
    assert!(walked.entries().any(|entry| entry.path == b"\xff\xfe"));
}

#[test]
fn a_folder_has_the_limits_of_layers() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["a", "b", "c"] {
        fs::write(folder.path().join(name), "four").expect("writes");
    }
    let default = Limits::default();
    for (limits, name) in [
        (Limits { entries: 2, ..default }, "entries"),
        (Limits { file_bytes: 3, ..default }, "file_bytes"),
        (Limits { total_bytes: 11, ..default }, "total_bytes"),
        (Limits { metadata_bytes: 2, ..default }, "metadata_bytes"),
    ] {
        match walk(folder.path(), &limits).expect_err("is too much") {
            RootfsError::Read { source, .. } => assert!(source.to_string().contains(name), "{source}"),
            other => panic!("{other}"),
        }
    }
    let absent = folder.path().join("absent");
    assert!(matches!(walk(&absent, &default), Err(RootfsError::Folder { .. })));
    // A file that grew while the archive is written is an error, and not a part of it.
    let tree = walk(folder.path(), &default).expect("walks");
    fs::write(folder.path().join("b"), "longer than four").expect("writes");
    assert!(matches!(tree.write_cpio("rootfs", &[], Vec::new()), Err(RootfsError::Cpio(_))));
}
