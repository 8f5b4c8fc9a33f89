//! Does a running enclave attest an image that is at hand?

use super::verdict::{Mode, Root, Status, Verdict};
use super::{Question, compare, evidence, fetch, target};
use crate::Context;
use crate::error::{CliError, Exit};
use caution_measure::ImagePcrs;

/// Asks the enclave at `url` with a fresh nonce, and compares.
///
/// # Errors
/// - [`Exit::Unreachable`]: nobody answers.
/// - [`Exit::DebugMode`], [`Exit::EvidenceInvalid`]: the answer proves nothing.
/// - [`Exit::MeasurementMismatch`]: it proves that another image runs.
pub(crate) fn attests(
    context: &Context,
    url: &str,
    image: &ImagePcrs,
    now: jiff::Timestamp,
) -> Result<Root, CliError> {
    let target = target::resolve(context, Some(url), None)?;
    let answer = fetch::fetch(&target.url)?;
    let mut verdict = Verdict::new(Mode::Live, now);
    let question = Question::Live(now);
    if let Some(enclave) = evidence::authenticate(&answer, &target.roots, question, &[], &mut verdict) {
        compare::build(image, &enclave.pcrs, "this image", &mut verdict);
        verdict.conclude(format!("{} attests another image than this one.", target.name));
    }
    match (verdict.failure, verdict.root) {
        (None, Some(root)) => Ok(root),
        (failure, _) => Err(refusal(failure.unwrap_or(Exit::EvidenceInvalid), verdict)),
    }
}

/// The check that failed, as an error.
fn refusal(exit: Exit, verdict: Verdict) -> CliError {
    let failed = verdict.checks.into_iter().find(|check| check.status == Status::Failed);
    let causes = failed.map_or_else(Vec::new, |check| [vec![check.detail], check.lines].concat());
    CliError { exit, message: verdict.headline, causes, hint: None }
}
