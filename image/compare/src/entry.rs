//! What stands under one name, in whatever holds it.

/// One entry of an archive, a folder or a container image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its path. Any bytes: archives can hold absolute paths, `..`, and the same path twice.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since the epoch; `None` where none is kept, as in a container image's tree.
    pub mtime: Option<i64>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// How much content stands with this name, in bytes.
        size: u64,
        /// A number that the names of one file share; `None` where this is its only name. The content stands with
        /// one of the names.
        group: Option<u64>,
    },
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}
