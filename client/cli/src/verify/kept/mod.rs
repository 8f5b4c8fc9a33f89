//! What a verification leaves behind in `.caution/`, and what an earlier one left.

mod bundle;
mod trusted_hashes;

use super::Asked;
use super::source::Reviewed;
use super::verdict::Verdict;
use crate::Context;
use crate::error::{CliError, Exit};
use crate::files;
pub(super) use bundle::{Bundle, RebuiltDigests};
use caution_build::git::{Between, Repository};
use std::path::Path;

/// Commits listed between the one that runs and the one that was verified last.
const SHOWN: usize = 10;

/// Keeps a verified enclave's measurements and evidence in the reviewed checkout. A verdict stands without it.
pub(super) fn save(
    context: &Context,
    checkout: &Path,
    asked: &Asked,
    rebuilt: RebuiltDigests,
    verdict: &mut Verdict,
) {
    let shown = |path: &Path| path.strip_prefix(checkout).unwrap_or(path).display().to_string();
    let saved = verdict.attested.map_or(Ok(None), |attested| {
        let suite = verdict.e2e.as_ref().map(|e2e| e2e.suite);
        trusted_hashes::save(checkout, &attested, suite, verdict.checked_at).map(|path| Some(shown(&path)))
    });
    let bundle = Bundle::new(asked, Some(rebuilt), verdict).and_then(|bundle| bundle.save(checkout));
    for error in [saved.as_ref().err(), bundle.as_ref().err()].into_iter().flatten() {
        let causes = error.causes.join("; ");
        context.terminal.warning(&format!("{} ({causes}) The verdict stands.", error.message), None);
    }
    verdict.saved = saved.ok().flatten();
    verdict.saved_evidence = bundle.ok().map(|path| shown(&path));
}

/// Writes the bundle to a file of the caller's choice, which must not exist.
pub(super) fn save_as(
    path: &Path,
    asked: &Asked,
    rebuilt: Option<RebuiltDigests>,
    verdict: &mut Verdict,
) -> Result<(), CliError> {
    if !files::write_new(path, &Bundle::new(asked, rebuilt, verdict)?.to_bytes()?)? {
        return Err(exists(path));
    }
    verdict.saved_evidence = Some(path.display().to_string());
    Ok(())
}

/// That nothing stands where [`save_as`] is to write: better said before a rebuild than after it.
pub(crate) fn check_new(path: &Path) -> Result<(), CliError> {
    if path.symlink_metadata().is_ok() { Err(exists(path)) } else { Ok(()) }
}

fn exists(path: &Path) -> CliError {
    CliError::new(Exit::Usage, format!("{} exists.", path.display()))
        .hint("--save-evidence with another name")
}

/// Compares with the commit that was verified last at the same place, unless the caller said which to expect.
///
/// An operator can run any commit that the checkout has: an old one with known holes verifies too.
pub(super) fn warn_of_rollback(asked: &Asked, reviewed: &Reviewed, stated: bool, verdict: &mut Verdict) {
    // The verdict stands, and says what it could not look at.
    if let Err(cause) = compare_with_last(asked, reviewed, stated, verdict) {
        let message = "Whether an older commit runs than the one verified last could not be told.";
        verdict.warn("rollback_unknown", message, &[cause.summary()]);
    }
}

fn compare_with_last(
    asked: &Asked,
    reviewed: &Reviewed,
    stated: bool,
    verdict: &mut Verdict,
) -> Result<(), CliError> {
    // Source that was fetched brings no record of what was verified before; a checkout of it may.
    let (Some(checkout), Some(runs)) = (&reviewed.source.checkout, &reviewed.source.reviewed) else {
        return Ok(());
    };
    let repo = Repository::discover(checkout)?;
    let Some(last) = Bundle::last_verified(checkout, &asked.target.name).filter(|_| !stated) else {
        return Ok(());
    };
    let Some(before) = last.commit() else { return Ok(()) };
    // A rewritten history loses commits altogether.
    let is_here = repo.contains(&before)?;
    if before == *runs || (is_here && repo.is_ancestor(&before, runs)?) {
        return Ok(());
    }
    let (then, short, fix) =
        (last.checked_at, before.short(), format!("fix: state what you expect: --commit {}", runs.short()));
    if is_here && repo.is_ancestor(runs, &before)? {
        let Between { count, mut newest } = repo.between(runs, &before, SHOWN)?;
        if count > newest.len() {
            newest.push(format!("… and {} more", count - newest.len()));
        }
        newest.push(fix);
        let commits = if count == 1 { "commit" } else { "commits" };
        let message = format!(
            "ROLLBACK: it runs an older commit than {short}, which was verified here on {then:.0}. {count} {commits} no longer run:"
        );
        verdict.warn("rollback", message, &newest);
    } else {
        let message = format!(
            "OTHER HISTORY: {short}, which was verified here on {then:.0}, is not in the history of the commit that runs now."
        );
        verdict.warn("other_history", message, &[fix]);
    }
    Ok(())
}
