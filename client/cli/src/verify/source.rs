//! The reviewed commit, and every claim of the manifest that it decides.

use super::origin::{self, Found, Stop, Wish};
use super::verdict::{CheckName, Verdict};
use crate::Context;
use crate::commands::apps::build::release;
use crate::error::{CliError, Exit};
use caution_abi::boot_plan::BootPlan;
use caution_abi::manifest::Manifest;
use caution_appspec::{AppSpec, excerpt};
use caution_build::git::{CommitId, Repository};
use caution_enclaveos::Release;
use std::fmt::Write as _;

/// The reviewed source: what the enclave is expected to be, before anything is built.
pub(super) struct Reviewed {
    /// Where it comes from, and the commit there.
    pub(super) source: Found,
    /// The release the application is expected to run on.
    pub(super) release: Release,
    /// Who says so, as words after its name.
    pub(super) release_origin: &'static str,
    spec: AppSpec,
}

/// Finds the commit and checks every claim that can be checked before a build; `Ok(None)` means that
/// a check failed and the verdict is concluded.
pub(super) fn review(
    context: &Context,
    wish: &Wish,
    manifest: Option<&Manifest>,
    verdict: &mut Verdict,
) -> Result<Option<Reviewed>, CliError> {
    if manifest.is_some_and(|manifest| manifest.app_source.is_none()) {
        let detail =
            "the enclave says that its image was made of no commit, so there is no source to compare with";
        let fix = "fix: caution verify --pcrs FILE      (compares with registers somebody gave you)";
        verdict.failed(Exit::SourceMismatch, CheckName::Source, detail, &[fix.into()]);
        verdict.conclude("The enclave names no source.");
        return Ok(None);
    }
    let source = match origin::find(context, wish, manifest.and_then(|m| m.app_source.as_ref())) {
        Ok(source) => source,
        Err(Stop::Refused(refusal)) => {
            refusal.conclude(verdict);
            return Ok(None);
        }
        Err(Stop::Error(error)) => return Err(error),
    };
    let Found { repo, commit, .. } = &source;
    verdict.commit = source.reviewed.as_ref().map(CommitId::to_string);

    let spec = caution_build::load_config(repo, commit)
        .map_err(|e| CliError::from(e).with_exit(Exit::CannotReproduce))?;
    let (release, release_origin) = expected_release(context, repo, commit)?;
    let mut detail = source.detail.clone();
    let reviewed = Reviewed { source, release, release_origin, spec };
    if !reviewed.check_claims(None, manifest, verdict) {
        return Ok(None);
    }
    if let Some(image) = &reviewed.spec.build.oci_tarball {
        let image = excerpt(image, 60);
        let _ = write!(detail, "; its program is in `{image}`, what that was built from is not checked");
    }
    if manifest.is_none() {
        detail.push_str("; the enclave names no source itself");
    }
    verdict.ok(CheckName::Source, detail);
    Ok(Some(reviewed))
}

/// The release the reviewed tree pins, else the one built last on this machine; and which it is.
fn expected_release(
    context: &Context,
    repo: &Repository,
    commit: &CommitId,
) -> Result<(Release, &'static str), CliError> {
    let expected = || match caution_build::enclaveos_pin(repo, commit)? {
        Some(pin) => {
            let release = caution_enclaveos::installed(&context.config.cache, &pin.id)?;
            Ok((release, "pinned by the commit"))
        }
        None => Ok((release(context, None)?, "built from source here")),
    };
    expected().map_err(|error: CliError| error.with_exit(Exit::CannotReproduce))
}

impl Reviewed {
    /// Compares the manifest's claims with what is known; the plan is known only after a rebuild.
    /// `false` means that one disagrees and the verdict is concluded.
    pub(super) fn check_claims(
        &self,
        plan: Option<&BootPlan>,
        manifest: Option<&Manifest>,
        verdict: &mut Verdict,
    ) -> bool {
        let Some(manifest) = manifest else { return true };
        let (commit, enclaveos) = (&self.source.claim, self.release.reference());
        let expected = caution_plan::Expected { commit, spec: &self.spec, enclaveos: &enclaveos, plan };
        let mut disagreements = caution_plan::disagreements(&expected, manifest);
        // The platform has evidence of its own, PCR1, and a check of its own that uses it.
        disagreements.retain(|d| !d.field.starts_with("enclaveos"));
        if disagreements.is_empty() {
            return true;
        }
        let lines: Vec<String> = disagreements
            .iter()
            .flat_map(|d| {
                [
                    format!("{}: reviewed  {}", d.field, d.reviewed),
                    format!("{}: claimed   {}", d.field, d.remote),
                ]
            })
            .collect();
        let detail = format!("the enclave's manifest disagrees with {}", self.source.what);
        verdict.failed(Exit::SourceMismatch, CheckName::Source, detail, &lines);
        verdict.conclude("The enclave claims to run something else than the reviewed source says.");
        false
    }
}
