use super::*;

#[test]
fn later_layers_win_and_parents_appear() {
    let tree = merged([
        Layer::new().file("a/b/file", "old").dir("a/b/empty", 0o700),
        Layer::new().file("./a/b/file", "new").raw(b"/absolute", EntryType::Regular, b"", b"x"),
    ])
    .unwrap();
    let expected = ["d a 755", "d a/b 755", "d a/b/empty 700", "f a/b/file 644 = new", "f absolute 644 = x"];
    assert_eq!(listing(&tree), expected);
    assert_eq!((tree.len(), tree.total_size(), tree.is_empty()), (5, 4, false));
}

#[test]
fn entries_come_in_the_order_of_whole_paths() {
    let tree = merged([Layer::new()
        .file("a/x", "")
        .file("a-b", "")
        .file("a/x-y", "")
        .file("a0", "")
        .file("a.d/z", "")])
    .unwrap();
    let paths: Vec<_> = tree.entries().map(|entry| String::from_utf8(entry.path).unwrap()).collect();
    assert_eq!(paths, ["a", "a-b", "a.d", "a.d/z", "a/x", "a/x-y", "a0"]);
    let mut sorted = paths.clone();
    sorted.sort();
    assert_eq!(paths, sorted);
}

#[test]
fn modes_owners_devices_and_fifos_are_kept() {
    let mut device = header(EntryType::Char, 0o666, (0, 5), 0);
    device.set_device_major(1).unwrap();
    device.set_device_minor(3).unwrap();
    let mut layer =
        Layer::new().file_of("setuid", 0o4755, (1000, 2_000_000)).dir("sticky", 0o1777).dir("setgid", 0o2775);
    layer.0.append_data(&mut device, "null", &b""[..]).unwrap();
    device.set_entry_type(EntryType::Block);
    layer.0.append_data(&mut device, "block", &b""[..]).unwrap();
    let layer = layer.add("fifo", header(EntryType::Fifo, 0o600, (7, 8), 0), b"");
    let tree = merged([layer]).unwrap();
    let expected = [
        "b block 666 0:5 1:3",
        "p fifo 600 7:8",
        "c null 666 0:5 1:3",
        "d setgid 2775",
        "f setuid 4755 1000:2000000 = ",
        "d sticky 1777",
    ];
    assert_eq!(listing(&tree), expected);
}

#[test]
fn the_roots_own_attributes_are_taken() {
    let tree = merged([Layer::new().add("./", header(EntryType::Directory, 0o711, (1, 2), 0), b"")]).unwrap();
    let root = tree.root();
    assert_eq!((root.mode, root.uid, root.gid), (0o711, 1, 2));
    assert!(tree.is_empty());
}

#[test]
fn whiteouts_hide_layers_below() {
    let below =
        || Layer::new().file("d/one", "1").file("d/two", "2").file("d/sub/three", "3").file("top", "t");
    let tree =
        merged([below(), Layer::new().hide("d/.wh.one").hide(".wh.top").hide(".wh.never-was")]).unwrap();
    assert_eq!(listing(&tree), ["d d 755", "d d/sub 755", "f d/sub/three 644 = 3", "f d/two 644 = 2"]);
    let tree = merged([below(), Layer::new().hide(".wh.d")]).unwrap();
    assert_eq!(listing(&tree), ["f top 644 = t"]);
    let tree = merged([below(), Layer::new().hide("no/such/.wh.x")]).unwrap();
    assert_eq!(tree.len(), merged([below()]).unwrap().len());
}

#[test]
fn whiteouts_spare_their_own_layer_in_either_order() {
    let below = || Layer::new().file("d/old", "o").file("f", "old");
    let expected = ["d d 700", "f d/new 644 = n", "f f 644 = new"];
    let before = Layer::new().hide(".wh.d").hide(".wh.f").dir("d", 0o700).file("d/new", "n").file("f", "new");
    assert_eq!(listing(&merged([below(), before]).unwrap()), expected);
    let after = Layer::new().dir("d", 0o700).file("d/new", "n").file("f", "new").hide(".wh.d").hide(".wh.f");
    assert_eq!(listing(&merged([below(), after]).unwrap()), expected);
    // Without an entry of its own the directory from below is gone, attributes included.
    let below = || Layer::new().dir("d", 0o700).file("d/old", "o");
    let tree = merged([below(), Layer::new().file("d/new", "n").hide(".wh.d")]).unwrap();
    assert_eq!(listing(&tree), ["d d 755", "f d/new 644 = n"]);
}

