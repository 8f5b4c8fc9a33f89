//! What runs releases. `specs/platform.md` §6.

mod local;

pub use local::Local;

use crate::store::job::Failure;
use caution_abi::boot_plan::Restart;
use caution_host::ingress::IngressSpec;
use caution_measure::{Measurements, Sha256Digest};
use std::fmt;
use std::path::PathBuf;

/// What is to run of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The app's label: what it is called wherever it runs, unique among apps.
    pub label: String,
    /// The image.
    pub image: PathBuf,
    /// Its digest.
    pub image_sha256: Sha256Digest,
    /// What it measures, and its enclave has to attest.
    pub measurements: Measurements,
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// What its enclave gets, and how it is reached.
    pub shape: Shape,
}

/// What a configuration says about running, none of which is measured but the ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Debug mode: it attests zeros.
    pub debug: bool,
    /// Every port of the app.
    pub ports: Vec<u16>,
    /// The one that speaks HTTP.
    pub http_port: Option<u16>,
    /// Whether STEVE stands in front of it.
    pub e2e: bool,
    /// How it is reached.
    pub ingress: IngressSpec,
    /// When an enclave that ended is started again.
    pub restart: Restart,
}

/// What runs of an app, as the provider sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The image's digest.
    pub image_sha256: Sha256Digest,
    /// What it measures.
    pub measurements: Measurements,
    /// Addresses, best first.
    pub urls: Vec<String>,
    /// Where its enclave answers for itself.
    pub attestation_url: String,
}

/// What a provider sees of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// This runs.
    Runs(Running),
    /// The provider is at work on it: it boots, waits for its next start, or is being ended.
    Busy,
    /// Nothing runs; why, as a sentence.
    Gone(String),
    /// Nothing runs, and by the app's own restart policy nothing is to; why, as a sentence.
    Over(String),
}

/// Runs releases. Calls take as long as they take; each may be made again at any time with the same result.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// Puts a release in the place of what runs of its app. What ran goes on until the new one is ready and has attested
    /// what it was expected to be, and where that fails.
    fn apply(&self, want: &Placement, say: &mut dyn FnMut(&str)) -> Result<Running, Failure>;
    /// What runs of an app, whoever started it.
    fn observe(&self, label: &str) -> Result<Observed, Failure>;
    /// Ends what runs of an app; also where nothing did.
    fn destroy(&self, label: &str) -> Result<(), Failure>;
}
