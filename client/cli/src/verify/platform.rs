//! The EnclaveOS release below the application: PCR1, and why to believe in it.
//!
//! The commit's pin says which release it has to be. The list of known releases, a build on this machine, or the caller
//! says why it is believed. The manifest has no say.

use super::source::Reviewed;
use super::verdict::{Basis, CheckName, EnclaveOs, Verdict};
use crate::Context;
use crate::error::{CliError, Exit};
use crate::releases;
use caution_abi::manifest::Manifest;
use caution_build::Pin;
use caution_enclaveos::{
    KnownRelease, KnownReleases, Release, ReleaseError, by_pcr1, default_release, installed,
};
use caution_measure::{Pcr, Sha256Digest};
use std::path::PathBuf;

/// A release that is attested and believed in.
pub(super) struct Platform {
    cache: PathBuf,
    pcr1: Pcr,
    belief: Belief,
}

/// Why a release is believed in, and what is known about where its bytes are.
enum Belief {
    Known(KnownRelease),
    BuiltHere(Release),
    /// By the caller; a pin of the commit gives it an identity.
    Allowed(Option<Sha256Digest>),
}

/// What this machine and the reviewed commit know of releases.
struct Knowledge<'a> {
    list: KnownReleases,
    pin: Option<Pin>,
    /// The pinned release if it is here; without a pin the one that was built last.
    built: Option<Release>,
    allowed: &'a [Pcr],
}

/// Why a release is not believed in: the check's line, and more lines.
struct Doubt(String, Vec<String>);

/// Decides whether the attested PCR1 is a release to believe in. `Ok(None)` means that it is not, and the check has
/// failed; an error, that this machine could not tell.
pub(super) fn platform(
    context: &Context,
    reviewed: &Reviewed,
    manifest: Option<&Manifest>,
    allowed: &[Pcr],
    verdict: &mut Verdict,
) -> Result<Option<Platform>, CliError> {
    // Leaving here without a failed check would conclude that everything held.
    let attested = verdict.attested.expect("registers are noted as soon as the evidence is authentic").pcr1;
    if let Some(claim) = manifest.map(|m| &m.enclaveos).filter(|claim| claim.pcr1 != attested) {
        let detail = "the manifest names another EnclaveOS release than the one that runs";
        let line = format!("claimed {}  running {attested}", claim.pcr1);
        verdict.failed(Exit::SourceMismatch, CheckName::Platform, detail, &[line]);
        return Ok(None);
    }
    let cache = &context.config.cache;
    let pin = caution_build::enclaveos_pin(&reviewed.source.repo, &reviewed.source.commit)?;
    let built = if_here(pin.map_or_else(|| default_release(cache), |pin| installed(cache, &pin.id)))?;
    let list = releases::known(&context.config)?.list;
    match (Knowledge { list, pin, built, allowed }).judge(&attested) {
        Ok(belief) => {
            let (detail, data) = belief.describe(&attested, pin.is_some());
            verdict.ok(CheckName::Platform, detail);
            verdict.enclaveos = Some(data);
            Ok(Some(Platform { cache: cache.clone(), pcr1: attested, belief }))
        }
        Err(Doubt(detail, lines)) => {
            verdict.failed(Exit::MeasurementMismatch, CheckName::Platform, detail, &lines);
            Ok(None)
        }
    }
}

