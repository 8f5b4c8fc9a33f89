//! The image that an app was deployed with, from wherever it is kept.

mod patient;
mod platform;

use crate::error::CliError;
use caution_host::agent::AgentClient;
use caution_host::{Dirs, Record};
use caution_measure::{Measurements, Sha256Digest};
pub(crate) use platform::ReleaseImage;
use std::io::{self, Read};

/// What whoever runs an app says that it was deployed with. Nobody vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Which deployment: names the file that it is downloaded to.
    pub(crate) id: String,
    /// What people call the app.
    pub(crate) name: String,
    /// Of the image file, in bytes.
    pub(crate) size: u64,
    /// Of the image file.
    pub(crate) sha256: Sha256Digest,
    /// Of the image.
    pub(crate) measurements: Measurements,
    /// Where the app is asked for evidence, where this is what runs.
    pub(crate) attestation_url: Option<String>,
}

/// An image that can be had.
pub(crate) trait DeployedImage {
    /// What it is said to be.
    fn claim(&self) -> &Claim;

    /// Its bytes from `offset` on. A source that hears nothing for 30 s fails instead of waiting on.
    fn read_from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>>;
}

/// The image of an enclave on this machine, had from its host agent.
pub(crate) struct LocalImage {
    claim: Claim,
    agent: AgentClient,
}

impl LocalImage {
    /// Asks for the image of a running enclave.
    pub(crate) fn open(dirs: &Dirs, record: Record) -> Result<Self, CliError> {
        let agent = AgentClient::new(dirs);
        let (size, sha256, _) = agent.fetch(&record.id, 0)?;
        let Record { id, name, measurements, attestation_url, .. } = record;
        let attestation_url = Some(attestation_url);
        Ok(Self { claim: Claim { id, name, size, sha256, measurements, attestation_url }, agent })
    }
}

impl DeployedImage for LocalImage {
    fn claim(&self) -> &Claim {
        &self.claim
    }

    fn read_from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        let asked = self.agent.fetch(&self.claim.id, offset);
        let (size, sha256, bytes) = asked.map_err(io::Error::other)?;
        if (size, sha256) != (self.claim.size, self.claim.sha256) {
            return Err(io::Error::other("the host agent has another image now"));
        }
        Ok(Box::new(bytes))
    }
}
