//! Where the reviewed source comes from: a checkout, a repository elsewhere or an archive.
//!
//! Nothing here runs before the evidence is authentic and the manifest bound to it.

mod archive;
mod checkout;
mod download;
mod remote;

use super::fetch::MAX_SHOWN;
use super::verdict::{CheckName, Verdict};
use crate::Context;
use crate::error::{CliError, Exit};
use crate::scratch::Scratch;
use caution_abi::manifest::AppSource;
use caution_appspec::excerpt;
use caution_build::git::{CommitId, GitError, Repository, SourceUrl};
use std::path::{Path, PathBuf};

/// Where the caller wants the source from, and what it has to be.
pub(crate) struct Wish {
    /// `--app-source-url`.
    pub(crate) url: Option<SourceUrl>,
    /// `--from-tarball`.
    pub(crate) tarball: Option<PathBuf>,
    /// `--commit`: the revision the caller expects.
    pub(crate) commit: Option<String>,
    /// `--ref`: the branch or tag that has to hold the commit.
    pub(crate) reference: Option<String>,
    /// `--max-source`: the most that is fetched, in bytes.
    pub(crate) max_bytes: u64,
    /// Whether addresses that only the enclave names are asked; kept evidence is checked without asking anybody.
    pub(crate) follows_claims: bool,
}

/// The source to compare with.
pub(super) struct Found {
    /// A repository that has the commit.
    pub(super) repo: Repository,
    /// The commit in it whose tree is the reviewed one.
    pub(super) commit: CommitId,
    /// The commit that was reviewed; of an archive none is known.
    pub(super) reviewed: Option<CommitId>,
    /// The commit that a manifest has to name.
    pub(super) claim: String,
    /// What is reviewed, within a sentence: `commit 0123456`.
    pub(super) what: String,
    /// What is reviewed and where it comes from, for the verdict.
    pub(super) detail: String,
    /// The checkout where what is learnt about this source is kept.
    pub(super) checkout: Option<PathBuf>,
    /// The folder of what was fetched; it goes when nobody needs it any more.
    _scratch: Option<Scratch>,
}

/// Why there is no source to compare with.
pub(super) enum Stop {
    /// A check failed.
    Refused(Refusal),
    /// Nothing can be said about the enclave.
    Error(CliError),
}

/// A failed check of the source.
pub(super) struct Refusal {
    exit: Exit,
    detail: String,
    lines: Vec<String>,
    headline: String,
}

impl Found {
    /// A commit of a repository.
    fn commit(repo: Repository, commit: CommitId, from: &str) -> Result<Self, GitError> {
        Ok(Self {
            detail: format!("{} \"{}\" {from}", commit.short(), repo.subject(&commit)?),
            what: format!("commit {}", commit.short()),
            claim: commit.to_string(),
            reviewed: Some(commit.clone()),
            repo,
            commit,
            checkout: None,
            _scratch: None,
        })
    }
}

impl Refusal {
    /// Writes it down as the verdict's end.
    pub(super) fn conclude(self, verdict: &mut Verdict) {
        verdict.failed(self.exit, CheckName::Source, self.detail, &self.lines);
        verdict.conclude(self.headline);
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<CliError> for Stop {
    fn from(error: CliError) -> Self {
        Self::Error(error)
    }
}

impl From<GitError> for Stop {
    fn from(error: GitError) -> Self {
        Self::Error(error.into())
    }
}

/// Finds the reviewed source: in the named archive or at the named address, else in the checkout around the current folder, else
/// where the enclave says that it is.
pub(super) fn find(context: &Context, wish: &Wish, claimed: Option<&AppSource>) -> Result<Found, Stop> {
    if let Some(path) = &wish.tarball {
        return archive::from_file(context, wish, path, claimed);
    }
    if let Some(url) = &wish.url {
        return remote::named_by_caller(context, wish, url, claimed);
    }
    let urls = claimed.filter(|_| wish.follows_claims).map_or(&[][..], |claimed| &claimed.urls[..]);
    match Repository::discover(Path::new(".")) {
        Ok(repo) => checkout::find(repo, wish, claimed),
        Err(GitError::NotARepository(_) | GitError::Bare(_)) if !urls.is_empty() => {
            remote::named_by_enclave(context, wish, urls, claimed)
        }
        Err(error) => Err(CliError::from(error)
            .with_exit(Exit::CannotReproduce)
            .hint("cd into a checkout of the application's source, name its address with --app-source-url URL, or compare with --pcrs FILE")
            .into()),
    }
}

/// The claimed commit, if it has the form of a full id. A claim is never handed to git as anything else.
fn claimed_commit(claimed: Option<&AppSource>) -> Result<Option<CommitId>, Refusal> {
    let Some(text) = claimed.map(|source| source.commit.as_str()) else { return Ok(None) };
    match text.parse() {
        Ok(commit) => Ok(Some(commit)),
        Err(_) => Err(Refusal {
            exit: Exit::SourceMismatch,
            detail: format!(
                "the enclave names `{}`, which is not the id of a commit",
                excerpt(text, MAX_SHOWN)
            ),
            lines: Vec::new(),
            headline: "The enclave names no commit.".into(),
        }),
    }
}

/// That the enclave claims no other commit than the expected one.
fn check_expected(expected: &CommitId, claimed: Option<&CommitId>) -> Result<(), Refusal> {
    match claimed {
        Some(claimed) if claimed != expected => Err(Refusal {
            exit: Exit::SourceMismatch,
            detail: "the enclave says it runs another commit".into(),
            lines: vec![format!("expected  {expected}"), format!("claimed   {claimed}")],
            headline: format!("{} is not the commit the enclave claims to run.", expected.short()),
        }),
        _ => Ok(()),
    }
}

/// How far the commit is behind the reference, in words; a refusal where that does not hold it.
fn position(repo: &Repository, commit: &CommitId, name: &str, tip: &CommitId) -> Result<String, Stop> {
    if commit == tip {
        return Ok(format!(", which is what {name} is now"));
    }
    if !repo.contains(commit)? || !repo.is_ancestor(commit, tip)? {
        let mut lines = vec![format!("{name}  {tip}"), format!("running  {commit}")];
        if repo.is_shallow() {
            lines.push("fix: git fetch --unshallow      (history is cut off here)".into());
        }
        return Err(Refusal {
            exit: Exit::SourceMismatch,
            detail: format!(
                "commit {} is not in the history of {name}: never was, or it was rewritten",
                commit.short()
            ),
            lines,
            headline: format!("The enclave runs a commit that {name} does not hold."),
        }
        .into());
    }
    let count = repo.between(commit, tip, 0)?.count;
    let commits = if count == 1 { "commit" } else { "commits" };
    Ok(format!(", {count} {commits} behind {name}"))
}
