//! Everything that can keep a release from being built.

use crate::debian::SourceError;
use crate::files::FileError;
use crate::kernel::KernelError;
use crate::lock::LockError;
use crate::ramdisk::RamdiskError;
use crate::release::ReleaseError;
use crate::toolchain::ToolchainError;
use crate::tools::ToolError;
use crate::userland::UserlandError;

/// Why there is no EnclaveOS release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnclaveOsError {
    /// A lock file is malformed or contradicts rust-toolchain.toml.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The Rust toolchain cannot build it.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The kernel's source is not at hand.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The kernel cannot be built.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The program cannot be built.
    #[error(transparent)]
    Userland(#[from] UserlandError),
    /// The ramdisk cannot be written.
    #[error(transparent)]
    Ramdisk(#[from] RamdiskError),
    /// The release cannot be read or written.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The cache or the checkout cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another processor than the enclave's.
    #[error("EnclaveOS is built on x86_64 machines, and this one is {0}.")]
    Processor(&'static str),
}

impl EnclaveOsError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Lock(error) => error.fix(),
            Self::Toolchain(error) => error.fix(),
            Self::Source(error) => error.fix(),
            Self::Kernel(error) => error.fix(),
            Self::Userland(error) => error.fix(),
            Self::Release(error) => error.fix(),
            Self::Processor(_) => Some("build it on x86_64, or use a release from there".into()),
            Self::Ramdisk(_) | Self::File(_) => None,
        }
    }
}

impl From<ToolError> for EnclaveOsError {
    fn from(error: ToolError) -> Self {
        Self::Toolchain(error.into())
    }
}
