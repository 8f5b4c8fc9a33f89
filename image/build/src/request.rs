//! What a build is asked for, what it says on the way, and what it gives.

use crate::engine::EngineName;
use crate::git::{CommitId, Repository};
use crate::trial::{Trial, Variation};
use caution_abi::boot_plan::BootPlan;
use caution_abi::manifest::Manifest;
use caution_eif::Signer;
use caution_enclaveos::Release;
use caution_measure::{Measurements, Pcr, Sha256Digest};
use caution_rootfs::Limits;
use caution_rootfs::Reuse;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is to be built.
pub struct Request<'a> {
    /// Where the commit is.
    pub repo: &'a Repository,
    /// The commit.
    pub commit: &'a CommitId,
    /// The branch's name, for the manifest.
    pub branch: Option<String>,
    /// The EnclaveOS release to build on.
    pub release: &'a Release,
    /// An image to take instead of the one the commit describes: an OCI layout folder, an archive of
    /// one, or a `docker save` archive. The manifest then names no source.
    pub image: Option<&'a Path>,
    /// The engine that builds; `None`: the first that works.
    pub engine: Option<EngineName>,
    /// Whether the engine's cache is to be ignored.
    pub no_cache: bool,
    /// Whether no step of the Containerfile may have a network, whatever it says itself.
    pub no_network: bool,
    /// Whether this is one of two builds that are compared, in surroundings that differ in what should not matter.
    pub trial: Option<Trial>,
    /// Whether a base image without a digest is an error.
    pub strict: bool,
    /// How much an image may hold.
    pub limits: Limits,
    /// Whose signature the image gets, if any.
    pub signer: Option<&'a Signer>,
    /// The folder to fill, `…/eif-stage`; its parent exists.
    pub output: &'a Path,
    /// A folder for work that later builds need not do again, created where it is missing; `None`: nothing is kept.
    pub store: Option<&'a Path>,
    /// Told about everything as it happens.
    pub progress: &'a dyn Fn(Progress<'_>),
}

/// A part of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Exporting the commit.
    Source,
    /// Building the container.
    Container,
    /// Unpacking its layers.
    Filesystem,
    /// Writing the enclave image.
    Image,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A step began.
    Started(Step),
    /// The container engine printed a line; control characters are escaped.
    EngineLine(&'a str),
    /// Something worth knowing, in one line.
    Note(&'a str),
    /// Something that stops nothing but should be known.
    Warning {
        /// A whole sentence, with file and line where there is one.
        message: String,
        /// What to do about it.
        fix: Option<String>,
    },
    /// A step ended.
    Step {
        /// Which one.
        step: Step,
        /// What came of it, in a few words.
        detail: String,
        /// How long it took.
        elapsed: Duration,
    },
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The enclave image.
    pub eif: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// PCR0 to PCR2.
    pub measurements: Measurements,
    /// PCR8, when it is signed.
    pub pcr8: Option<Pcr>,
    /// What EnclaveOS does with the app; inside the image.
    pub boot_plan: BootPlan,
    /// Where the source is; beside the image.
    pub manifest: Manifest,
    /// Digest of the container image's manifest.
    pub image: Sha256Digest,
    /// The commit; of the configuration alone where the image was given.
    pub commit: CommitId,
    /// What was found in the store and what was not; all zero without one.
    pub reuse: Reuse,
    /// How many steps of the Containerfile could reach a network.
    pub networked_steps: usize,
    /// What should not matter and was different on purpose in the second of two trials, or why not; empty
    /// outside of trials and where no engine builds.
    pub variations: Vec<Variation>,
    /// How long each step took, in order.
    pub timings: Vec<(Step, Duration)>,
}
