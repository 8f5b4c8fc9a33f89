//! Putting things into a growing tree, and taking them out: what layers and folders have in common.

use super::{Child, Content, Contents, Directory, EntryError, Node, NodeId, NodeKind, ROOT, Tree};
use crate::archive::MemberKind;
use crate::limits::Limits;
use std::collections::HashMap;

/// Attributes of a member.
#[derive(Clone, Copy)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// What a directory gets that no layer describes.
pub(super) const IMPLICIT: Attributes = Attributes { mode: 0o755, uid: 0, gid: 0 };

impl Tree {
    /// A root alone, as it is where nothing describes it.
    pub(super) fn empty(limits: &Limits) -> Self {
        let Attributes { mode, uid, gid } = IMPLICIT;
        let root = Node { kind: NodeKind::Directory(Directory::default()), mode, uid, gid, names: 1 };
        Self {
            nodes: vec![root],
            contents: Contents::Open(Vec::new()),
            xattrs: HashMap::new(),
            limits: *limits,
            metadata_bytes: 0,
        }
    }

    pub(super) fn node_kind(
        &mut self,
        kind: &MemberKind,
        content: Option<Content>,
    ) -> Result<NodeKind, EntryError> {
        Ok(match (kind, content) {
            (MemberKind::File { .. }, Some(content)) => NodeKind::File(content),
            (MemberKind::Symlink(target), _) => {
                if target.is_empty() || target.len() > MAX_LINK {
                    return Err(EntryError::EmptyLink);
                }
                self.count_metadata(target.len())?;
                NodeKind::Symlink(target.as_slice().into())
            }
            (MemberKind::CharDevice { major, minor } | MemberKind::BlockDevice { major, minor }, _) => {
                let (major, minor) = (*major, *minor);
                if major >= 1 << 12 || minor >= 1 << 20 {
                    return Err(EntryError::Device { major, minor });
                }
                if matches!(kind, MemberKind::CharDevice { .. }) {
                    NodeKind::CharDevice { major, minor }
                } else {
                    NodeKind::BlockDevice { major, minor }
                }
            }
            (MemberKind::Fifo, _) => NodeKind::Fifo,
            // Hard links are placed elsewhere, and every file has content.
            (MemberKind::Directory | MemberKind::HardLink(_) | MemberKind::File { .. }, _) => {
                NodeKind::Directory(Directory::default())
            }
        })
    }

    /// Puts a new node under a name, in place of whatever was there.
    pub(super) fn place(
        &mut self,
        layer: usize,
        directory: NodeId,
        name: &[u8],
        mut kind: NodeKind,
    ) -> Result<NodeId, EntryError> {
        let above = self.directory(directory).map_or(0, |directory| directory.path_length);
        let path_length = above + usize::from(directory != ROOT) + name.len();
        let Limits { path_bytes, entries, .. } = self.limits;
        if path_length > path_bytes {
            return Err(EntryError::PathTooLong { found: path_length, limit: path_bytes });
        }
        if let NodeKind::Directory(new) = &mut kind {
            new.path_length = path_length;
        }
        self.remove(directory, name);
        self.count_metadata(name.len())?;
        let id = u32::try_from(self.nodes.len())
            .ok()
            // Directories that no entry names count too.
            .filter(|id| u64::from(*id) <= entries)
            .ok_or(EntryError::TooManyEntries { limit: entries })?;
        let Attributes { mode, uid, gid } = IMPLICIT;
        self.nodes.push(Node { kind, mode, uid, gid, names: 1 });
        self.stamp(directory, name, id, layer);
        Ok(id)
    }

    pub(super) fn child(&self, directory: NodeId, name: &[u8]) -> Option<Child> {
        self.directory(directory)?.children.get(name).copied()
    }

    pub(super) fn names(&self, directory: NodeId) -> Vec<Box<[u8]>> {
        self.directory(directory).map(|d| d.children.keys().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn stamp(&mut self, directory: NodeId, name: &[u8], node: NodeId, layer: usize) {
        if let Some(directory) = self.directory_mut(directory) {
            directory.children.insert(name.into(), Child { node, layer });
        }
    }

    pub(super) fn set_attributes(&mut self, node: NodeId, Attributes { mode, uid, gid }: Attributes) {
        let node = self.node_mut(node);
        // Linux shows every symbolic link with this mode, whatever an archive says.
        let mode = if matches!(node.kind, NodeKind::Symlink(_)) { 0o777 } else { mode };
        (node.mode, node.uid, node.gid) = (mode, uid, gid);
    }

    pub(super) fn count_metadata(&mut self, bytes: usize) -> Result<(), EntryError> {
        self.metadata_bytes += bytes as u64;
        let limit = self.limits.metadata_bytes;
        if self.metadata_bytes > limit { Err(EntryError::MetadataTooLarge { limit }) } else { Ok(()) }
    }

    /// Takes a name, and all below it, out of the tree.
    pub(super) fn remove(&mut self, directory: NodeId, name: &[u8]) {
        let Some(child) = self.directory_mut(directory).and_then(|directory| directory.children.remove(name))
        else {
            return;
        };
        for below in self.names(child.node) {
            self.remove(child.node, &below);
        }
        let node = self.node_mut(child.node);
        node.names -= 1;
        if node.names == 0 {
            self.xattrs.remove(&child.node);
        }
    }

    /// Leaves out the empty files that engines put where they mount their own; see `specs/rootfs.md`.
    pub(super) fn drop_placeholders(&mut self) {
        for path in PLACEHOLDERS {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            // No links: an engine mounts over the very path.
            let Some(directory) = parent
                .split('/')
                .filter(|name| !name.is_empty())
                .try_fold(ROOT, |at, name| self.child(at, name.as_bytes()).map(|child| child.node))
            else {
                continue;
            };
            let Some(child) = self.child(directory, name.as_bytes()) else { continue };
            let node = self.node(child.node);
            if node.names == 1 && matches!(node.kind, NodeKind::File(Content { size: 0, .. })) {
                self.remove(directory, name.as_bytes());
            }
        }
    }
}

/// Where engines mount files of their own while they build or run, leaving an empty file behind.
const PLACEHOLDERS: [&str; 5] =
    [".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "run/.containerenv"];
/// `PATH_MAX` less the final NUL.
const MAX_LINK: usize = 4095;
