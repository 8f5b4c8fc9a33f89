//! Source commit to enclave image: export, engine, root filesystem, EIF, eif-stage.
//!
//! ```text
//! git commit ─ export ─► build context ─ engine ─► OCI layout ─ rootfs ─► tree ─ cpio, gzip ─► ramdisk 1 ┐
//!        └── Procfile / caution.hcl ─ plan ─► boot.json ───────────────────────────────────────┘         │
//! EnclaveOS release: kernel, command line, ramdisk 0 ────────────────────────────────────────► EIF, PCRs ┘
//! ```
//!
//! `specs/build.md` says what is promised; [`build`] does it.

pub mod advice;
mod build;
mod config;
mod containerfile;
mod engine;
mod error;
pub mod git;
mod inspect;
mod interpreter;
mod layers;
mod log;
mod origin;
mod packing;
mod pin;
mod process;
mod request;
mod reuse;
mod size;
mod stage;
#[cfg(test)]
mod testing;
mod trial;

pub use build::{Pinned, build, pin};
pub use caution_rootfs::{LimitError, Limits};
pub use config::ConfigError;
pub use containerfile::{CONTAINERFILE_NAMES, DigestFault, containerfile_names};
pub use engine::{EngineError, EngineName, UnknownEngine};
pub use error::BuildError;
pub use inspect::InspectError;
pub use pin::{FILE_NAME as CONTAINERFILE_EIF, Move, Moved, Pin, PinError};
pub use request::{Built, Progress, Request, Step};
pub use reuse::{STORE_BYTES, STORE_LEAVES_FREE};
pub use size::human_size;
pub use stage::StageError;
pub use trial::{Trial, Variation};

use caution_abi::boot_plan::BootPlan;
use caution_appspec::AppSpec;
use git::{CommitId, Repository};
use std::path::Path;

/// Reads the configuration of a commit. `caution.hcl` wins where both exist.
///
/// # Errors
/// - [`ConfigError::None`] when the commit has neither file
/// - [`ConfigError::Problems`] with every error at once, or with everything that is not supported yet
pub fn load_config(repo: &Repository, commit: &CommitId) -> Result<AppSpec, BuildError> {
    Ok(config::load_config(repo, commit)?)
}

/// The EnclaveOS release that the commit's `Containerfile.eif` names; `None` when it has no such file.
pub fn enclaveos_pin(repo: &Repository, commit: &CommitId) -> Result<Option<Pin>, BuildError> {
    Ok(pin::enclaveos_pin(repo, commit)?)
}

/// The boot plan inside an enclave image, after the whole file was checked.
pub fn boot_plan_of(eif: &Path) -> Result<BootPlan, BuildError> {
    Ok(inspect::boot_plan_of(eif)?)
}
