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
    // It becomes a part of a file's name.
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if app.name.is_empty() || !app.name.bytes().all(plain) {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_names_no_file_but_its_own() {
        let id = "01a2017f-1d97-7000-941f-44fac2d28813";
        let app = |name: &str| -> App {
            let app = serde_json::json!({
                "id": id, "name": name, "organisation": id, "git_url": "", "deploy_branch": "main", "state": "live",
                "created_ms": 0,
            });
            serde_json::from_value(app).unwrap()
        };
        let (digest, pcr) = ("0".repeat(64), "0".repeat(96));
        let release = serde_json::json!({
            "id": id, "number": 3, "commit": "", "plan_sha256": digest, "image_sha256": digest, "image_bytes": 1,
            "pcr0": pcr, "pcr1": pcr, "pcr2": pcr, "enclaveos": "", "manifest": null, "made_by": "", "live": false,
            "created_ms": 0,
        });
        let release: Release = serde_json::from_value(release).unwrap();
        assert_eq!(claim(&app("hello"), &release).unwrap().id, "hello-3");
        for name in ["", "../hello", "/etc/hello", "a/b", "..", "a\0", "a b"] {
            assert_eq!(claim(&app(name), &release), None, "{name}");
        }
    }
}
