//! The merge's rules, one test each; `specs/rootfs.md` names them.

mod archives;
mod folders;
mod hostile;
mod layers;
mod properties;
mod users;

use super::{EntryError, RootfsError, Tree, merge_archives};
use crate::cpio::{Entry, EntryKind};
use crate::limits::Limits;
use tar::{Builder, EntryType, Header};

/// A layer's archive, written by the `tar` crate.
struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, path: &str, mut header: Header, content: &[u8]) -> Self {
        self.0.append_data(&mut header, path, content).expect("written to memory");
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.add(path, header(EntryType::Regular, 0o644, (0, 0), content.len()), content.as_bytes())
    }

    fn file_of(self, path: &str, mode: u32, owner: (u64, u64)) -> Self {
        self.add(path, header(EntryType::Regular, mode, owner, 0), b"")
    }

    fn dir(self, path: &str, mode: u32) -> Self {
        self.add(path, header(EntryType::Directory, mode, (0, 0), 0), b"")
    }

    fn hide(self, path: &str) -> Self {
        self.file(path, "")
    }

    fn link(mut self, kind: EntryType, path: &str, target: &str) -> Self {
        let mut header = header(kind, 0o777, (0, 0), 0);
        self.0.append_link(&mut header, path, target).expect("written to memory");
        self
    }

    fn symlink(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Symlink, path, target)
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.link(EntryType::Link, path, target)
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).expect("written to memory");
        self
    }

    /// A header with a path the `tar` crate would refuse to write.
    fn raw(mut self, path: &[u8], kind: EntryType, link: &[u8], content: &[u8]) -> Self {
        let mut header = header(kind, 0o644, (0, 0), content.len());
        let bytes = header.as_mut_bytes();
        bytes[..path.len()].copy_from_slice(path);
        bytes[157..157 + link.len()].copy_from_slice(link);
        header.set_cksum();
        self.0.append(&header, content).expect("written to memory");
        self
    }

    fn finish(self) -> Vec<u8> {
        self.0.into_inner().expect("written to memory")
    }
}

fn header(kind: EntryType, mode: u32, (uid, gid): (u64, u64), size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_mtime(1_700_000_000);
    header.set_size(size as u64);
    header
}

fn merged_with(layers: impl IntoIterator<Item = Layer>, limits: &Limits) -> Result<Tree, RootfsError> {
    merged_bytes(layers.into_iter().map(Layer::finish), limits)
}

fn merged_bytes(layers: impl IntoIterator<Item = Vec<u8>>, limits: &Limits) -> Result<Tree, RootfsError> {
    let layers: Vec<Vec<u8>> = layers.into_iter().collect();
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    merge_archives(&layers, limits, &std::env::temp_dir())
}

fn merged(layers: impl IntoIterator<Item = Layer>) -> Result<Tree, RootfsError> {
    merged_with(layers, &Limits::default())
}

/// Why the only layer's last entry was refused.
fn refusal(layer: Layer) -> EntryError {
    refusal_with(layer, &Limits::default())
}

fn refusal_with(layer: Layer, limits: &Limits) -> EntryError {
    match merged_with([layer], limits) {
        Err(RootfsError::Entry { layer: 1, source, .. }) => source,
        other => panic!("expected a refused entry, found {other:?}"),
    }
}

/// One line an entry: type, path, mode, owner where not root, content or target.
fn listing(tree: &Tree) -> Vec<String> {
    let describe = |entry: Entry| {
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        let owner = if (entry.uid, entry.gid) == (0, 0) {
            String::new()
        } else {
            format!(" {}:{}", entry.uid, entry.gid)
        };
        let content = || {
            let content = tree.read(&path, 1 << 20).expect("readable").expect("there");
            String::from_utf8_lossy(&content).into_owned()
        };
        let (kind, what) = match &entry.kind {
            EntryKind::Directory => ("d", String::new()),
            EntryKind::File { .. } => ("f", format!(" = {}", content())),
            EntryKind::HardLink { names, .. } => ("h", format!(" ×{names} = {}", content())),
            EntryKind::Symlink(target) => ("l", format!(" -> {}", String::from_utf8_lossy(target))),
            EntryKind::CharDevice { major, minor } => ("c", format!(" {major}:{minor}")),
            EntryKind::BlockDevice { major, minor } => ("b", format!(" {major}:{minor}")),
            EntryKind::Fifo => ("p", String::new()),
        };
        format!("{kind} {path} {:o}{owner}{what}", entry.mode)
    };
    tree.entries().map(describe).collect()
}
