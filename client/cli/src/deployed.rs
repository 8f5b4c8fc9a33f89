//! The image that an app was deployed with, from wherever it is kept.

use crate::error::CliError;
use caution_host::{Dirs, Record};
use caution_measure::{Measurements, Sha256Digest};
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

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
    /// Where the app is asked for evidence.
    pub(crate) attestation_url: String,
}

/// An image that can be had.
pub(crate) trait DeployedImage {
    /// What it is said to be.
    fn claim(&self) -> &Claim;

    /// Its bytes from `offset` on. A source that hears nothing for 30 s fails instead of waiting on.
    fn read_from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>>;
}

/// The image of an enclave on this machine, which its host agent keeps. Once opened it can be read to its end,
/// whatever becomes of the enclave.
pub(crate) struct LocalImage {
    claim: Claim,
    file: File,
}

impl LocalImage {
    /// Opens the image of a running enclave.
    pub(crate) fn open(dirs: &Dirs, record: Record) -> Result<Self, CliError> {
        let path = caution_host::deployed_image(dirs, &record)?;
        let file = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size, file) = file.map_err(|e| CliError::io("The image cannot be read", &path, &e))?;
        let Record { id, name, eif_sha256: sha256, measurements, attestation_url, .. } = record;
        Ok(Self { claim: Claim { id, name, size, sha256, measurements, attestation_url }, file })
    }
}

impl DeployedImage for LocalImage {
    fn claim(&self) -> &Claim {
        &self.claim
    }

    fn read_from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        (&self.file).seek(SeekFrom::Start(offset))?;
        Ok(Box::new(&self.file))
    }
}