#[test]
fn opaque_directories_hide_their_content_from_below() {
    let below = || Layer::new().dir("d", 0o700).file("d/a/b", "1").file("d/c", "2").file("e", "3");
    let opaque = "d/.wh..wh..opq";
    let expected = ["d d 700", "f d/new 644 = n", "f e 644 = 3"];
    assert_eq!(listing(&merged([below(), Layer::new().hide(opaque).file("d/new", "n")]).unwrap()), expected);
    assert_eq!(listing(&merged([below(), Layer::new().file("d/new", "n").hide(opaque)]).unwrap()), expected);
    // A directory this layer filled survives with what this layer put there.
    let tree = merged([below(), Layer::new().file("d/a/mine", "m").hide(opaque).hide(opaque)]).unwrap();
    assert_eq!(listing(&tree), ["d d 700", "d d/a 755", "f d/a/mine 644 = m", "f e 644 = 3"]);
    let tree = merged([below(), Layer::new().hide(".wh..wh..opq").file("x", "")]).unwrap();
    assert_eq!(listing(&tree), ["f x 644 = "]);
}

#[test]
fn a_later_layer_can_hide_what_an_earlier_whiteout_spared() {
    let tree = merged([
        Layer::new().file("d/a", "1"),
        Layer::new().hide("d/.wh.a").file("d/b", "2"),
        Layer::new().hide(".wh.d").file("d", "now a file"),
        Layer::new().dir("d", 0o755).file("d/c", "3"),
    ])
    .unwrap();
    assert_eq!(listing(&tree), ["d d 755", "f d/c 644 = 3"]);
}

#[test]
fn hard_links_share_one_file_across_layers() {
    let tree = merged([
        Layer::new().file("a", "one").hard_link("dir/b", "a").hard_link("c", "/dir/b"),
        Layer::new().hard_link("d", "a"),
    ])
    .unwrap();
    let listed = listing(&tree);
    assert_eq!(
        listed,
        ["h a 777 ×4 = one", "h c 777 ×4 = one", "h d 777 ×4 = one", "d dir 755", "h dir/b 777 ×4 = one"]
    );
    assert_eq!(tree.total_size(), 3);
    // Replacing one name leaves the others with the old content.
    let tree = merged([
        Layer::new().file("a", "old").hard_link("b", "a").hard_link("c", "a"),
        Layer::new().file("b", "new"),
        Layer::new().hide(".wh.c"),
    ])
    .unwrap();
    assert_eq!(listing(&tree), ["f a 777 = old", "f b 644 = new"]);
}

#[test]
fn a_hard_link_to_a_symbolic_link_is_that_link() {
    let tree = merged([Layer::new().symlink("s", "nowhere").hard_link("t", "s")]).unwrap();
    assert_eq!(listing(&tree), ["l s 777 -> nowhere", "l t 777 -> nowhere"]);
}

#[test]
fn kinds_replace_each_other() {
    let base = || Layer::new().dir("x", 0o700).file("x/in", "i").file("y", "file").symlink("z", "x");
    let tree =
        merged([base(), Layer::new().file("x", "file now").dir("y", 0o711).symlink("z", "y")]).unwrap();
    assert_eq!(listing(&tree), ["f x 644 = file now", "d y 711", "l z 777 -> y"]);
    // A directory takes the place of a symbolic link; it does not merge with what the link leads to.
    let tree = merged([base(), Layer::new().dir("z", 0o750).file("z/new", "n")]).unwrap();
    assert_eq!(listing(&tree), ["d x 700", "f x/in 644 = i", "f y 644 = file", "d z 750", "f z/new 644 = n"]);
    // A directory meets a directory: attributes change, content stays.
    let tree = merged([base(), Layer::new().dir("x", 0o755)]).unwrap();
    assert_eq!(listing(&tree)[..2], ["d x 755", "f x/in 644 = i"]);
}