/// A release, if it is on this machine.
fn if_here(found: Result<Release, ReleaseError>) -> Result<Option<Release>, ReleaseError> {
    match found {
        Ok(release) => Ok(Some(release)),
        Err(ReleaseError::NoDefault | ReleaseError::NotInstalled { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Knowledge<'_> {
    fn judge(&self, attested: &Pcr) -> Result<Belief, Doubt> {
        if let Some(pin) = self.pin.filter(|pin| pin.pcr1 != *attested) {
            let lines = vec![format!("pinned {}  running {attested}", pin.pcr1)];
            return Err(Doubt("PCR1 differs: not the EnclaveOS release that the commit pins".into(), lines));
        }
        if let Some(known) = self.list.by_pcr1(attested) {
            return match self.pin.filter(|pin| pin.id != known.id) {
                None => Ok(Belief::Known(known.clone())),
                Some(pin) => Err(Doubt(
                    "the commit pins the PCR1 of a known EnclaveOS release under another identity".into(),
                    vec![format!("known {}  pinned {}", known.id, pin.id)],
                )),
            };
        }
        if let Some(built) = self.built.as_ref().filter(|built| built.info.pcr1 == *attested) {
            return Ok(Belief::BuiltHere(built.clone()));
        }
        if self.allowed.contains(attested) {
            return Ok(Belief::Allowed(self.pin.map(|pin| pin.id)));
        }
        Err(self.doubt(attested))
    }

    /// Of a release that nothing speaks for.
    fn doubt(&self, attested: &Pcr) -> Doubt {
        let mut lines = vec![format!("running {attested}")];
        let detail = match (&self.built, self.pin) {
            (_, Some(_)) => {
                "the EnclaveOS release that the commit pins is not known, and was not built from source here"
                    .to_owned()
            }
            (Some(built), None) => {
                lines.push(format!("built   {}", built.info.pcr1));
                format!(
                    "PCR1 differs: not EnclaveOS {} as built from source here, nor a known release",
                    built.info.version
                )
            }
            (None, None) => {
                "PCR1 is that of no known EnclaveOS release, and none was built from source here".to_owned()
            }
        };
        lines.extend([
            "fix: caution enclaveos releases --update FILE      (a newer list of known releases)".to_owned(),
            "     caution enclaveos build      (in a checkout of the source that it is said to be built from)"
                .to_owned(),
            format!("     caution verify --allow-enclaveos {attested}      (if you know why to believe in it)"),
        ]);
        Doubt(detail, lines)
    }
}

impl Belief {
    /// The platform line, and the same for programs.
    fn describe(&self, pcr1: &Pcr, pinned: bool) -> (String, EnclaveOs) {
        let pcr1 = pcr1.abbreviated();
        let by_commit = if pinned { "pinned by the commit, " } else { "" };
        let data =
            |basis, version: Option<&String>, kernel: Option<&String>, commit: Option<&String>| EnclaveOs {
                basis,
                pinned,
                version: version.cloned(),
                kernel_version: kernel.cloned(),
                source_commit: commit.cloned(),
            };
        match self {
            Self::Known(known) => {
                let KnownRelease { version, kernel_version: kernel, source_commit: commit, .. } = known;
                let source = &commit[..7];
                let detail = format!(
                    "EnclaveOS {version}, {by_commit}known release (kernel {kernel}, source commit {source}, PCR1 {pcr1})"
                );
                (detail, data(Basis::Known, Some(version), Some(kernel), Some(commit)))
            }
            Self::BuiltHere(Release { info, .. }) => {
                let detail =
                    format!("EnclaveOS {}, {by_commit}built from source here (PCR1 {pcr1})", info.version);
                (detail, data(Basis::BuiltHere, Some(&info.version), Some(&info.kernel_version), None))
            }
            Self::Allowed(_) => {
                let detail = format!(
                    "NOT A KNOWN EnclaveOS RELEASE: {by_commit}believed only because --allow-enclaveos names it (PCR1 {pcr1})"
                );
                (detail, data(Basis::Allowed, None, None, None))
            }
        }
    }
}

impl Platform {
    /// The release's bytes, which PCR0 covers. Where they are not on this machine, the error says what makes them.
    pub(super) fn release(&self) -> Result<Release, CliError> {
        let cache = &self.cache;
        let (found, fix) = match &self.belief {
            Belief::BuiltHere(release) => return Ok(release.clone()),
            Belief::Known(known) => (
                if_here(installed(cache, &known.id))?,
                format!(
                    "caution enclaveos verify {}      (in a checkout of Caution's source)",
                    known.version
                ),
            ),
            Belief::Allowed(pinned) => (
                match pinned {
                    Some(id) => if_here(installed(cache, id))?,
                    None => by_pcr1(cache, &self.pcr1)?,
                },
                "caution enclaveos build      (in a checkout of the source that it is built from)".to_owned(),
            ),
        };
        found.ok_or_else(|| {
            let message = "The EnclaveOS release below it is not on this machine.";
            CliError::new(Exit::CannotReproduce, message).hint(fix)
        })
    }
}

#[cfg(test)]
mod tests;
