//! What stands under one name, in whatever holds it.

use serde::Serialize;
use serde_json::{Map, Value, json};

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

impl Entry {
    /// Its JSON form, documented in `specs/compare.md`.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        let mut put = |key: &str, value: Value| drop(json.insert(key.to_owned(), value));
        put("path", String::from_utf8_lossy(&self.path).into());
        if str::from_utf8(&self.path).is_err() {
            // Each byte as the character of the same number.
            put("path_latin1", self.path.iter().copied().map(char::from).collect::<String>().into());
        }
        put("kind", json!(self.kind.name()));
        put("mode", format!("{:04o}", self.mode).into());
        put("uid", self.uid.into());
        put("gid", self.gid.into());
        put("mtime", self.mtime.into());
        match &self.kind {
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                put("device", json!([major, minor]));
            }
            Kind::Symlink(target) => put("target", String::from_utf8_lossy(target).into()),
            Kind::File { .. } | Kind::Directory | Kind::Fifo => {}
        }
        json
    }
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

/// What something is that can differ, in JSON and in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KindName {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A section of an enclave image.
    Section,
    /// The configuration of a container image.
    Configuration,
}

impl Kind {
    /// What it is called.
    pub const fn name(&self) -> KindName {
        match self {
            Self::File { .. } => KindName::File,
            Self::Directory => KindName::Directory,
            Self::Symlink(_) => KindName::Symlink,
            Self::CharDevice { .. } => KindName::CharDevice,
            Self::BlockDevice { .. } => KindName::BlockDevice,
            Self::Fifo => KindName::Fifo,
        }
    }
}

impl KindName {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::CharDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Fifo => "named pipe",
            Self::Section => "section",
            Self::Configuration => "configuration",
        }
    }
}
