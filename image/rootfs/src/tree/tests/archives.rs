//! Forms of tar archives: long names, PAX, sparse files, odd numbers; and archives that are broken.

use super::*;
use crate::archive::TarError;
use std::process::{Command, Stdio};

fn broken(bytes: Vec<u8>) -> TarError {
    match merged_bytes([bytes], &Limits::default()) {
        Err(RootfsError::Archive { layer: 1, source }) => source,
        other => panic!("expected a broken archive, found {other:?}"),
    }
}

#[test]
fn long_names_and_link_targets_in_gnu_form() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    let tree = merged([Layer::new().file(&long, "x").symlink("s", &long)]).unwrap();
    let listed = listing(&tree);
    assert_eq!(listed[1], format!("f {long} 644 = x"));
    assert_eq!(listed[2], format!("l s 777 -> {long}"));
}

#[test]
fn pax_records_win_over_the_header() {
    let tree = merged([Layer::new()
        .pax(&[("path", b"from/pax"), ("uid", b"4000000000"), ("gid", b"7"), ("size", b"1")])
        .file("from-header", "x")
        .pax(&[("linkpath", b"pax-target"), ("uid", b"")])
        .symlink("s", "t")])
    .unwrap();
    assert_eq!(listing(&tree), ["d from 755", "f from/pax 644 4000000000:7 = x", "l s 777 -> pax-target"]);
}

#[test]
fn names_that_are_not_text_are_kept() {
    let tree = merged([Layer::new().raw(b"caf\xe9/\xff\n", EntryType::Regular, b"", b"x")]).unwrap();
    let paths: Vec<_> = tree.entries().map(|entry| entry.path).collect();
    assert_eq!(paths, [&b"caf\xe9"[..], b"caf\xe9/\xff\n"]);
}

#[test]
fn malformed_pax_records_are_refused() {
    let with = |records: &[u8]| {
        let mut layer = Layer::new();
        let header = {
            let mut header = header(EntryType::XHeader, 0o644, (0, 0), records.len());
            header.set_cksum();
            header
        };
        layer.0.append(&header, records).unwrap();
        broken(layer.file("f", "").finish())
    };
    for records in [&b"x"[..], b"99 path=x\n", b"7 path\n", b"0 a=b\n", b"10 uid=-1\n", b"12 path=a\0b\n"] {
        assert!(matches!(with(records), TarError::Extension { .. }), "{}", records.escape_ascii());
    }
    assert!(matches!(with(b"11 size=12\n"), TarError::Number { field: "size", .. }));
    let bomb = vec![b'x'; 2 << 20];
    assert!(matches!(with(&bomb), TarError::ExtensionTooLarge { .. }));
    // A long name in GNU's form has the same limit.
    let mut header = header(EntryType::GNULongName, 0o644, (0, 0), bomb.len());
    header.set_cksum();
    let mut layer = Layer::new();
    layer.0.append(&header, bomb.as_slice()).unwrap();
    assert!(matches!(broken(layer.file("f", "").finish()), TarError::ExtensionTooLarge { .. }));
}

#[test]
fn broken_headers_are_refused() {
    let whole = Layer::new().file("f", "content").finish();
    let changed = |at: usize, byte: u8, keep_checksum: bool| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        if !keep_checksum {
            let mut header = Header::from_byte_slice(&bytes[..512]).clone();
            header.set_cksum();
            bytes[..512].copy_from_slice(header.as_bytes());
        }
        broken(bytes)
    };
    assert!(matches!(changed(0, b'g', true), TarError::Checksum { position: 0 }));
    assert!(matches!(changed(124, b'9', false), TarError::Number { field: "size", .. }));
    assert!(matches!(changed(124, 0xff, false), TarError::Number { field: "size", .. }));
    assert!(matches!(changed(108, b'x', false), TarError::Number { field: "owner", .. }));
    assert!(matches!(changed(156, b'V', false), TarError::MemberType { .. }));
    for end in [100, 511, 512 + 3] {
        assert!(matches!(broken(whole[..end].to_vec()), TarError::Truncated { .. }), "{end}");
    }
    // `umoci insert` closes no archive: neither the final zeros are there nor what fills the last block.
    for end in [512 + 7, 600, 1024] {
        assert!(merged_bytes([whole[..end].to_vec()], &Limits::default()).is_ok(), "{end}");
    }
    let followed = [whole.as_slice(), b"x"].concat();
    assert!(matches!(broken(followed), TarError::TrailingData { .. }));
    let two = [whole.as_slice(), whole.as_slice()].concat();
    assert!(matches!(broken(two), TarError::TrailingData { .. }));
}

#[test]
fn numbers_in_base_256_are_read() {
    let tree = merged([Layer::new().file_of("f", 0o644, (3_000_000_000, 4_000_000_000))]).unwrap();
    assert_eq!(listing(&tree), ["f f 644 3000000000:4000000000 = "]);
}

/// The archive GNU tar makes of a file with holes at its beginning, between and at its end.
fn sparse_archive(form: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("sparse")).unwrap();
    for part in 0..40u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"data", (2 * part + 1) * 65_536).unwrap();
    }
    file.set_len(6_000_000).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--sparse", "-cf", "-", &format!("--format={form}"), "-C"]).arg(folder.path()).arg("sparse");
    let Ok(output) = tar.stderr(Stdio::inherit()).output() else {
        eprintln!("NOT TESTED: no GNU `tar` here (apt-get install tar)");
        return None;
    };
    assert!(output.status.success());
    Some(output.stdout)
}

#[test]
fn sparse_files_in_both_forms_of_gnu_tar_are_filled() {
    for form in ["gnu", "posix"] {
        let Some(archive) = sparse_archive(form) else { return };
        assert!(archive.len() < 1_000_000, "this file system has no holes");
        let tree = merged_bytes([archive.clone()], &Limits::default()).unwrap();
        assert_eq!(tree.entries().next().unwrap().path, b"sparse");
        let content = tree.read("sparse", 6_000_000).unwrap().unwrap();
        assert_eq!(content.len(), 6_000_000, "{form}");
        for (index, byte) in content.iter().enumerate() {
            let in_part = index % 131_072;
            let expected = if (65_536..65_540).contains(&in_part) && index < 80 * 65_536 {
                b"data"[in_part - 65_536]
            } else {
                0
            };
            assert_eq!(*byte, expected, "{form} at {index}");
        }
        // A small limit counts the file's real length.
        let limits = Limits { file_bytes: 5_999_999, ..Limits::default() };
        assert!(merged_bytes([archive], &limits).is_err());
    }
}

#[test]
fn contradictory_maps_of_holes_are_refused() {
    let Some(archive) = sparse_archive("gnu") else { return };
    let changed = |range: std::ops::Range<usize>, value: &[u8]| {
        let mut bytes = archive.clone();
        bytes[range].copy_from_slice(value);
        let mut header = Header::from_byte_slice(&bytes[..512]).clone();
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        broken(bytes)
    };
    assert!(matches!(changed(483..495, b"00000000001\0"), TarError::Sparse { .. }));
    assert!(matches!(changed(398..410, b"00000000001\0"), TarError::Sparse { .. }));
    assert!(matches!(changed(410..422, b"00000000000\0"), TarError::Sparse { .. }));
    let old = Layer::new().pax(&[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"1")]).file("f", "x");
    assert!(matches!(broken(old.finish()), TarError::Sparse { .. }));
    let short = Layer::new()
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"1")])
        .file("f", "x");
    assert!(matches!(broken(short.finish()), TarError::Sparse { .. }));
}
