//! The source in a tar archive: a file, or one that is fetched over https.

use super::{Found, Refusal, Scratch, Stop, Wish, claimed_commit};
use crate::Context;
use crate::error::{CliError, Exit};
use caution_abi::manifest::AppSource;
use caution_appspec::excerpt;
use caution_build::git::{ArchiveError, CommitId, from_archive};
use std::path::Path;

/// Source from `--from-tarball`.
pub(super) fn from_file(
    context: &Context,
    wish: &Wish,
    path: &Path,
    claimed: Option<&AppSource>,
) -> Result<Found, Stop> {
    let claimed = claimed_commit(claimed)?;
    let scratch = Scratch::new(&context.config.cache)?;
    let from = format!("archive {}", excerpt(&path.to_string_lossy(), 300));
    take(wish, path, scratch, claimed.as_ref(), &from)
}

/// Takes over the archive at `path`. No commit is in it: which one it says it is of is compared, and the verdict
/// says that nothing proves it.
pub(super) fn take(
    wish: &Wish,
    path: &Path,
    scratch: Scratch,
    claimed: Option<&CommitId>,
    from: &str,
) -> Result<Found, Stop> {
    if wish.reference.is_some() {
        let error =
            CliError::new(Exit::Usage, "An archive has no history in which --ref could be looked for.");
        return Err(error.hint("leave --ref out, or name a repository with --app-source-url URL").into());
    }
    let expected = wish.commit.as_deref().map(str::parse::<CommitId>).transpose().map_err(|error| {
        CliError::from(error)
            .with_exit(Exit::Usage)
            .hint("for an archive --commit takes the full id of a commit")
    })?;
    let unpacked = from_archive(path, scratch.path()).map_err(|error| Refusal::of_archive(from, &error))?;
    let ids = [("expected", expected.as_ref()), ("claimed", claimed), ("archive", unpacked.named.as_ref())];
    let known: Vec<(&str, &CommitId)> = ids.into_iter().filter_map(|(who, id)| Some((who, id?))).collect();
    if known.iter().any(|(_, id)| *id != known[0].1) {
        return Err(Refusal {
            exit: Exit::SourceMismatch,
            detail: "the archive, the enclave and you do not mean the same commit".into(),
            lines: known.iter().map(|(who, id)| format!("{who:<8}  {id}")).collect(),
            headline: "The archive is of another commit.".into(),
        }
        .into());
    }
    let named = match &unpacked.named {
        Some(id) => format!("says that it is of commit {}; the id itself was not checked", id.short()),
        None => "names no commit, so no commit id was checked".to_owned(),
    };
    Ok(Found {
        detail: format!("{from} (sha256 {}), which {named}", unpacked.sha256),
        what: "what the archive holds".into(),
        claim: known.first().map_or_else(|| unpacked.commit.to_string(), |(_, id)| id.to_string()),
        reviewed: None,
        repo: unpacked.repository,
        commit: unpacked.commit,
        checkout: None,
        _scratch: Some(scratch),
    })
}

impl Refusal {
    fn of_archive(from: &str, error: &ArchiveError) -> Self {
        let mut lines = super::super::causes(error);
        lines.extend(error.fix().map(|fix| format!("fix: {fix}")));
        Self {
            exit: Exit::CannotReproduce,
            detail: format!("{from}: {error}"),
            lines,
            headline: "The archive is no source to compare with.".into(),
        }
    }
}
