//! The source in the checkout around the current folder. Nothing is fetched for it.

use super::{Found, Refusal, Stop, Wish, check_expected, claimed_commit, position};
use crate::error::Exit;
use caution_abi::manifest::AppSource;
use caution_build::git::{CommitId, Repository};

/// The expected commit, else the claimed one, else what the reference or HEAD is.
pub(super) fn find(repo: Repository, wish: &Wish, claimed: Option<&AppSource>) -> Result<Found, Stop> {
    let expected = wish.commit.as_deref().map(|revision| repo.resolve(revision)).transpose()?;
    let tip = wish.reference.as_deref().map(|name| repo.resolve(name).map(|tip| (name, tip))).transpose()?;
    let claimed = claimed_commit(claimed)?;
    let commit = match (expected, claimed, &tip) {
        (Some(expected), claimed, _) => {
            check_expected(&expected, claimed.as_ref())?;
            expected
        }
        (None, Some(claimed), _) if repo.contains(&claimed)? => claimed,
        (None, Some(claimed), _) => return Err(absent(&claimed).into()),
        (None, None, Some((_, tip))) => tip.clone(),
        (None, None, None) => repo.head()?,
    };
    let mut from = "from this checkout".to_owned();
    match &tip {
        Some((name, tip)) => from.push_str(&position(&repo, &commit, name, tip)?),
        None if repo.head().is_ok_and(|head| head != commit) => from.push_str(" (not its HEAD)"),
        None => {}
    }
    let checkout = Some(repo.root().to_owned());
    Ok(Found { checkout, ..Found::commit(repo, commit, &from)? })
}

fn absent(commit: &CommitId) -> Refusal {
    let fix =
        "fix: git fetch --all      (or verify from the checkout that has it, or with --app-source-url URL)";
    Refusal {
        exit: Exit::SourceMismatch,
        detail: format!("commit {commit} does not exist in this checkout"),
        lines: vec![fix.into()],
        headline: "The enclave claims to run a commit that this checkout does not have.".into(),
    }
}
