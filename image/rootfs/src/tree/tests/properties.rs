//! Any tree written as an archive reads back the same; and no bytes at all make a reader panic.

use super::*;
use crate::cpio::Reader;
use crate::tree::walk;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;

#[derive(Debug, Clone)]
enum Made {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    /// A second name of whatever file came first.
    HardLink,
}

fn made() -> impl Strategy<Value = (Made, u32, u32, u32)> {
    let kind = prop_oneof![
        vec(any::<u8>(), 0..600).prop_map(Made::File),
        Just(Made::Directory),
        vec(1..=255u8, 1..90).prop_map(Made::Symlink),
        Just(Made::Fifo),
        Just(Made::HardLink),
    ];
    (kind, 0..=0o7777u32, any::<u32>(), any::<u32>())
}

/// Up to three components of few letters, so that paths meet each other.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = vec(prop_oneof![Just(b'a'), Just(b'-'), Just(b'0'), Just(0xe9u8)], 1..3);
    vec(name, 1..4).prop_map(|names| names.join(&b'/'))
}

/// What an archive should say: everything but inode numbers.
type Said = BTreeMap<Vec<u8>, (String, u32, u32, u32, Vec<u8>)>;

fn said_by_tree(tree: &Tree) -> Said {
    tree.entries()
        .map(|entry| {
            let (kind, content) = match &entry.kind {
                EntryKind::File { .. } | EntryKind::HardLink { .. } => {
                    let Ok(super::super::lookup::Found::Node(node)) = tree.lookup(&entry.path, false) else {
                        panic!("an entry that is not there")
                    };
                    let super::super::NodeKind::File(content) = tree.node(node).kind else {
                        panic!("a file that is none")
                    };
                    let mut bytes = Vec::new();
                    tree.contents.open(content).expect("is there").read_to_end(&mut bytes).expect("readable");
                    ("file".to_owned(), bytes)
                }
                other => (format!("{other:?}"), Vec::new()),
            };
            (entry.path, (kind, entry.mode, entry.uid, entry.gid, content))
        })
        .collect()
}

fn said_by_archive(archive: &[u8]) -> Said {
    let mut reader = Reader::new(archive);
    let mut said = Said::new();
    let mut linked: HashMap<u32, (Vec<Vec<u8>>, u32)> = HashMap::new();
    let mut previous = Vec::new();
    while let Some(found) = reader.next_entry().expect("readable") {
        assert!(previous < found.entry.path, "not sorted");
        previous.clone_from(&found.entry.path);
        let Some(path) = found.entry.path.strip_prefix(b"rootfs/") else { continue };
        let mut content = Vec::new();
        reader.read_to_end(&mut content).expect("readable");
        let kind = match &found.entry.kind {
            EntryKind::HardLink { names, .. } => {
                let (paths, announced) = linked.entry(found.inode).or_default();
                paths.push(path.to_vec());
                *announced = *names;
                if paths.len() == *names as usize {
                    for earlier in &paths[..paths.len() - 1] {
                        said.get_mut(earlier).expect("seen before").4.clone_from(&content);
                    }
                } else {
                    assert!(content.is_empty(), "content before the last name");
                }
                "file".to_owned()
            }
            EntryKind::File { .. } => "file".to_owned(),
            other => format!("{other:?}"),
        };
        said.insert(path.to_vec(), (kind, found.entry.mode, found.entry.uid, found.entry.gid, content));
    }
    assert!(linked.values().all(|(paths, names)| paths.len() == *names as usize));
    reader.finish().expect("nothing behind the trailer");
    said
}

