//! What can be wrong with an archive.

use std::io;

/// Why bytes are no archive this program reads.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The archive ends inside a member.
    #[error("the archive is truncated after {position} bytes")]
    Truncated {
        /// Bytes read.
        position: u64,
    },
    /// Something other than zeros follows the archive's end.
    #[error("something follows the archive's end at byte {position}")]
    TrailingData {
        /// Where the archive ended.
        position: u64,
    },
    /// A header's checksum is wrong.
    #[error("byte {position} of the archive begins no member: the header's checksum is wrong")]
    Checksum {
        /// Where the header begins.
        position: u64,
    },
    /// A number of a header is malformed or negative.
    #[error("the header at byte {position} has a malformed {field}")]
    Number {
        /// Where the header begins.
        position: u64,
        /// Which number.
        field: &'static str,
    },
    /// An extended header is malformed.
    #[error("the extended header at byte {position} is malformed: {reason}")]
    Extension {
        /// Where the header begins.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// Extended headers are longer than the limit.
    #[error(
        "the extended headers before byte {position} have {found} bytes, the limit is {limit} (extension_bytes)"
    )]
    ExtensionTooLarge {
        /// Where the last of them begins.
        position: u64,
        /// Their length.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// A member of a type no file system has.
    #[error("`{path}` has the unknown type `{found}`")]
    MemberType {
        /// The member.
        path: String,
        /// The type's letter.
        found: String,
    },
    /// A map of holes that does not fit its file, or one in a form only very old tools wrote.
    #[error("`{path}` has a map of holes that cannot be read: {reason}")]
    Sparse {
        /// The member.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The underlying reader failed.
    #[error("cannot read the archive")]
    Io(#[source] io::Error),
}
