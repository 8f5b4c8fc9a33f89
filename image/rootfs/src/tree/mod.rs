//! The merged file system of an image, as a tree in memory.
//!
//! Nothing is unpacked into a file system: names and attributes live in memory, content stays in the layers' archives,
//! those that are compressed as nameless temporary files. A hostile layer can at worst make a strange tree.

mod content;
mod emit;
mod folder;
mod grow;
mod hide;
mod lookup;
mod merge;
mod only;
#[cfg(test)]
mod tests;
mod user;

use crate::cpio::CpioError;
use crate::limits::Limits;
use crate::oci::{OciError, SMALLER};
pub(crate) use content::{Content, Contents};
pub use folder::walk;
pub use merge::{merge, merge_archives};
use std::collections::{BTreeMap, HashMap};
use std::io;
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

/// Why layers cannot be merged, or the tree not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootfsError {
    /// A layer cannot be read.
    #[error("layer {layer} of the image cannot be read")]
    Layer {
        /// One-based, from the lowest up.
        layer: usize,
        /// What is wrong.
        source: OciError,
    },
    /// A layer is no archive.
    #[error("layer {layer} of the image is a broken archive")]
    Archive {
        /// One-based, from the lowest up.
        layer: usize,
        /// What is wrong.
        source: crate::archive::TarError,
    },
    /// An entry of a layer cannot be applied.
    #[error("layer {layer} of the image has an entry that cannot be applied: `{path}`")]
    Entry {
        /// One-based, from the lowest up.
        layer: usize,
        /// The entry, with unprintable bytes escaped.
        path: String,
        /// What is wrong.
        source: EntryError,
    },
    /// A temporary file cannot be written.
    #[error("cannot {doing} a temporary file that holds the image's content")]
    Scratch {
        /// `create` or `write`.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// A path of the tree cannot be read.
    #[error("cannot read `{path}` of the image")]
    Read {
        /// The path.
        path: String,
        /// What is wrong.
        source: EntryError,
    },
    /// A folder that holds an unpacked image cannot be read.
    #[error("cannot read `{path}`")]
    Folder {
        /// The path, with unprintable bytes escaped.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The image's files are not what they were when their digests were compared.
    #[error("the image was changed while it was read")]
    Changed,
    /// The tree cannot be written as an archive.
    #[error("the image cannot be written as a cpio archive")]
    Cpio(#[from] CpioError),
}

impl RootfsError {
    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Layer { source, .. } => source.fix(),
            Self::Changed => {
                Some("build again when nothing writes to the image, or from a copy of it".into())
            }
            Self::Entry {
                source:
                    EntryError::FileTooLarge { .. }
                    | EntryError::TotalTooLarge { .. }
                    | EntryError::TooManyEntries { .. }
                    | EntryError::MetadataTooLarge { .. },
                ..
            } => Some(SMALLER.into()),
            _ => None,
        }
    }
}

/// Why an entry of a layer cannot be applied, or a path not be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// The path leads up.
    #[error("its path has a `..` component")]
    Traversal,
    /// The path holds a NUL.
    #[error("its path holds a NUL byte")]
    Nul,
    /// The path is longer than the limit.
    #[error("its path has {found} bytes, the limit is {limit} (path_bytes)")]
    PathTooLong {
        /// Its length, links resolved.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A component is longer than the limit.
    #[error("a name in its path has {found} bytes, the limit is {limit} (name_bytes)")]
    NameTooLong {
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// The root is something other than a directory.
    #[error("the root can only be a directory")]
    Root,
    /// A component of the path is a file.
    #[error("`{at}` on its way is no directory")]
    NotADirectory {
        /// The component.
        at: String,
    },
    /// A symbolic link on the way leads nowhere.
    #[error("a symbolic link on its way leads nowhere")]
    DanglingLink,
    /// Too many symbolic links on the way; perhaps they lead in a circle.
    #[error("more than {limit} symbolic links stand on its way (link_depth)")]
    LinkDepth {
        /// The limit.
        limit: u32,
    },
    /// The links on the way have too many components.
    #[error("following its path takes more than {limit} steps")]
    TooManySteps {
        /// The limit.
        limit: u32,
    },
    /// A hard link to something that is not there.
    #[error("it is a hard link to `{target}`, which does not exist")]
    LinkTarget {
        /// The target.
        target: String,
    },
    /// A hard link to a directory.
    #[error("it is a hard link to `{target}`, which is a directory")]
    LinkToDirectory {
        /// The target.
        target: String,
    },
    /// A hard link to itself.
    #[error("it is a hard link to itself")]
    LinkToItself,
    /// A link without a target.
    #[error("it is a link without a target, or one with a NUL byte or more than 4095 bytes in it")]
    EmptyLink,
    /// A name that begins with `.wh.` and is no whiteout by the specification.
    #[error("its name begins with `.wh.` but it is no valid whiteout")]
    Whiteout,
    /// A device number Linux cannot have.
    #[error("the device number {major}:{minor} is impossible")]
    Device {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A file is larger than the limit.
    #[error("it has {found} bytes, the limit is {limit} (file_bytes)")]
    FileTooLarge {
        /// Its length.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// All files together are larger than the limit.
    #[error("with it the image's files have more than {limit} bytes (total_bytes)")]
    TotalTooLarge {
        /// The limit.
        limit: u64,
    },
    /// More entries than the limit.
    #[error("with it the image has more than {limit} entries (entries)")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// Names and link targets take more memory than the limit.
    #[error("with it the image's names and links have more than {limit} bytes (metadata_bytes)")]
    MetadataTooLarge {
        /// The limit.
        limit: u64,
    },
    /// A file to be read is not there.
    #[error("it is not there")]
    Missing,
    /// A file to be read is no regular file.
    #[error("it is no regular file")]
    NotAFile,
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
    /// The layer that wrote this name last.
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