#[test]
fn paths_through_symbolic_links_stay_inside() {
    let tree = merged([
        Layer::new()
            .dir("usr/lib", 0o755)
            .symlink("lib", "usr/lib")
            .symlink("abs", "/usr")
            .symlink("up", "../../../usr"),
        Layer::new()
            .file("lib/one", "1")
            .file("abs/lib/two", "2")
            .file("up/lib/three", "3")
            .hide("abs/lib/.wh.one"),
        Layer::new().hide("lib/.wh.two").hard_link("lib/four", "up/lib/three"),
    ])
    .unwrap();
    assert_eq!(
        listing(&tree),
        [
            "l abs 777 -> /usr",
            "l lib 777 -> usr/lib",
            "l up 777 -> ../../../usr",
            "d usr 755",
            "d usr/lib 755",
            "h usr/lib/four 777 ×2 = 3",
            "f usr/lib/one 644 = 1",
            "h usr/lib/three 777 ×2 = 3",
        ]
    );
}

#[test]
fn reading_follows_links_and_has_a_limit() {
    let tree = merged([Layer::new()
        .file("etc/real", "content")
        .symlink("etc/link", "../etc/real")
        .symlink("loop", "loop")
        .symlink("gone", "nowhere")])
    .unwrap();
    assert_eq!(tree.read("/etc/link", 7).unwrap().as_deref(), Some(&b"content"[..]));
    assert_eq!(tree.read("etc/none", 7).unwrap(), None);
    assert_eq!(tree.read("gone", 7).unwrap(), None);
    let wrong = |path, max| match tree.read(path, max) {
        Err(RootfsError::Read { source, .. }) => source,
        other => panic!("{other:?}"),
    };
    assert!(matches!(wrong("etc/real", 6), EntryError::FileTooLarge { found: 7, limit: 6 }));
    assert!(matches!(wrong("etc", 6), EntryError::NotAFile));
    assert!(matches!(wrong("etc/real/x", 6), EntryError::NotADirectory { .. }));
    assert!(matches!(wrong("loop", 6), EntryError::LinkDepth { limit: 40 }));
}

#[test]
fn placeholders_of_engines_are_left_out_when_empty() {
    let tree = merged([Layer::new()
        .file(".dockerenv", "")
        .file("etc/hosts", "")
        .file("etc/resolv.conf", "nameserver 10.0.0.1")
        .symlink("etc/hostname", "hosts")
        .file("run/.containerenv", "")])
    .unwrap();
    assert_eq!(
        listing(&tree),
        [
            "d etc 755",
            "l etc/hostname 777 -> hosts",
            "f etc/resolv.conf 644 = nameserver 10.0.0.1",
            "d run 755"
        ]
    );
    // A link on the way: not where an engine mounts.
    let tree = merged([Layer::new().dir("e", 0o755).symlink("etc", "e").file("e/hosts", "")]).unwrap();
    assert_eq!(listing(&tree), ["d e 755", "f e/hosts 644 = ", "l etc 777 -> e"]);
}

#[test]
fn extended_attributes_are_listed() {
    let tree = merged([
        Layer::new()
            .pax(&[("SCHILY.xattr.security.capability", b"\x01\0\0\x02=")])
            .file("bin/ping", "")
            .pax(&[("SCHILY.xattr.user.x", b"1"), ("LIBARCHIVE.xattr.user.y", b"2"), ("mtime", b"1.5")])
            .file("two", "")
            .pax(&[("SCHILY.xattr.user.gone", b"1")])
            .file("gone", ""),
        Layer::new().hide(".wh.gone").hard_link("pong", "bin/ping"),
    ])
    .unwrap();
    let dropped: Vec<_> = tree
        .dropped_xattrs()
        .into_iter()
        .map(|x| format!("{} {}", x.path.escape_ascii(), x.name.escape_ascii()))
        .collect();
    assert_eq!(
        dropped,
        ["bin/ping security.capability", "pong security.capability", "two user.x", "two user.y"]
    );
}

