//! The merged file system of an image, as a tree in memory.
//!
//! Nothing is unpacked into a file system: names and attributes live in memory, content stays in the layers' archives,
//! those that are compressed as nameless temporary files. A hostile layer can at worst make a strange tree.

mod content;
mod emit;
mod error;
mod folder;
mod grow;
mod hide;
mod layers;
mod lookup;
mod merge;
mod only;
#[cfg(test)]
mod tests;
mod user;

use crate::limits::Limits;
pub(crate) use content::{Content, Contents};
pub use error::{EntryError, RootfsError};
pub use folder::walk;
pub use merge::{merge, merge_archives};
use std::collections::{BTreeMap, HashMap};
pub use user::{ResolvedUser, UserError, resolve_user};

/// A merged file system.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    contents: Contents,
    /// Names of extended attributes of nodes that have any.
    xattrs: HashMap<NodeId, Vec<Vec<u8>>>,
    limits: Limits,
    /// Bytes of names, link targets and attribute names that were ever stored.
    metadata_bytes: u64,
}

/// An extended attribute that the image cannot carry: an initramfs has no place for them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DroppedXattr {
    /// Path inside the image.
    pub path: Vec<u8>,
    /// The attribute: `security.capability` is a file capability.
    pub name: Vec<u8>,
}

/// Index into [`Tree::nodes`].
type NodeId = u32;
const ROOT: NodeId = 0;

/// What a name leads to: an inode.
#[derive(Debug)]
struct Node {
    kind: NodeKind,
    mode: u32,
    uid: u32,
    gid: u32,
    /// Names that lead here; 0 once it was removed.
    names: u32,
}

#[derive(Debug)]
enum NodeKind {
    Directory(Directory),
    File(Content),
    Symlink(Box<[u8]>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

#[derive(Debug, Default)]
struct Directory {
    children: BTreeMap<Box<[u8]>, Child>,
    /// Length of this directory's own path; directories never move.
    path_length: usize,
}

#[derive(Debug, Clone, Copy)]
struct Child {
    node: NodeId,
    /// The layer that wrote this name last, from 1; [`layers::UNKNOWN`] where that is not known.
    layer: usize,
}

impl Tree {
    /// How many entries the tree has, without its root.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// Whether the tree has no entry.
    pub fn is_empty(&self) -> bool {
        self.directory(ROOT).is_some_and(|root| root.children.is_empty())
    }

    /// Bytes of all files; a file with several names counts once.
    pub fn total_size(&self) -> u64 {
        self.nodes
            .iter()
            .filter(|node| node.names > 0)
            .map(|node| if let NodeKind::File(content) = &node.kind { content.size } else { 0 })
            .sum()
    }

    /// Extended attributes, file capabilities among them, that the written archive will lack; sorted.
    pub fn dropped_xattrs(&self) -> Vec<DroppedXattr> {
        let mut dropped: Vec<DroppedXattr> = self
            .walk()
            .filter_map(|step| Some((step.path, self.xattrs.get(&step.node)?)))
            .flat_map(|(path, names)| {
                names.iter().map(move |name| DroppedXattr { path: path.clone(), name: name.clone() })
            })
            .collect();
        dropped.sort();
        dropped
    }

    fn node(&self, id: NodeId) -> &Node {
        // Ids come from `add_node` alone and nodes are never taken out.
        &self.nodes[id as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    fn directory(&self, id: NodeId) -> Option<&Directory> {
        if let NodeKind::Directory(directory) = &self.node(id).kind { Some(directory) } else { None }
    }

    fn directory_mut(&mut self, id: NodeId) -> Option<&mut Directory> {
        if let NodeKind::Directory(directory) = &mut self.node_mut(id).kind { Some(directory) } else { None }
    }
}
