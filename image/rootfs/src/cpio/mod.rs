//! cpio archives in the "newc" form Linux unpacks as an initramfs, in one canonical shape.
//!
//! The rules stand in `specs/rootfs.md`; their sources are the kernel's `init/initramfs.c` and
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Reader, ReaderEntry};
pub use write::Writer;

use std::io;

/// What an archive is written to.
pub trait Output: io::Write {
    /// Told before the content of a file of 64 KiB or more, and after it, so that an output that works on blocks
    /// can end one: blocks of such content then depend on nothing but the content.
    fn boundary(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Vec<u8> {}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path relative to the root, components parted by `/`: `rootfs/bin/sh`. Any bytes but NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file with one name; its content follows.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// One name of a regular file that has several.
    ///
    /// Every name is appended with the same values. The content is taken, and stored, with the last of them; what
    /// is given with the others is not read.
    HardLink {
        /// Any number that the names of this file share and no other file has.
        group: u64,
        /// How many names there are.
        names: u32,
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

impl EntryKind {
    /// The file type bits of `st_mode`.
    const fn type_bits(&self) -> u32 {
        match self {
            Self::File { .. } | Self::HardLink { .. } => S_IFREG,
            Self::Directory => S_IFDIR,
            Self::Symlink(_) => S_IFLNK,
            Self::CharDevice { .. } => S_IFCHR,
            Self::BlockDevice { .. } => S_IFBLK,
            Self::Fifo => S_IFIFO,
        }
    }
}

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpioError {
    /// A path that is empty, absolute, or has an empty, `.` or `..` component, or a NUL.
    #[error("`{path}` cannot be a path in an archive: {reason}")]
    Path {
        /// The path, with unprintable bytes escaped.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A path that does not sort after the one before.
    #[error("archive entries must be sorted by their bytes: `{path}` came after `{previous}`")]
    Order {
        /// The entry.
        path: String,
        /// The entry before it.
        previous: String,
    },
    /// The directory of an entry is not in the archive.
    #[error("the archive has no directory for `{path}`")]
    NoParent {
        /// The entry.
        path: String,
    },
    /// A value that the format or the kernel has no room for.
    #[error("`{path}`: {field} is {found}, the most is {limit}")]
    TooLarge {
        /// The entry.
        path: String,
        /// Which value.
        field: &'static str,
        /// The value.
        found: u64,
        /// The greatest possible.
        limit: u64,
    },
    /// The content is shorter or longer than the entry says.
    #[error("the content of `{path}` is not {size} bytes long")]
    ContentLength {
        /// The entry.
        path: String,
        /// The length it was said to have.
        size: u64,
    },
    /// The names of a file with several are not all there, or do not agree.
    #[error("the names of a hard-linked file do not agree: {reason} (`{path}`)")]
    HardLink {
        /// One of the names.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Bytes that are no archive.
    #[error("byte {offset} of the cpio archive: {reason}")]
    Malformed {
        /// Where the header of the entry begins.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The underlying reader or writer failed.
    #[error("cannot {doing} the cpio archive")]
    Io {
        /// `read` or `write`.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
}

const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFLNK: u32 = 0o120_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;
/// `newc` without checksums.
const MAGIC: &[u8; 6] = b"070701";
/// The same with a checksum of each content, which only readers know here.
const CHECKED_MAGIC: &[u8; 6] = b"070702";
/// Magic and thirteen numbers of eight hex digits.
const HEADER_SIZE: usize = 6 + 13 * 8;
/// The name of the entry that ends an archive.
const TRAILER: &[u8] = b"TRAILER!!!";
/// `PATH_MAX`: a name of this many bytes with its NUL is the longest the kernel takes (`do_header`).
const PATH_MAX: usize = 4096;
/// Content from this length on has blocks of its own. Part of the format (`specs/rootfs.md` §6).
const OWN_BLOCKS: u64 = 64 * 1024;
/// Archives are padded to this size, like those of every other writer.
const ARCHIVE_BLOCK: u64 = 512;

/// A path for messages: control characters and what is not UTF-8 are escaped, 200 bytes at most are shown.
pub fn display(path: &[u8]) -> String {
    let shown = path.get(..200).unwrap_or(path);
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        text.extend(chunk.valid().chars().flat_map(|c| {
            // Control characters could move a terminal's cursor.
            if c.is_control() { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }
        }));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    if shown.len() < path.len() {
        text.push('…');
    }
    text
}
