//! Why a side cannot be read.

use super::LayerName;
use crate::ramdisk::RamdiskError;
use caution_eif::EifError;
use caution_rootfs::RootfsError;
use caution_rootfs::cpio::display;
use caution_rootfs::oci::OciError;
use std::io;
use std::path::PathBuf;

/// Why one side of a comparison cannot be opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SideError {
    /// A file or folder cannot be read.
    #[error("`{}` cannot be read.", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A device, a pipe, a socket.
    #[error("`{}` is neither a file nor a folder.", .path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// A file that begins like none of the known kinds.
    #[error("`{}` cannot be looked into: it is no enclave image (`.eif`), no ramdisk (cpio, plain or compressed) and no archive of a container image (tar).", .path.display())]
    Unrecognised {
        /// The file.
        path: PathBuf,
    },
    /// It begins like an enclave image.
    #[error("`{}` is no sound enclave image.", .path.display())]
    Eif {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: EifError,
    },
    /// It looks like a container image.
    #[error("`{}` cannot be read as a container image.", .path.display())]
    Container {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: OciError,
    },
    /// A container image's layers do not make a file system.
    #[error("The container image's layers cannot be put together.")]
    Layers(#[from] RootfsError),
    /// It begins like a ramdisk, compressed perhaps.
    #[error("`{}` is no ramdisk.", .path.display())]
    NotARamdisk {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RamdiskError,
    },
    /// A ramdisk cannot be read to its end.
    #[error("The layer `{layer}` cannot be read to its end.")]
    Ramdisk {
        /// Which.
        layer: LayerName,
        /// What is wrong with it.
        source: RamdiskError,
    },
    /// The content of an entry cannot be read.
    #[error("The content of `{}` cannot be read.", display(.path))]
    Content {
        /// The entry.
        path: Vec<u8>,
        /// Why; a [`RamdiskError`] inside where the ramdisk is to blame.
        source: io::Error,
    },
    /// A folder with more than is read.
    #[error("The folder has more than is read.")]
    Folder(#[source] RamdiskError),
    /// What was read cannot be kept for comparing.
    #[error("There is no room for what is compared in {}.", .path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry that was listed is not there any more.
    #[error("`{}` has changed while it was read.", .path.display())]
    Changed {
        /// The file or folder.
        path: PathBuf,
    },
}

impl SideError {
    /// What is wrong with the ramdisk, where it is the ramdisk.
    pub(crate) fn ramdisk(&self) -> Option<&RamdiskError> {
        match self {
            Self::NotARamdisk { source, .. } | Self::Ramdisk { source, .. } | Self::Folder(source) => {
                Some(source)
            }
            Self::Content { source, .. } => source.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Container { source, .. } => source.fix(),
            Self::Layers(source) => source.fix(),
            Self::Changed { .. } => Some("run it again when nothing writes there".into()),
            other => other.ramdisk()?.fix(),
        }
    }
}
