//! Entries that try to leave the tree, or to fill memory, disk or time.

use super::*;

#[test]
fn paths_that_lead_up_are_refused() {
    for path in [&b"../x"[..], b"a/../x", b"/..", b"a/.."] {
        let layer = Layer::new().raw(path, EntryType::Regular, b"", b"");
        assert!(matches!(refusal(layer), EntryError::Traversal), "{}", path.escape_ascii());
        let layer = Layer::new().file("f", "").raw(b"link", EntryType::Link, path, b"");
        assert!(matches!(refusal(layer), EntryError::Traversal), "{}", path.escape_ascii());
    }
}

#[test]
fn writing_through_links_ends_inside_or_is_refused() {
    let outside = Layer::new().symlink("out", "/../../etc").dir("etc", 0o755).file("out/passwd", "x");
    assert_eq!(listing(&merged([outside]).unwrap())[1], "f etc/passwd 644 = x");
    let dangling = Layer::new().symlink("out", "/nowhere").file("out/passwd", "x");
    assert!(matches!(refusal(dangling), EntryError::DanglingLink));
    let half = Layer::new().dir("some", 0o755).symlink("out", "some/where/else").file("out/passwd", "x");
    assert!(matches!(refusal(half), EntryError::DanglingLink));
    let round = Layer::new().symlink("a", "b").symlink("b", "a").file("a/x", "");
    assert!(matches!(refusal(round), EntryError::LinkDepth { limit: 40 }));
    let itself = Layer::new().symlink("a", "a/a").file("a/x", "");
    assert!(matches!(refusal(itself), EntryError::LinkDepth { .. }));
    let through_file = Layer::new().file("f", "").file("f/x", "");
    assert!(matches!(refusal(through_file), EntryError::NotADirectory { .. }));
    let through_both = Layer::new().file("f", "").symlink("l", "f").file("l/x", "");
    assert!(matches!(refusal(through_both), EntryError::NotADirectory { .. }));
    // The link itself is replaced, never what it leads to.
    let replaced = Layer::new().file("target", "kept").symlink("l", "target").file("l", "new");
    assert_eq!(listing(&merged([replaced]).unwrap()), ["f l 644 = new", "f target 644 = kept"]);
}

#[test]
fn impossible_links_are_refused() {
    let missing = Layer::new().hard_link("a", "no/such");
    assert!(matches!(refusal(missing), EntryError::LinkTarget { .. }));
    let directory = Layer::new().dir("d", 0o755).hard_link("a", "d");
    assert!(matches!(refusal(directory), EntryError::LinkToDirectory { .. }));
    let itself = Layer::new().file("a", "").hard_link("a", "a");
    assert!(matches!(refusal(itself), EntryError::LinkToItself));
    let swallowed = Layer::new().file("d/f", "").hard_link("d", "d/f");
    assert!(matches!(refusal(swallowed), EntryError::LinkTarget { .. }));
    let root = Layer::new().raw(b"a", EntryType::Link, b"/", b"");
    assert!(matches!(refusal(root), EntryError::EmptyLink));
    for empty in [EntryType::Symlink, EntryType::Link] {
        assert!(matches!(refusal(Layer::new().raw(b"a", empty, b"", b"")), EntryError::EmptyLink));
    }
    let long = "x/".repeat(2048);
    assert!(matches!(refusal(Layer::new().symlink("a", &long)), EntryError::EmptyLink));
}

#[test]
fn the_root_is_a_directory() {
    for kind in [EntryType::Regular, EntryType::Symlink, EntryType::Fifo] {
        assert!(matches!(refusal(Layer::new().raw(b"./", kind, b"x", b"")), EntryError::Root));
    }
}

#[test]
fn whiteouts_that_mean_nothing_are_refused() {
    for name in ["d/.wh.", "d/.wh..", "d/.wh...", "d/.wh..wh.plnk", ".wh..wh..opqx"] {
        assert!(matches!(refusal(Layer::new().hide(name)), EntryError::Whiteout), "{name}");
    }
    assert!(matches!(refusal(Layer::new().dir(".wh.d", 0o755)), EntryError::Whiteout));
    assert!(matches!(refusal(Layer::new().file(".wh.d", "content")), EntryError::Whiteout));
    assert!(matches!(refusal(Layer::new().symlink(".wh.d", "x")), EntryError::Whiteout));
}

