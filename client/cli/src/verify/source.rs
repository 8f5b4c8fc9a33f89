//! The reviewed commit, and every claim of the manifest that it decides.

use super::origin::{self, Found, Stop, Wish};
use super::verdict::{CheckName, Verdict};
use crate::Context;
use crate::error::{CliError, Exit};
use caution_abi::boot_plan::BootPlan;
use caution_abi::manifest::Manifest;
use caution_appspec::{AppSpec, excerpt};
use caution_build::git::CommitId;
use std::fmt::Write as _;

/// The reviewed source: what the enclave is expected to be, before anything is built.
pub(super) struct Reviewed {
    /// Where it comes from, and the commit there.
    pub(super) source: Found,
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
    let mut detail = source.detail.clone();
    let reviewed = Reviewed { source, spec };
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
        // Of the platform there is evidence, PCR1, and a check of its own: here the claim is left as it is.
        let (commit, enclaveos) = (&self.source.claim, &manifest.enclaveos);
        let expected = caution_plan::Expected { commit, spec: &self.spec, enclaveos, plan };
        let disagreements = caution_plan::disagreements(&expected, manifest);
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
