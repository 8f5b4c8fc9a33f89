//! The flow of `caution verify`, in an order that never acts on anything unauthenticated:
//! evidence, then claims against the reviewed source, then the platform, then the rebuild.

mod compare;
mod evidence;
pub(crate) mod fetch;
mod rebuild;
mod source;
pub(crate) mod target;
mod trusted_hashes;
pub(crate) mod verdict;

use crate::Context;
use crate::error::{CliError, Exit};
use caution_build::EngineName;
use caution_measure::{ImagePcrs, Measurements};
use evidence::Authenticated;
use std::path::Path;
use verdict::{CheckName, Verdict};

/// What to verify against.
pub(crate) struct Request {
    /// `--attestation-url`.
    pub(crate) url: Option<String>,
    /// `--trust-root`.
    pub(crate) trust: Option<target::TrustRoot>,
    /// `--commit`: the revision the caller expects.
    pub(crate) commit: Option<String>,
    /// `--pcrs`: expected registers instead of a rebuild.
    pub(crate) pcrs: Option<ImagePcrs>,
    /// `--engine`.
    pub(crate) engine: Option<EngineName>,
    /// `--no-cache`.
    pub(crate) no_cache: bool,
    /// The clock.
    pub(crate) now: jiff::Timestamp,
}

/// Verifies an enclave. `Err` means that no conclusion about it was possible.
pub(crate) fn verify(context: &Context, request: &Request) -> Result<Verdict, CliError> {
    let target = target::resolve(context, request.url.as_deref(), request.trust.as_ref())?;
    let fetched = fetch::fetch(&target.url)?;
    let mut verdict = Verdict::new();
    if let Some(authenticated) = evidence::authenticate(&fetched, &target.roots, request.now, &mut verdict) {
        verdict.attested = Some(authenticated.pcrs.measurements);
        match &request.pcrs {
            Some(expected) => against_pcrs(&target.name, expected, &authenticated, &mut verdict),
            None => against_source(context, request, &target.name, &authenticated, &mut verdict)?,
        }
    }
    Ok(verdict)
}

/// Compares with given registers; says that the source was not looked at.
fn against_pcrs(name: &str, expected: &ImagePcrs, enclave: &Authenticated, verdict: &mut Verdict) {
    verdict.not_checked(CheckName::Source, "not asked for: compared with the given PCR values instead");
    verdict.not_checked(CheckName::Platform, "not by itself: PCR1 is one of the given values");
    verdict.expected = Some(expected.measurements);
    compare::build(expected, &enclave.pcrs, "the given PCR values", verdict);
    compare::note_channel(verdict);
    let headline = if verdict.failure.is_none() {
        let place = compare::place(verdict.root);
        format!("{name} has the given measurements, {place}. Which source makes them was not checked.")
    } else {
        format!("{name} does not have the given measurements.")
    };
    verdict.conclude(headline);
}

/// Compares with what the reviewed source builds. A check that fails ends the run.
fn against_source(
    context: &Context,
    request: &Request,
    name: &str,
    enclave: &Authenticated,
    verdict: &mut Verdict,
) -> Result<(), CliError> {
    let Some(manifest) = enclave.bound_manifest(verdict) else { return Ok(()) };
    let Some(reviewed) = source::review(context, request.commit.as_deref(), manifest.as_ref(), verdict)?
    else {
        return Ok(());
    };
    let short = reviewed.commit.short();
    if !compare::platform(&reviewed, manifest.as_ref(), &enclave.pcrs.measurements, verdict) {
        verdict.not_checked(CheckName::Build, "not rebuilt: the platform below it is already another one");
        verdict.conclude(format!("{name} does not run on the expected EnclaveOS release."));
        return Ok(());
    }
    let rebuilt = match rebuild::rebuild(context, &reviewed, &enclave.pcrs.measurements, request) {
        Ok(rebuilt) => rebuilt,
        Err(cause) => {
            let mut lines = cause.causes;
            lines.extend(cause.hint.map(|hint| format!("fix: {hint}")));
            verdict.failed(Exit::CannotReproduce, CheckName::Build, cause.message, &lines);
            verdict.conclude(format!("Commit {short} cannot be rebuilt on this machine."));
            return Ok(());
        }
    };
    verdict.expected = Some(rebuilt.measurements);
    if !reviewed.check_claims(Some(&rebuilt.boot_plan), manifest.as_ref(), verdict) {
        return Ok(());
    }
    let expected = ImagePcrs { measurements: rebuilt.measurements, pcr8: None };
    compare::build(&expected, &enclave.pcrs, &rebuilt.how, verdict);
    compare::note_channel(verdict);
    let headline = if verdict.failure.is_none() {
        format!("{name} runs exactly commit {short} {}.", compare::place(verdict.root))
    } else {
        format!("The running application is not what commit {short} builds.")
    };
    verdict.conclude(headline);
    if verdict.verified {
        save(context, reviewed.repo.root(), &enclave.pcrs.measurements, request.now, verdict);
    }
    Ok(())
}

/// Keeps the verified measurements in the reviewed checkout. A verdict stands without it.
fn save(
    context: &Context,
    root: &Path,
    measurements: &Measurements,
    now: jiff::Timestamp,
    verdict: &mut Verdict,
) {
    match trusted_hashes::save(root, measurements, now) {
        Ok(path) => {
            verdict.saved = Some(path.strip_prefix(root).unwrap_or(&path).display().to_string());
        }
        Err(error) => {
            let causes = error.causes.join("; ");
            context.terminal.warning(&format!("{} ({causes}) The verdict stands.", error.message), None);
        }
    }
}

/// The chain of causes below an error, as lines.
fn causes(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    CliError::from_error(Exit::Other, error).causes
}
