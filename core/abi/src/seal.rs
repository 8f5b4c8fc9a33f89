//! The seal: the last file of ramdisk 1, which says how much stands before it.
//!
//! A kernel that runs out of memory while it unpacks a ramdisk stops there, or skips a name without a
//! word, and starts init all the same. The host decides how much memory there is and no register sees
//! it, so EnclaveOS counts before it trusts what it finds.

use serde::{Deserialize, Serialize};

/// Where the seal lies in ramdisk 1: behind everything else, whose names begin with smaller bytes.
pub const PATH: &str = "sealed.json";
/// The longest seal EnclaveOS reads, in bytes.
pub const MAX_BYTES: usize = 256;

/// A seal. Field order is the order of the canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Always [`Seal::VERSION`].
    pub version: u32,
    /// Names below [`crate::boot_plan::ROOTFS_DIR`], which itself is not among them.
    ///
    /// Every name counts once, of whatever kind and at whatever depth; a file with three names counts
    /// three times, a symbolic link as itself.
    pub entries: u64,
}

/// Why bytes are not a seal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// More bytes than any seal.
    #[error("the seal has {0} bytes (at most {MAX_BYTES})")]
    TooLong(usize),
    /// Not JSON of this shape.
    #[error("the seal is malformed")]
    Json(#[from] serde_json::Error),
    /// Another format version.
    #[error("seal version {0} is not supported (this EnclaveOS reads version 1)")]
    Version(u32),
    /// The bytes say the same as the canonical form but differ from it.
    #[error("the seal is not in canonical form")]
    NotCanonical,
}

impl Seal {
    /// The version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// The seal of a root with so many names.
    pub fn new(entries: u64) -> Self {
        Self { version: Self::VERSION, entries }
    }

    /// The canonical bytes: JSON, two-space indent, fields in declared order, one final newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::manifest::canonical_json(self)
    }

    /// Reads canonical bytes and nothing else.
    ///
    /// # Errors
    ///
    /// One [`SealError`] for each way in which bytes are not a seal.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        if bytes.len() > MAX_BYTES {
            return Err(SealError::TooLong(bytes.len()));
        }
        let seal: Self = serde_json::from_slice(bytes)?;
        if seal.version != Self::VERSION {
            return Err(SealError::Version(seal.version));
        }
        if seal.to_bytes() == bytes { Ok(seal) } else { Err(SealError::NotCanonical) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_plan;

    #[test]
    fn a_seal_is_read_in_its_canonical_form_alone() {
        let bytes = b"{\n  \"version\": 1,\n  \"entries\": 812\n}\n";
        assert_eq!(Seal::new(812).to_bytes(), bytes);
        assert_eq!(Seal::from_bytes(bytes).unwrap(), Seal::new(812));
        assert!(Seal::new(u64::MAX).to_bytes().len() <= MAX_BYTES);

        let read = |text: &str| Seal::from_bytes(text.as_bytes()).unwrap_err();
        assert!(matches!(read("{\"version\": 1, \"entries\": 812}"), SealError::NotCanonical));
        assert!(matches!(read("{\"version\": 2, \"entries\": 812}"), SealError::Version(2)));
        for text in ["", "{\"version\": 1}", "{\"version\": 1, \"entries\": -1}", "{\"entries\": 1}", "{} x"]
        {
            assert!(matches!(read(text), SealError::Json(_)), "{text}");
        }
        let unknown = "{\"version\": 1, \"entries\": 1, \"size\": 1}";
        assert!(matches!(read(unknown), SealError::Json(_)));
        assert!(matches!(read(&" ".repeat(257)), SealError::TooLong(257)));
        // What a kernel without memory leaves behind: the full length, zeros at the end.
        let mut cut = bytes.to_vec();
        cut[20..].fill(0);
        assert!(matches!(Seal::from_bytes(&cut), Err(SealError::Json(_))));
    }

    #[test]
    fn the_seal_sorts_behind_everything_else_of_its_ramdisk() {
        let root = boot_plan::ROOTFS_DIR.as_bytes();
        assert!(boot_plan::PATH.as_bytes() < root && root < PATH.as_bytes());
        // Whatever follows the slash: the first bytes differ already.
        assert!(root[0] < PATH.as_bytes()[0]);
    }
}