#[test]
fn impossible_devices_are_refused() {
    let mut device = header(EntryType::Char, 0o666, (0, 0), 0);
    device.set_device_major(4096).unwrap();
    let mut layer = Layer::new();
    layer.0.append_data(&mut device, "dev", &b""[..]).unwrap();
    assert!(matches!(refusal(layer), EntryError::Device { major: 4096, minor: 0 }));
}

#[test]
fn names_and_paths_have_limits() {
    let name = Layer::new().file(&"n".repeat(256), "");
    assert!(matches!(refusal(name), EntryError::NameTooLong { found: 256, limit: 255 }));
    let path = "p/".repeat(2044);
    assert!(merged([Layer::new().file(&path, "")]).is_ok());
    let path = Layer::new().file(&format!("{path}pp"), "");
    assert!(matches!(refusal(path), EntryError::PathTooLong { found: 4090, limit: 4088 }));
    // Links cannot make a path longer than an archive could say.
    let deep = "d/".repeat(1500);
    let layer = Layer::new().dir(&deep, 0o755).symlink("l", &deep).file(&format!("l/{deep}x"), "");
    assert!(matches!(refusal(layer), EntryError::PathTooLong { .. }));
    // Nor a lookup endless.
    let back = format!("{}{}", "d/".repeat(500), "../".repeat(499));
    let deep = "d/".repeat(500);
    let mut layer = Layer::new().dir(&deep, 0o755).symlink("l0", &back);
    for n in 1..10 {
        layer = layer.symlink(&format!("d/l{n}"), &back.replacen("d/", "../d/", 1));
    }
    let layer = layer.file("l0/l1/l2/l3/l4/l5/l6/l7/l8/l9/x", "");
    assert!(matches!(refusal(layer), EntryError::TooManySteps { .. }));
}

#[test]
fn counts_and_sizes_have_limits() {
    let base = Limits::default();
    let three = || Layer::new().file("a", "1").file("b", "22").file("c", "333");
    let entries = Limits { entries: 2, ..base };
    assert!(matches!(refusal_with(three(), &entries), EntryError::TooManyEntries { limit: 2 }));
    // Directories nobody named count too.
    let implicit = Layer::new().file("a/b/c/d", "");
    assert!(matches!(refusal_with(implicit, &entries), EntryError::TooManyEntries { limit: 2 }));
    let file = Limits { file_bytes: 2, ..base };
    assert!(matches!(refusal_with(three(), &file), EntryError::FileTooLarge { found: 3, limit: 2 }));
    let total = Limits { total_bytes: 5, ..base };
    assert!(matches!(refusal_with(three(), &total), EntryError::TotalTooLarge { limit: 5 }));
    let metadata = Limits { metadata_bytes: 10, ..base };
    let long = Layer::new().file("123456", "").symlink("7", "target");
    assert!(matches!(refusal_with(long, &metadata), EntryError::MetadataTooLarge { limit: 10 }));
    let xattrs = Layer::new().pax(&[("SCHILY.xattr.user.long-name", b"")]).file("f", "");
    assert!(matches!(refusal_with(xattrs, &metadata), EntryError::MetadataTooLarge { limit: 10 }));
}

#[test]
fn a_file_that_says_it_is_huge_is_refused_before_anything_is_stored() {
    let mut header = header(EntryType::Regular, 0o644, (0, 0), 0);
    header.set_size(1 << 40);
    header.set_path("huge").unwrap();
    header.set_cksum();
    let mut layer = Layer::new();
    layer.0.append(&header, &b""[..]).unwrap();
    assert!(matches!(refusal(layer), EntryError::FileTooLarge { found: 0x100_0000_0000, .. }));
}

#[test]
fn many_whiteouts_cost_one_pass() {
    // 20,000 entries and as many opaque markers: quadratic work would be 400 million steps.
    let below = (0..20_000).fold(Layer::new(), |layer, n| layer.file(&format!("d/{n}"), ""));
    let above =
        (0..20_000).fold(Layer::new(), |layer, n| layer.file(&format!("d/n{n}"), "").hide("d/.wh..wh..opq"));
    let tree = merged([below, above]).unwrap();
    assert_eq!(tree.len(), 20_001);
}