#[test]
fn the_archive_holds_the_prefix_and_the_extra_files_alone() {
    let tree = merged([Layer::new().file("boot.json", "not this").file("a", "x").dir("b", 0o700)]).unwrap();
    let extra: [(&str, &[u8]); 3] = [("zz", b"last"), ("boot.json", b"{}"), ("rootfs-extra", b"between")];
    let archive = tree.write_cpio("rootfs", &extra, Vec::new()).unwrap();
    let mut reader = crate::cpio::Reader::new(archive.as_slice());
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        found.push(format!("{} {:o}", String::from_utf8(entry.entry.path).unwrap(), entry.entry.mode));
    }
    assert_eq!(
        found,
        [
            "boot.json 444",
            "rootfs 755",
            "rootfs-extra 444",
            "rootfs/a 644",
            "rootfs/b 700",
            "rootfs/boot.json 644",
            "zz 444"
        ]
    );
    let twice = tree.write_cpio("rootfs", &[("rootfs", b"")], Vec::new());
    assert!(matches!(twice, Err(RootfsError::Cpio(_))));
}

#[test]
fn a_tree_of_a_few_files_holds_them_and_the_way_to_them() {
    let tree = || {
        merged([Layer::new()
            .dir("opt", 0o700)
            .file_of("opt/tool", 0o4755, (7, 8))
            .file("opt/real", "program")
            .hard_link("opt/other", "opt/real")
            .symlink("app", "opt")
            .symlink("opt/entry", "/app/real")
            .symlink("opt/lost", "nowhere")
            .pax(&[("SCHILY.xattr.security.capability", b"x")])
            .file("etc/certs", "certificates")
            .pax(&[("SCHILY.xattr.user.left", b"x")])
            .file("etc/passwd", "root")])
        .expect("merges")
    };
    let only = tree().only(&["/app/entry", "/opt/tool", "/etc/certs", "/etc/certs"]).expect("selects");
    assert_eq!(
        listing(&only),
        [
            "d app 755",
            "f app/entry 777 = program",
            "d etc 755",
            "f etc/certs 644 = certificates",
            "d opt 755",
            "f opt/tool 4755 7:8 = ",
        ]
    );
    assert_eq!((only.root().mode, only.len(), only.total_size()), (0o755, 6, 19));
    // What a link led to may be of any layer.
    assert_eq!(only.layers().collect::<Vec<_>>(), [(b"etc/certs".to_vec(), 1), (b"opt/tool".to_vec(), 1)]);
    let dropped: Vec<_> = only.dropped_xattrs().into_iter().map(|xattr| xattr.path).collect();
    assert_eq!(dropped, [b"etc/certs"]);

    assert!(tree().is_file("/app/entry") && !tree().is_file("/opt"));
    for path in ["/opt", "/opt/lost", "/absent", "/opt/real/below"] {
        assert!(!tree().is_file(path));
        assert!(matches!(tree().only(&[path]), Err(RootfsError::Read { .. })), "{path}");
    }
}

#[test]
fn the_layer_that_wrote_a_path_last_is_known() {
    let tree = merged([
        Layer::new()
            .dir("d", 0o755)
            .file("d/kept", "")
            .file("d/again", "")
            .file("d/gone", "")
            .symlink("l", "d"),
        Layer::new().dir("d", 0o700).file("d/again", "").hard_link("d/name", "d/kept").hide("d/.wh.gone"),
    ])
    .expect("merges");
    let layers: Vec<_> = tree.layers().collect();
    let expected = [("d/again", 2), ("d/kept", 1), ("d/name", 2), ("l", 1)];
    assert_eq!(layers, expected.map(|(path, layer)| (path.as_bytes().to_vec(), layer)));
    for (path, layer) in layers {
        assert_eq!(tree.layer_of(&path), Some(layer));
    }
    for path in ["", "d", "d/gone", "l/kept", "other"] {
        assert_eq!(tree.layer_of(path.as_bytes()), None, "{path}");
    }
}
