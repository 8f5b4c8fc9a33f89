//! What can be wrong with layers, and with a tree.

use crate::archive::TarError;
use crate::cpio::CpioError;
use crate::oci::{OciError, SMALLER};
use std::io;

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
        source: TarError,
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
    #[error("it is a link without a target, or with one of more than 4095 bytes")]
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
    /// The file that holds a file's content cannot be read.
    #[error("its content cannot be read")]
    Content(#[source] io::Error),
}
