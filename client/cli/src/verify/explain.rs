//! After registers differ: which files do, where the image that was deployed can be had.

use super::target::Target;
use super::verdict::Verdict;
use crate::Context;
use crate::commands::apps::diff;
use crate::error::CliError;
use crate::terminal::shell_word;
use caution_build::Limits;
use caution_compare::{Difference, Facts};
use caution_measure::Measurements;
use serde::Serialize;
use std::path::Path;

/// The most telling differences between what was rebuilt and what runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Differences {
    /// How many there are.
    pub total: usize,
    /// The most telling of them, [`TOLD`] at most, one of each story.
    pub told: Vec<Difference>,
    /// The same in words.
    #[serde(skip)]
    pub text: String,
    /// The command that compares these two images again: they may be of no commit of this folder.
    pub command: String,
}

/// How many differences a verdict tells.
const TOLD: usize = 3;

/// Compares the rebuilt image with the deployed one, and adds what differs to the verdict. The verdict stands without
/// it: what keeps the comparison from being made is a note.
pub(super) fn explain(
    context: &Context,
    target: &Target,
    limits: &Limits,
    rebuilt: &Path,
    verdict: &mut Verdict,
) {
    let Some(attested) = verdict.attested else { return };
    match differences(context, target, limits, rebuilt, &attested) {
        Ok(found) => verdict.differences = found,
        Err(error) => context.terminal.note(&format!("which files differ cannot be said: {}", error.message)),
    }
}

/// `None` where nobody gives the deployed image.
fn differences(
    context: &Context,
    target: &Target,
    limits: &Limits,
    rebuilt: &Path,
    attested: &Measurements,
) -> Result<Option<Differences>, CliError> {
    let Some(record) = &target.record else { return Ok(None) };
    let deployed = caution_host::deployed_image(&context.config.host_dirs(), record)?;
    let [left, right] = diff::open(context, limits, [rebuilt, &deployed])?;
    // What the host hands out proves nothing: only an image that measures as attested is the one that runs.
    let is_attested = matches!(right.facts(), Facts::Eif { image, .. } if image.measurements == *attested);
    if !is_attested {
        context
            .terminal
            .note("the image that the host gives is not the one that runs, so no files were compared");
        return Ok(None);
    }
    let comparison = diff::compare(context, [&left, &right])?;
    let told = comparison.findings().iter().take(TOLD).map(|finding| finding.first.clone()).collect();
    let [left, right] = [rebuilt, &deployed].map(|path| shell_word(&path.display().to_string()));
    let command = format!("caution apps diff {left} {right} --html report.html");
    let (total, text) = (comparison.differences.len(), comparison.findings_text(TOLD));
    Ok(Some(Differences { total, told, text, command }))
}
