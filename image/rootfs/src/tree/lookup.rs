//! Following paths inside the tree, and nowhere else.

use super::content::Content;
use super::{EntryError, NodeId, NodeKind, ROOT, RootfsError, Tree};
use crate::cpio::display;
use std::io::Read as _;

/// Where a path leads.
pub(super) enum Found<'p> {
    Node(NodeId),
    /// It ends at a directory that lacks the first of these names.
    Missing {
        at: NodeId,
        names: Vec<&'p [u8]>,
    },
}

/// A component still to be followed, and whether a symbolic link brought it.
struct Pending<'p> {
    name: &'p [u8],
    from_link: bool,
}

impl Tree {
    /// The content of a file, following symbolic links; `None` where nothing is there.
    ///
    /// A file longer than `max` bytes is an error, never a part of it.
    pub fn read(&self, path: &str, max: u64) -> Result<Option<Vec<u8>>, RootfsError> {
        self.with_content(path, |content| match content.size {
            found if found > max => Err(EntryError::FileTooLarge { found, limit: max }),
            _ => self.first(content, max),
        })
    }

    /// The first bytes of a file, at most so many, following symbolic links; `None` where nothing is there.
    pub fn read_start(&self, path: &str, length: u64) -> Result<Option<Vec<u8>>, RootfsError> {
        self.with_content(path, |content| self.first(content, length))
    }

    fn with_content(
        &self,
        path: &str,
        read: impl FnOnce(Content) -> Result<Vec<u8>, EntryError>,
    ) -> Result<Option<Vec<u8>>, RootfsError> {
        let read = match self.lookup(path.as_bytes(), true) {
            Ok(Found::Node(node)) => match self.node(node).kind {
                NodeKind::File(content) => read(content),
                _ => Err(EntryError::NotAFile),
            },
            Ok(Found::Missing { .. }) | Err(EntryError::DanglingLink) => return Ok(None),
            Err(error) => Err(error),
        };
        read.map(Some).map_err(|source| RootfsError::Read { path: display(path.as_bytes()), source })
    }

    fn first(&self, content: Content, length: u64) -> Result<Vec<u8>, EntryError> {
        let mut bytes = Vec::new();
        self.contents
            .open(content)
            .and_then(|content| content.take(length).read_to_end(&mut bytes))
            .map_err(EntryError::Content)?;
        Ok(bytes)
    }

    /// Follows `path` from the root. Absolute links start at the tree's root, and `..` there stays there, as in a
    /// chroot. The last component is followed too where `follow_last` says so.
    pub(super) fn lookup<'t>(&'t self, path: &'t [u8], follow_last: bool) -> Result<Found<'t>, EntryError> {
        let mut chain = vec![ROOT];
        let mut pending = Vec::new();
        push(&mut pending, path, false);
        let mut links = 0;
        let mut steps = 0;
        let mut here = ROOT;
        while let Some(Pending { name, from_link }) = pending.pop() {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(EntryError::TooManySteps { limit: MAX_STEPS });
            }
            let Some(directory) = self.directory(here) else {
                return Err(EntryError::NotADirectory { at: display(path) });
            };
            if name == b".." {
                if chain.len() > 1 {
                    chain.pop();
                }
                here = chain.last().copied().unwrap_or(ROOT);
                continue;
            }
            let Some(child) = directory.children.get(name) else {
                if from_link || pending.iter().any(|rest| rest.from_link) {
                    return Err(EntryError::DanglingLink);
                }
                let names = std::iter::once(name).chain(pending.iter().rev().map(|rest| rest.name)).collect();
                return Ok(Found::Missing { at: here, names });
            };
            match &self.node(child.node).kind {
                NodeKind::Symlink(target) if follow_last || !pending.is_empty() => {
                    links += 1;
                    let limit = self.limits.link_depth;
                    if links > limit {
                        return Err(EntryError::LinkDepth { limit });
                    }
                    if target.starts_with(b"/") {
                        chain.truncate(1);
                        here = ROOT;
                    }
                    push(&mut pending, target, true);
                }
                NodeKind::Directory(_) => {
                    chain.push(child.node);
                    here = child.node;
                }
                _ if pending.is_empty() => return Ok(Found::Node(child.node)),
                _ => return Err(EntryError::NotADirectory { at: display(name) }),
            }
        }
        Ok(Found::Node(here))
    }
}

/// Puts a path's components on the stack, the first on top.
fn push<'p>(pending: &mut Vec<Pending<'p>>, path: &'p [u8], from_link: bool) {
    let components = path.split(|b| *b == b'/').rev().filter(|name| !matches!(*name, b"" | b"."));
    pending.extend(components.map(|name| Pending { name, from_link }));
}

/// Twice what the longest path without links takes; with forty long links it could be eighty thousand.
const MAX_STEPS: u32 = 4096;
