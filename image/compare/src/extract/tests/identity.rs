//! Any tree that is packed and extracted is the same tree.

use super::*;
use caution_rootfs::cpio::{Entry, EntryKind, Writer};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Kind {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    Char(u32, u32),
    Block(u32, u32),
    /// A further name of whatever file comes first.
    HardLink,
}

type Made = (Kind, u32, u32, u32);

fn made() -> impl Strategy<Value = Made> {
    let device = || (0..1u32 << 12, 0..1u32 << 20);
    let kind = prop_oneof![
        3 => vec(any::<u8>(), 0..600).prop_map(Kind::File),
        3 => Just(Kind::Directory),
        2 => vec(1..=255u8, 1..90).prop_map(Kind::Symlink),
        1 => Just(Kind::Fifo),
        1 => device().prop_map(|(major, minor)| Kind::Char(major, minor)),
        1 => device().prop_map(|(major, minor)| Kind::Block(major, minor)),
        2 => Just(Kind::HardLink),
    ];
    // 2³² - 1 means "as it is" to chown.
    (kind, 0..=0o7777u32, 0..u32::MAX, 0..u32::MAX)
}

/// Up to three components of few letters, so that paths meet each other.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = vec(prop_oneof![Just(b'a'), Just(b'-'), Just(b'0'), Just(0xe9u8)], 1..3);
    vec(name, 1..4)
        .prop_map(|names| [b"rootfs".to_vec()].into_iter().chain(names).collect::<Vec<_>>().join(&b'/'))
}

/// The canonical archive of what can be of these: nothing lies below a file.
fn packed(wanted: &BTreeMap<Vec<u8>, Made>) -> Vec<u8> {
    let mut entries: BTreeMap<Vec<u8>, Made> = BTreeMap::from([(b"rootfs".to_vec(), folder())]);
    for (path, made) in wanted {
        let parents: Vec<&[u8]> =
            (0..path.len()).filter(|at| path[*at] == b'/').map(|slash| &path[..slash]).collect();
        let is_folder =
            |path: &&[u8]| entries.get(*path).is_none_or(|(kind, ..)| matches!(kind, Kind::Directory));
        if parents.iter().all(is_folder) {
            for parent in parents {
                entries.entry(parent.to_vec()).or_insert_with(folder);
            }
            entries.insert(path.clone(), made.clone());
        }
    }
    let file = entries.values().find(|(kind, ..)| matches!(kind, Kind::File(_))).cloned();
    let links = entries.values().filter(|(kind, ..)| matches!(kind, Kind::HardLink)).count();
    let mut writer = Writer::new(Vec::new());
    let mut is_first = true;
    for (path, (kind, mode, uid, gid)) in entries {
        let own = (mode, uid, gid);
        let (kind, (mode, uid, gid), content) = match (kind, &file) {
            (kind @ (Kind::File(_) | Kind::HardLink), Some((Kind::File(content), mode, uid, gid)))
                if links > 0 && (is_first || matches!(kind, Kind::HardLink)) =>
            {
                is_first &= !matches!(kind, Kind::File(_));
                let names = u32::try_from(links).unwrap() + 1;
                let kind = EntryKind::HardLink { group: 1, names, size: content.len() as u64 };
                (kind, (*mode, *uid, *gid), content.clone())
            }
            (Kind::File(content), _) => (EntryKind::File { size: content.len() as u64 }, own, content),
            (Kind::Directory, _) => (EntryKind::Directory, own, Vec::new()),
            (Kind::Symlink(target), _) => (EntryKind::Symlink(target), (0o777, uid, gid), Vec::new()),
            // Without a file there is nothing to be a name of.
            (Kind::Fifo | Kind::HardLink, _) => (EntryKind::Fifo, own, Vec::new()),
            (Kind::Char(major, minor), _) => (EntryKind::CharDevice { major, minor }, own, Vec::new()),
            (Kind::Block(major, minor), _) => (EntryKind::BlockDevice { major, minor }, own, Vec::new()),
        };
        writer.append(&Entry { path, kind, mode, uid, gid }, &mut content.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

fn folder() -> Made {
    (Kind::Directory, 0o755, 0, 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// The folder is read and packed again by the code that builds images: the bytes are the same.
    #[test]
    fn what_is_packed_is_extracted_the_same(entries in btree_map(path(), made(), 0..14)) {
        let archive = packed(&entries);
        if !is_root() {
            return Ok(());
        }
        let scratch = Scratch::new(&gzip(&archive));
        let extracted = scratch.extract().unwrap();
        prop_assert_eq!(extracted.differing, 0);
        let walked = caution_rootfs::walk(&scratch.path("out/rootfs"), &Limits::default()).unwrap();
        let again = walked.write_cpio("rootfs", &[], Vec::new()).unwrap();
        prop_assert!(again == archive, "packed again it is another archive");
    }

    #[test]
    fn damaged_archives_are_harmless(
        entries in btree_map(path(), made(), 1..8),
        damage in vec((any::<prop::sample::Index>(), prop::sample::select(&b"0123467/.\0Ff"[..])), 1..20),
    ) {
        let mut archive = packed(&entries);
        for (at, byte) in damage {
            let at = at.index(archive.len());
            archive[at] = byte;
        }
        let scratch = Scratch::new(&archive);
        let limits = Limits { uncompressed_bytes: 1 << 20, ..Limits::default() };
        if let Ok(side) = Side::open(&scratch.path("image"), &limits, scratch.0.path())
            && extract(&side, &[0], &scratch.path("out")).is_ok()
        {
            prop_assert_eq!(scratch.names(), ["image", "out", "out.meta.json"]);
        } else {
            prop_assert_eq!(scratch.names(), ["image"]);
        }
    }
}
