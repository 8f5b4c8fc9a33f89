//! A tree in lines that can be compared: what we would measure, and what lies in a folder.

use super::shell;
use caution_measure::Sha256Digest;
use caution_rootfs::Tree;
use caution_rootfs::cpio::{EntryKind, Reader};
use std::collections::{BTreeMap, HashMap};
use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// Everything about each path, the root as ".": type, mode, owner, and what its type has besides. Paths are escaped.
pub(super) type Listing = BTreeMap<String, String>;

/// One path, before the names of its file are put together.
struct Found {
    path: Vec<u8>,
    mode: u32,
    owner: (u32, u32),
    what: What,
}

enum What {
    /// Names of one file share the number.
    File {
        inode: u64,
        size: u64,
        content: Sha256Digest,
    },
    Other(String),
}

/// The tree as its archive says, the bytes that are measured, with the attributes that it says it lost.
pub(super) fn measured(tree: &Tree) -> Listing {
    let archive = tree.write_cpio("rootfs", &[], Vec::new()).expect("the tree is written");
    let mut reader = Reader::new(archive.as_slice());
    let (mut found, mut contents) = (Vec::new(), HashMap::new());
    while let Some(read) = reader.next_entry().expect("the archive is good") {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).expect("the archive is good");
        let entry = read.entry;
        let what = match entry.kind {
            EntryKind::File { .. } | EntryKind::HardLink { .. } => {
                // The last name of a file has the content, the others are empty.
                let of_file = (content.len() as u64, Sha256Digest::of(&content));
                contents.insert(u64::from(read.inode), of_file);
                What::File { inode: read.inode.into(), size: 0, content: of_file.1 }
            }
            EntryKind::Directory => What::Other("directory".into()),
            EntryKind::Symlink(target) => What::Other(link(&target)),
            EntryKind::CharDevice { major, minor } => What::Other(device("character", major, minor)),
            EntryKind::BlockDevice { major, minor } => What::Other(device("block", major, minor)),
            EntryKind::Fifo => What::Other("fifo".into()),
        };
        let path = entry.path.strip_prefix(b"rootfs/").unwrap_or(b".").to_vec();
        found.push(Found { path, mode: entry.mode, owner: (entry.uid, entry.gid), what });
    }
    for one in &mut found {
        if let What::File { inode, size, content } = &mut one.what {
            (*size, *content) = contents[inode];
        }
    }
    let mut listing = listing(&found);
    for dropped in tree.dropped_xattrs() {
        attribute(
            &mut listing,
            &dropped.path.escape_ascii().to_string(),
            &dropped.name.escape_ascii().to_string(),
        );
    }
    listing
}

/// A folder as the file system says.
pub(super) fn unpacked(root: &Path) -> Listing {
    let mut found = vec![Found { path: b".".to_vec(), ..inspect(root) }];
    walk(root, root, &mut found);
    let mut listing = listing(&found);
    let dump = shell("cd \"$1\" && getfattr -R -P -h -m - -- .", root).expect("attributes are read");
    let mut path = "";
    for line in dump.lines() {
        if let Some(name) = line.strip_prefix("# file: ") {
            path = name;
        } else if !line.is_empty() {
            attribute(&mut listing, path, line);
        }
    }
    listing
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Found>) {
    for inner in std::fs::read_dir(folder).expect("readable") {
        let path = inner.expect("readable").path();
        let name = path.strip_prefix(root).expect("below").as_os_str().as_encoded_bytes().to_vec();
        found.push(Found { path: name, ..inspect(&path) });
        if std::fs::symlink_metadata(&path).expect("readable").is_dir() {
            walk(root, &path, found);
        }
    }
}

fn inspect(path: &Path) -> Found {
    let metadata = std::fs::symlink_metadata(path).expect("readable");
    let (kind, (major, minor)) = (metadata.file_type(), device_number(&metadata));
    let what = if kind.is_dir() {
        What::Other("directory".into())
    } else if kind.is_symlink() {
        What::Other(link(std::fs::read_link(path).expect("readable").as_os_str().as_encoded_bytes()))
    } else if kind.is_fifo() {
        What::Other("fifo".into())
    } else if kind.is_char_device() {
        What::Other(device("character", major, minor))
    } else if kind.is_block_device() {
        What::Other(device("block", major, minor))
    } else {
        let content = Sha256Digest::of(&std::fs::read(path).expect("readable"));
        What::File { inode: metadata.ino(), size: metadata.len(), content }
    };
    Found { path: Vec::new(), mode: metadata.mode() & 0o7777, owner: (metadata.uid(), metadata.gid()), what }
}

fn listing(found: &[Found]) -> Listing {
    let mut names: HashMap<u64, Vec<String>> = HashMap::new();
    for one in found {
        if let What::File { inode, .. } = one.what {
            names.entry(inode).or_default().push(one.path.escape_ascii().to_string());
        }
    }
    for group in names.values_mut() {
        group.sort();
    }
    found
        .iter()
        .map(|Found { path, mode, owner: (uid, gid), what }| {
            let what = match what {
                What::File { inode, size, content } => {
                    format!("file of {size} bytes, SHA-256 {content}, names {}", names[inode].join(" "))
                }
                What::Other(what) => what.clone(),
            };
            (path.escape_ascii().to_string(), format!("{mode:o} {uid}:{gid} {what}"))
        })
        .collect()
}

fn attribute(listing: &mut Listing, path: &str, name: &str) {
    let described = listing.get_mut(path).expect("attributes of a path that is there");
    described.push_str(", ");
    described.push_str(name);
}

fn link(target: &[u8]) -> String {
    format!("link to {}", target.escape_ascii())
}

fn device(kind: &str, major: u32, minor: u32) -> String {
    format!("{kind} device {major}:{minor}")
}

/// As `makedev(3)` puts them together, in the range an archive can say.
fn device_number(metadata: &Metadata) -> (u32, u32) {
    let number = u32::try_from(metadata.rdev()).expect("a device number of 32 bits");
    ((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00))
}
