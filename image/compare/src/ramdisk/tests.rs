use super::*;
use crate::testing::{Archive, gzip, lz4, lz4_legacy, xz, zstd};

/// Path, kind and content of each entry.
fn read(bytes: &[u8], limits: &Limits) -> Result<Vec<(String, Kind, String)>, RamdiskError> {
    let mut ramdisk = Ramdisk::new(bytes, Budget::new(limits));
    let mut found = Vec::new();
    while let Some(entry) = ramdisk.next_entry()? {
        let mut content = String::new();
        ramdisk.read_to_string(&mut content).map_err(RamdiskError::from_io)?;
        found.push((String::from_utf8(entry.path).unwrap(), entry.kind, content));
    }
    Ok(found)
}

fn paths(bytes: &[u8]) -> Vec<String> {
    read(bytes, &Limits::default()).unwrap().into_iter().map(|(path, ..)| path).collect()
}

fn one(name: &str) -> Vec<u8> {
    Archive::new().file(name, "content").end()
}

#[test]
fn every_kind_of_entry_is_read() {
    let archive = Archive::new()
        .directory("d")
        .file("d/f", "content")
        .hard_link("h1", "")
        .hard_link("h2", "linked")
        .symlink("s", "../d")
        .raw("char", 0o020_644, 1, "")
        .raw("block", 0o060_644, 1, "")
        .raw("fifo", 0o010_644, 1, "")
        .end();
    let found = read(&archive, &Limits::default()).unwrap();
    let file = |size, group| Kind::File { size, group };
    let expected = [
        ("d", Kind::Directory, ""),
        ("d/f", file(7, None), "content"),
        ("h1", file(0, Some(1)), ""),
        ("h2", file(6, Some(1)), "linked"),
        ("s", Kind::Symlink(b"../d".to_vec()), ""),
        ("char", Kind::CharDevice { major: 1, minor: 3 }, ""),
        ("block", Kind::BlockDevice { major: 1, minor: 3 }, ""),
        ("fifo", Kind::Fifo, ""),
    ];
    assert_eq!(found, expected.map(|(path, kind, content)| (path.into(), kind, content.into())));
    let entry =
        Ramdisk::new(archive.as_slice(), Budget::new(&Limits::default())).next_entry().unwrap().unwrap();
    assert_eq!((entry.mode, entry.uid, entry.gid, entry.mtime), (0o755, 1000, 100, Some(86400)));
}

#[test]
fn every_compression_is_known_by_its_first_bytes() {
    let large = "a line of some length\n".repeat(1 << 20);
    let plain = Archive::new().file("small", "s").file("large", &large).end();
    for (name, pack) in [
        ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
        ("zstd", zstd),
        ("lz4", lz4),
        ("lz4 -l", lz4_legacy),
        ("xz", xz),
    ] {
        let found = read(&pack(&plain), &Limits::default()).unwrap();
        assert_eq!(found.len(), 2, "{name}");
        assert!(found[1].2 == large, "{name}");
    }
}

#[test]
fn archives_follow_each_other_as_the_kernel_takes_them() {
    let zeros = vec![0; 1000];
    let in_one = gzip(&[one("c"), zeros.clone(), one("d")].concat());
    let parts =
        [one("a"), zeros.clone(), one("b"), in_one, zeros.clone(), zstd(&one("e")), xz(&one("f")), zeros];
    assert_eq!(paths(&parts.concat()), ["a", "b", "c", "d", "e", "f"]);
    assert!(paths(&[]).is_empty());
    assert!(paths(&[0; 5]).is_empty());
    // The legacy form of lz4 has no end of its own.
    assert_eq!(
        paths(&[one("a"), lz4(&one("b")), vec![0; 512], lz4_legacy(&one("c"))].concat()),
        ["a", "b", "c"]
    );
}

#[test]
fn streams_of_one_form_count_as_one() {
    let archive = one("a");
    let (first, second) = archive.split_at(50);
    for pack in [gzip, zstd, lz4, xz] {
        assert_eq!(paths(&[pack(first), pack(second), pack(&one("b"))].concat()), ["a", "b"]);
    }
}

