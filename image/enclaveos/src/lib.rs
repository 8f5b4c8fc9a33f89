//! Builds and loads EnclaveOS releases: kernel, ramdisk 0, command line.
//!
//! A release is a folder named after its content. [`build`] makes one from a checkout of this repository;
//! [`Release::load`] reads one and believes nothing but the bytes. `specs/enclaveos.md` says what is in it.
//!
//! ```text
//! <cache>/enclaveos/<id>/{kernel,ramdisk0.cpio.gz,cmdline,release.json}   releases
//! <cache>/enclaveos/<id>/assembler.tar                                   the assembler image beside one
//! <cache>/enclaveos/current                                              identity of the last one built
//! <cache>/sources/<sha256>.deb                                           kernel source packages
//! <cache>/{kernel,userland}/<key of inputs>/                             results of the two slow steps
//! <cache>/logs/                                                          what the tools said
//! ```

mod assembler;
mod builder;
mod debian;
mod error;
pub mod features;
mod files;
mod kconfig;
mod kernel;
mod key;
mod known;
mod lock;
mod ramdisk;
mod release;
mod stored;
mod toolchain;
mod tools;
mod userland;

pub use assembler::{Assembler, IMAGE_NAME as ASSEMBLER_IMAGE};
pub use builder::{BuildOptions, build, build_kernel, build_userland};
pub use debian::{SourceError, relock_kernel};
pub use error::EnclaveOsError;
pub use files::FileError;
pub use kconfig::ConfigError;
pub use kernel::KernelError;
pub use known::{EntryFault, KnownError, KnownRelease, KnownReleases, ListKeys, MAX_LIST, SignedListError};
pub use lock::{EnclaveOsLock, KernelLock, LockError, ReferenceTools};
pub use ramdisk::RamdiskError;
pub use release::{FileInfo, Release, ReleaseError, ReleaseInfo, by_pcr1, default_release, installed};
pub use toolchain::{Toolchain, ToolchainError};
pub use tools::ToolError;
pub use userland::UserlandError;
