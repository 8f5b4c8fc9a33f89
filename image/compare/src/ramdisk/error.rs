//! Why a ramdisk cannot be read.

use caution_rootfs::cpio::{CpioError, display};
use std::io;

/// Why a ramdisk cannot be read to its end. What was read before stands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RamdiskError {
    /// Neither an archive nor a compression that Linux unpacks.
    #[error("no cpio archive begins with the bytes {}", hex(.0))]
    Unknown(Vec<u8>),
    /// A compression that Linux knows and this reader does not.
    #[error("it is compressed with {0}, which is not read here")]
    Unsupported(&'static str),
    /// What is compressed is broken.
    #[error("the {format} stream is broken")]
    Compression {
        /// `gzip`, `zstd` …
        format: &'static str,
        /// What the decoder said.
        source: io::Error,
    },
    /// The archive is broken.
    #[error(transparent)]
    Archive(CpioError),
    /// Content does not have the checksum of its header.
    #[error("the content of `{}` does not have the checksum of its header", display(.0))]
    Checksum(Vec<u8>),
    /// More than is read.
    #[error("it has more than {most} {what} (limit `{name}`)")]
    Limit {
        /// The limit's name.
        name: &'static str,
        /// What is counted.
        what: &'static str,
        /// The limit.
        most: u64,
    },
}

impl RamdiskError {
    /// Whether it is not the ramdisk that is at fault but how much of it is read.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Limit { .. })
    }

    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Limit { name, most, .. } => {
                Some(format!("if it should be that large: --limit {name}={}", most.saturating_mul(2)))
            }
            Self::Unsupported(format) => Some(format!(
                "unpack it by hand with the tool for {format}, at the offset of `caution apps describe`"
            )),
            _ => None,
        }
    }

    /// As the error of a reader of content.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// Back from the error of a reader of content, or any other.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => own,
            Err(source) => Self::Archive(CpioError::Io { doing: "read", source }),
        }
    }
}

impl From<CpioError> for RamdiskError {
    fn from(error: CpioError) -> Self {
        match error {
            CpioError::Io { source, .. } => Self::from_io(source),
            error => Self::Archive(error),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
