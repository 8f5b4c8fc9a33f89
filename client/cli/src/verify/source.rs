//! The reviewed commit, and every claim of the manifest that it decides.

use super::fetch::MAX_SHOWN;
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
use std::path::Path;

/// The reviewed source: what the enclave is expected to be, before anything is built.
pub(super) struct Reviewed {
    /// The checkout.
    pub(super) repo: Repository,
    /// The commit in it.
    pub(super) commit: CommitId,
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
    expected: Option<&str>,
    manifest: Option<&Manifest>,
    verdict: &mut Verdict,
) -> Result<Option<Reviewed>, CliError> {
    let repo = Repository::discover(Path::new(".")).map_err(|e| {
        CliError::from(e)
            .with_exit(Exit::CannotReproduce)
            .hint("cd into a checkout of the application's source, or compare with --pcrs FILE")
    })?;
    if manifest.is_some_and(|manifest| manifest.app_source.is_none()) {
        let detail =
            "the enclave says that its image was made of no commit, so there is no source to compare with";
        let fix = "fix: caution verify --pcrs FILE      (compares with registers somebody gave you)";
        verdict.failed(Exit::SourceMismatch, CheckName::Source, detail, &[fix.into()]);
        verdict.conclude("The enclave names no source.");
        return Ok(None);
    }
    let Some(commit) = commit(&repo, expected, manifest, verdict)? else { return Ok(None) };
    verdict.commit = Some(commit.to_string());

    let spec = caution_build::load_config(&repo, &commit)
        .map_err(|e| CliError::from(e).with_exit(Exit::CannotReproduce))?;
    let (release, release_origin) = expected_release(context, &repo, &commit)?;
    let reviewed = Reviewed { repo, commit, release, release_origin, spec };
    if !reviewed.check_claims(None, manifest, verdict) {
        return Ok(None);
    }
    let subject = reviewed.repo.subject(&reviewed.commit)?;
    let mut detail = format!("{} \"{subject}\" from this checkout", reviewed.commit.short());
    if reviewed.repo.head().is_ok_and(|head| head != reviewed.commit) {
        detail.push_str(" (not its HEAD)");
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

/// The commit to compare with: the expected revision, else the claimed commit, else HEAD.
fn commit(
    repo: &Repository,
    expected: Option<&str>,
    manifest: Option<&Manifest>,
    verdict: &mut Verdict,
) -> Result<Option<CommitId>, CliError> {
    let claimed = manifest.and_then(|m| m.app_source.as_ref()).map(|source| source.commit.as_str());
    let expected = expected.map(|revision| repo.resolve(revision)).transpose()?;
    match (expected, claimed) {
        (Some(expected), Some(claimed)) if claimed != expected.to_string() => {
            let lines =
                [format!("expected  {expected}"), format!("claimed   {}", excerpt(claimed, MAX_SHOWN))];
            let detail = "the enclave says it runs another commit";
            verdict.failed(Exit::SourceMismatch, CheckName::Source, detail, &lines);
            verdict.conclude(format!("{} is not the commit the enclave claims to run.", expected.short()));
            Ok(None)
        }
        (Some(expected), _) => Ok(Some(expected)),
        (None, Some(claimed)) => {
            let known = known_commit(repo, claimed)?;
            if known.is_none() {
                let detail =
                    format!("commit {} does not exist in this checkout", excerpt(claimed, MAX_SHOWN));
                let fix = "fix: git fetch --all      (or verify from the checkout that has it)";
                verdict.failed(Exit::SourceMismatch, CheckName::Source, detail, &[fix.into()]);
                verdict.conclude("The enclave claims to run a commit that this checkout does not have.");
            }
            Ok(known)
        }
        (None, None) => Ok(Some(repo.head()?)),
    }
}

/// The claimed commit, if it is a well-formed id of a commit this repository has. A claim is never
/// handed to git as a revision expression.
fn known_commit(repo: &Repository, claimed: &str) -> Result<Option<CommitId>, CliError> {
    match claimed.parse::<CommitId>() {
        Ok(commit) => Ok(repo.contains(&commit)?.then_some(commit)),
        Err(_) => Ok(None),
    }
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
        let (commit, enclaveos) = (self.commit.to_string(), self.release.reference());
        let expected =
            caution_plan::Expected { commit: &commit, spec: &self.spec, enclaveos: &enclaveos, plan };
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
        let detail = format!("the enclave's manifest disagrees with commit {}", self.commit.short());
        verdict.failed(Exit::SourceMismatch, CheckName::Source, detail, &lines);
        verdict.conclude("The enclave claims to run something else than the reviewed source says.");
        false
    }
}
