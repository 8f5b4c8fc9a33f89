//! The merged tree of a container image, entry by entry.

use super::SideError;
use crate::entry::{Entry, Kind};
use caution_rootfs::cpio::{self, EntryKind};
use caution_rootfs::{RootfsError, Tree};
use std::collections::HashSet;
use std::io::{self, Read};
use std::ops::ControlFlow;

/// Shows the entries; the root has the path `.`. The content of a file with several names comes with the first.
pub(super) fn visit<E: From<SideError>>(
    tree: &Tree,
    mut visit: impl FnMut(Entry, &mut dyn Read) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let mut seen = HashSet::new();
    let visited = tree.visit(|found, content| {
        let is_again = matches!(found.kind, EntryKind::HardLink { group, .. } if !seen.insert(group));
        let visited = if is_again {
            visit(entry(found, true), &mut io::empty())
        } else {
            visit(entry(found, false), content)
        };
        visited.map_err(Failed::Visit)
    });
    visited.map_err(|failed| match failed {
        Failed::Visit(error) => error,
        Failed::Tree(error) => SideError::from(error).into(),
    })
}

/// Whose failure ends a visit.
enum Failed<E> {
    Visit(E),
    Tree(RootfsError),
}

impl<E> From<RootfsError> for Failed<E> {
    fn from(error: RootfsError) -> Self {
        Self::Tree(error)
    }
}

fn entry(found: cpio::Entry, is_again: bool) -> Entry {
    let cpio::Entry { mut path, kind, mode, uid, gid } = found;
    if path.is_empty() {
        path.push(b'.');
    }
    let kind = match kind {
        EntryKind::File { size } => Kind::File { size, group: None },
        EntryKind::HardLink { group, size, .. } => {
            Kind::File { size: if is_again { 0 } else { size }, group: Some(group) }
        }
        EntryKind::Directory => Kind::Directory,
        EntryKind::Symlink(target) => Kind::Symlink(target),
        EntryKind::CharDevice { major, minor } => Kind::CharDevice { major, minor },
        EntryKind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
        EntryKind::Fifo => Kind::Fifo,
    };
    Entry { path, kind, mode, uid, gid, mtime: None }
}