#[test]
fn an_inode_number_means_something_in_one_archive() {
    let archive = || Archive::new().hard_link("x", "").hard_link("y", "z").end();
    let found = read(&[archive(), archive()].concat(), &Limits::default()).unwrap();
    let groups: Vec<_> = found.into_iter().map(|(_, kind, _)| kind).collect();
    let expected = [(0, 1), (1, 1), (0, 2), (1, 2)];
    assert_eq!(groups, expected.map(|(size, group)| Kind::File { size, group: Some(group) }));
}

#[test]
fn odd_paths_are_listed_as_they_are() {
    let odd = ["/absolute", "../../up", "a//b", "./dot", "same", "same", "a/../../b"];
    let archive = odd.iter().fold(Archive::new(), |archive, path| archive.file(path, "x"));
    assert_eq!(paths(&archive.end()), odd);
}

#[test]
fn checksums_are_checked() {
    let sum = b"content".iter().map(|byte| u32::from(*byte)).sum();
    let good = Archive::new().checked("a", sum, "content").end();
    assert_eq!(paths(&good), ["a"]);
    let bad = Archive::new().checked("a", sum + 1, "content").end();
    let error = read(&bad, &Limits::default()).unwrap_err();
    assert!(matches!(error, RamdiskError::Checksum(path) if path == b"a"));
}

#[test]
fn what_is_no_ramdisk_is_refused_with_its_first_bytes() {
    let refused = |bytes: &[u8]| read(bytes, &Limits::default()).unwrap_err().to_string();
    assert_eq!(refused(b"PK\x03\x04 and more"), "no cpio archive begins with the bytes 50 4b 03 04 20 61");
    assert_eq!(refused(b"BZh91AY"), "it is compressed with bzip2, which is not read here");
    assert!(refused(&[one("a"), b"junk".to_vec()].concat()).contains("6a 75 6e 6b"));
    assert!(refused(&gzip(b"no archive")).contains("6e 6f"));
    // Compressed twice.
    assert!(refused(&gzip(&gzip(&one("a")))).contains("1f 8b"));
    assert!(refused(&[&b"070707"[..], &[b'0'; 200]].concat()).contains("070701 or 070702"));
    assert!(refused(&Archive::new().file("a", "").unended()).contains("truncated"));
    let broken = gzip(&one("a"));
    let end = broken.len() - 8;
    assert!(matches!(
        read(&broken[..end], &Limits::default()),
        Err(RamdiskError::Compression { format: "gzip", .. })
    ));
}

#[test]
fn bombs_end_with_a_named_limit() {
    let limits =
        Limits { uncompressed_bytes: 1 << 20, entries: 100, metadata_bytes: 1000, ..Limits::default() };
    let limit = |bytes: &[u8]| match read(bytes, &limits) {
        Err(RamdiskError::Limit { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let zeros = vec![0; 8 << 20];
    for pack in [gzip, zstd, lz4, lz4_legacy, xz] {
        assert_eq!(limit(&pack(&zeros)), "uncompressed_bytes");
        let file = Archive::new().file("a", std::str::from_utf8(&zeros).unwrap()).end();
        assert_eq!(limit(&pack(&file)), "uncompressed_bytes");
    }
    let many = (0..101).fold(Archive::new(), |archive, _| archive.file("a", ""));
    assert_eq!(limit(&many.end()), "entries");
    assert_eq!(limit(&one("a").repeat(60)), "entries");
    assert_eq!(limit(&Archive::new().file(&"a".repeat(1001), "").end()), "metadata_bytes");
    assert_eq!(limit(&Archive::new().symlink("a", &"a".repeat(1001)).end()), "metadata_bytes");
    let fix = read(&many_names(), &limits).unwrap_err().fix().unwrap();
    assert_eq!(fix, "if it should be that large: --limit metadata_bytes=2000");
}

fn many_names() -> Vec<u8> {
    (0..20).fold(Archive::new(), |archive, _| archive.file(&"a".repeat(100), "")).end()
}

/// A dictionary that takes gigabytes is refused before it is made.
#[test]
fn the_memory_of_a_decoder_is_bounded() {
    let options = lzma_rust2::XzOptions {
        lzma_options: lzma_rust2::LzmaOptions { dict_size: 512 << 20, ..Default::default() },
        ..Default::default()
    };
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    std::io::Write::write_all(&mut encoder, &one("a")).unwrap();
    let packed = encoder.finish().unwrap();
    assert!(matches!(read(&packed, &Limits::default()), Err(RamdiskError::Compression { format: "xz", .. })));
}