fn archive_of(entries: &BTreeMap<Vec<u8>, (Made, u32, u32, u32)>) -> Vec<u8> {
    let first_file =
        entries.iter().find(|(_, (kind, ..))| matches!(kind, Made::File(_))).map(|(path, _)| path);
    let mut layer = Layer::new();
    for (path, (kind, mode, uid, gid)) in entries {
        let (entry_type, link, content): (_, &[u8], &[u8]) = match kind {
            Made::File(content) => (EntryType::Regular, b"", content),
            Made::Directory => (EntryType::Directory, b"", b""),
            Made::Symlink(target) => (EntryType::Symlink, target, b""),
            Made::Fifo => (EntryType::Fifo, b"", b""),
            Made::HardLink => (EntryType::Link, first_file.map_or(&b"none"[..], Vec::as_slice), b""),
        };
        let mut header = header(entry_type, *mode, ((*uid).into(), (*gid).into()), content.len());
        let bytes = header.as_mut_bytes();
        bytes[..path.len()].copy_from_slice(path);
        bytes[157..157 + link.len()].copy_from_slice(link);
        header.set_cksum();
        layer.0.append(&header, content).expect("written to memory");
    }
    layer.finish()
}

fn unpack_cpio(archive: &[u8], folder: &std::path::Path) {
    let mut child = std::process::Command::new("cpio")
        .args(["--quiet", "--extract"])
        .current_dir(folder)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("cpio runs");
    child.stdin.take().expect("is piped").write_all(archive).expect("cpio reads");
    assert!(child.wait().expect("ends").success());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_reads_back_from_its_archive(entries in btree_map(path(), made(), 0..12)) {
        // Some of these archives are refused: a file in the way, a hard link to nothing. The rest must round-trip.
        if let Ok(tree) = merged_bytes([archive_of(&entries)], &Limits::default()) {
            let archive = tree.write_cpio("rootfs", &[("boot.json", b"{}")], Vec::new()).expect("written");
            prop_assert_eq!(said_by_archive(&archive), said_by_tree(&tree));
        }
    }

    /// What an engine mounts and what its layers say are one tree. cpio makes the folder, which only root can.
    #[test]
    fn any_tree_is_the_same_as_a_folder(entries in btree_map(path(), made(), 0..12)) {
        // 2³² - 1 means "as it is" to chown.
        let entries = entries.into_iter().map(|(path, (kind, mode, uid, gid))| {
            (path, (kind, mode, uid.min(u32::MAX - 1), gid.min(u32::MAX - 1)))
        }).collect();
        let merged = merged_bytes([archive_of(&entries)], &Limits::default());
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if let Some(merged) = merged.ok().filter(|_| is_root) {
            let archive = merged.write_cpio("rootfs", &[], Vec::new()).expect("written");
            let folder = tempfile::tempdir().expect("a temporary folder");
            unpack_cpio(&archive, folder.path());
            let walked = walk(&folder.path().join("rootfs"), &Limits::default()).expect("walks");
            let again = walked.write_cpio("rootfs", &[], Vec::new()).expect("written");
            prop_assert_eq!(said_by_archive(&again), said_by_archive(&archive));
            prop_assert!(again == archive, "the archives differ");
        }
    }

    #[test]
    fn changed_archives_never_panic(
        entries in btree_map(path(), made(), 1..6),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut archive = archive_of(&entries);
        let at = at.index(archive.len());
        archive[at] = byte;
        // A fresh checksum, so that the change gets past the first check.
        let header = at / 512 * 512;
        let mut fixed = Header::from_byte_slice(&archive[header..header + 512]).clone();
        fixed.set_cksum();
        let mut with_checksum = archive.clone();
        with_checksum[header..header + 512].copy_from_slice(fixed.as_bytes());
        for bytes in [archive, with_checksum] {
            drop(merged_bytes([bytes], &Limits { total_bytes: 1 << 20, ..Limits::default() }));
        }
    }

    #[test]
    fn changed_cpio_archives_never_panic(noise in vec(any::<u8>(), 0..400), at in 0..400usize) {
        let tree = merged([Layer::new().file("a", "content").symlink("b", "a")]).expect("merged");
        let mut archive = tree.write_cpio("rootfs", &[], Vec::new()).expect("written");
        let end = (at + noise.len()).min(archive.len());
        if at < end {
            archive[at..end].copy_from_slice(&noise[..end - at]);
        }
        drop(Reader::new(archive.as_slice()).finish());
    }
}
