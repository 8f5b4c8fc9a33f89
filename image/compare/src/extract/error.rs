//! Why nothing could be extracted.

use super::SideError;
use std::io;
use std::path::PathBuf;

/// Why an extraction failed as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The image cannot be read.
    #[error(transparent)]
    Side(#[from] SideError),
    /// A folder to be extracted.
    #[error("`{}` is a folder already.", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// `/`, or a path that ends in `..`.
    #[error("`{}` names no folder that could be made.", .path.display())]
    NoName {
        /// What was given.
        path: PathBuf,
    },
    /// Something is there.
    #[error("`{}` is there already, and no empty folder.", .path.display())]
    NotEmpty {
        /// What was given.
        path: PathBuf,
    },
    /// What an extraction left that was killed, or is still at work.
    #[error("`{}` is there: another extraction is at work, or was killed.", .path.display())]
    Leftover {
        /// The folder.
        path: PathBuf,
    },
    /// The disk is full, the folder is somebody else's.
    #[error("`{}` cannot be written.", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ExtractError {
    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Side(source) => source.fix(),
            Self::Folder { .. } => Some("look at it as it is: ls -lR".into()),
            Self::NoName { .. } => Some("name a folder that does not exist yet".into()),
            Self::NotEmpty { .. } => Some("name another folder, or remove what is there".into()),
            Self::Leftover { path } => Some(format!("when none is at work: rm -r {}", path.display())),
            Self::Write { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("make the folder around it first (mkdir -p)".into())
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("make room, or name a folder on another disk".into())
            }
            Self::Write { .. } => None,
        }
    }
}
