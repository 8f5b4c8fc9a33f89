//! The image of a release, had from the platform.

use super::patient::Patient;
use super::{Claim, DeployedImage};
use crate::error::{CliError, Exit};
use crate::platform::Platform;
use caution_api::{App, Release};
use caution_measure::{Measurements, Pcr, Sha256Digest};
use std::io::{self, Read};
use std::time::Duration;

/// A release's image on a platform.
pub(crate) struct ReleaseImage {
    claim: Claim,
    platform: Platform,
    path: String,
}

impl ReleaseImage {
    /// The release of this number; the live one where there is none.
    pub(crate) fn open(platform: Platform, app: &App, number: Option<i64>) -> Result<Self, CliError> {
        let number = number.or(app.live_release).ok_or_else(|| {
            CliError::new(Exit::NotFound, format!("No release of {} is live.", app.name))
                .hint("caution apps releases      (then: --release NUMBER)")
        })?;
        let release: Release = platform.get(&format!("/v1/apps/{}/releases/{number}", app.id))?;
        let claim = claim(app, &release).ok_or_else(|| {
            CliError::new(Exit::Other, format!("The platform says of release {number} what no image is."))
        })?;
        let path = format!("/v1/apps/{}/releases/{number}/image", app.id);
        Ok(Self { claim, platform, path })
    }
}

/// Nothing where a value is none of its kind.
fn claim(app: &App, release: &Release) -> Option<Claim> {
    let pcr = |hex: &str| hex.parse::<Pcr>().ok();
    Some(Claim {
        id: format!("{}-{}", app.name, release.number),
        name: app.name.clone(),
        size: u64::try_from(release.image_bytes).ok()?,
        sha256: release.image_sha256.parse::<Sha256Digest>().ok()?,
        measurements: Measurements {
            pcr0: pcr(&release.pcr0)?,
            pcr1: pcr(&release.pcr1)?,
            pcr2: pcr(&release.pcr2)?,
        },
        attestation_url: app.attestation_url.clone().filter(|_| release.live),
    })
}

impl DeployedImage for ReleaseImage {
    fn claim(&self) -> &Claim {
        &self.claim
    }

    fn read_from(&self, offset: u64) -> io::Result<Box<dyn Read + '_>> {
        if offset == self.claim.size {
            return Ok(Box::new(io::empty()));
        }
        let bytes = self.platform.part(&self.path, offset, &self.claim.sha256.to_string());
        let bytes = bytes.map_err(|error| io::Error::other(error.summary()))?;
        Ok(Box::new(Patient::new(bytes, SILENCE)))
    }
}

/// How long a platform may say nothing.
const SILENCE: Duration = Duration::from_secs(30);
