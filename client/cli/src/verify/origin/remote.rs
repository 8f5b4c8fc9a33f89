//! The source in a repository elsewhere, which the caller or the enclave names.

use super::{Found, Refusal, Scratch, Stop, Wish, check_expected, claimed_commit, position};
use super::{archive, download};
use crate::Context;
use crate::error::{CliError, Exit};
use crate::verify::fetch::MAX_SHOWN;
use caution_abi::manifest::AppSource;
use caution_appspec::excerpt;
use caution_build::git::{CommitId, Remote, RemoteError, RemoteLimits, Repository, SourceUrl, Tip};
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Instant;

/// Source from `--app-source-url`.
pub(super) fn named_by_caller(
    context: &Context,
    wish: &Wish,
    url: &SourceUrl,
    claimed: Option<&AppSource>,
) -> Result<Found, Stop> {
    let claimed = claimed_commit(claimed)?;
    let address = Address { url, from: &format!("from {url}"), limits: RemoteLimits::of(wish.max_bytes) };
    fetch(context, wish, &address, claimed.as_ref()).map_err(|failed| match failed {
        Failed::Stop(stop) => stop,
        Failed::Remote(error) => refused(&error).into(),
    })
}

/// Source from the first address of the manifest that has it. All of them together get the time of one: whoever runs
/// the enclave chose them, and a verifier that waits tells nobody of a change.
pub(super) fn named_by_enclave(
    context: &Context,
    wish: &Wish,
    urls: &[String],
    claimed: Option<&AppSource>,
) -> Result<Found, Stop> {
    let claimed = claimed_commit(claimed)?;
    let (mut failures, mut all_lack_it) = (Vec::new(), urls.len() <= MAX_ADDRESSES);
    let (limits, started) = (RemoteLimits::of(wish.max_bytes), Instant::now());
    for text in urls.iter().take(MAX_ADDRESSES) {
        let limits = RemoteLimits { whole: limits.whole.saturating_sub(started.elapsed()), ..limits };
        if limits.whole.is_zero() {
            break;
        }
        let from = format!(
            "from {}, an address that only the enclave named: review what is there",
            excerpt(text, MAX_SHOWN)
        );
        let fetched = text.parse::<SourceUrl>().map_err(Failed::Remote).and_then(|url| {
            fetch(context, wish, &Address { url: &url, from: &from, limits }, claimed.as_ref())
        });
        match fetched {
            Ok(found) => return Ok(found),
            Err(Failed::Stop(Stop::Refused(refusal))) if refusal.exit == Exit::CannotReproduce => {
                all_lack_it = false;
                failures.push(refusal.detail);
            }
            Err(Failed::Stop(stop)) => return Err(stop),
            Err(Failed::Remote(error)) => {
                all_lack_it &= matches!(error, RemoteError::NoCommit { .. });
                failures.push(error.to_string());
            }
        }
        context.terminal.note(failures.last().map_or("", String::as_str));
    }
    if let Some(more @ 1..) = urls.len().checked_sub(MAX_ADDRESSES) {
        failures.push(format!("{more} more addresses were not asked"));
    }
    failures.push(
        "fix: cd into a checkout of the application's source, or name its address with --app-source-url URL"
            .into(),
    );
    Err(Refusal {
        exit: if all_lack_it { Exit::SourceMismatch } else { Exit::CannotReproduce },
        detail: "no address that the enclave names gave its source".into(),
        lines: failures,
        headline: "The source could not be fetched, so there is nothing to compare with.".into(),
    }
    .into())
}

/// How many addresses of a manifest are asked.
const MAX_ADDRESSES: usize = 16;

/// An address to ask.
struct Address<'a> {
    url: &'a SourceUrl,
    /// What the verdict says about where the source is from.
    from: &'a str,
    limits: RemoteLimits,
}

/// Why an address gave no source: a reason to try the next one, or the end.
enum Failed {
    Remote(RemoteError),
    Stop(Stop),
}

impl From<RemoteError> for Failed {
    fn from(error: RemoteError) -> Self {
        Self::Remote(error)
    }
}

impl<E: Into<Stop>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Stop(error.into())
    }
}

fn fetch(
    context: &Context,
    wish: &Wish,
    address: &Address<'_>,
    claimed: Option<&CommitId>,
) -> Result<Found, Failed> {
    let Address { url, from, limits } = *address;
    let scratch = Scratch::new(&context.config.cache)?;
    let may_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let remote = Remote::new(url, scratch.path(), limits, may_ask);
    context.terminal.note(&format!("fetching the source from {url}"));
    if url.is_archive() {
        let path = download::download(url, &remote, scratch.path(), wish.max_bytes)?;
        return Ok(archive::take(wish, &path, scratch, claimed, &format!("archive {from}"))?);
    }
    let expected = wish.commit.as_deref().map(|revision| expected(&remote, revision)).transpose()?;
    if let Some(expected) = &expected {
        check_expected(expected, claimed)?;
    }
    let tip = match (&wish.reference, &expected, claimed) {
        (Some(name), ..) => Some(tip(&remote, name)?),
        (None, None, None) => Some(tip(&remote, "HEAD")?),
        _ => None,
    };
    let commit = expected.as_ref().or(claimed).or(tip.as_ref().map(|tip| &tip.commit)).cloned();
    let Some(commit) = commit else { return Err(RemoteError::Name("HEAD".into()).into()) };
    let (repo, place) = match &tip {
        Some(tip) if tip.commit != commit => with_history(&remote, &commit, tip, wish)?,
        _ => {
            let repo = remote.fetch_commit(&commit)?;
            let name = wish.reference.as_deref();
            let place = name.map(|name| position(&repo, &commit, name, &commit)).transpose()?;
            (repo, place.unwrap_or_default())
        }
    };
    let checkout = checkout_of(&commit);
    let found = Found::commit(repo, commit, &format!("{from}{place}"))?;
    Ok(Found { checkout, _scratch: Some(scratch), ..found })
}

/// The commit where the reference is not at it any more: its whole history is needed.
fn with_history(
    remote: &Remote<'_>,
    commit: &CommitId,
    tip: &Tip,
    wish: &Wish,
) -> Result<(Repository, String), Failed> {
    let (repo, now) = remote.fetch_history(tip)?;
    let name = wish.reference.as_deref().unwrap_or(&tip.name);
    let place = position(&repo, commit, name, &now)?;
    Ok((repo, place))
}

/// What `--commit` means in a repository elsewhere: a full id, or what a branch or tag is there now.
fn expected(remote: &Remote<'_>, revision: &str) -> Result<CommitId, Failed> {
    match revision.parse() {
        Ok(commit) => Ok(commit),
        Err(_) => Ok(tip(remote, revision)?.commit),
    }
}

/// What a name is there; one that cannot be such a name is the caller's mistake.
fn tip(remote: &Remote<'_>, name: &str) -> Result<Tip, Failed> {
    remote.tip(name).map_err(|error| match error {
        RemoteError::Name(_) | RemoteError::Ambiguous { .. } => {
            CliError::from(error).with_exit(Exit::Usage).into()
        }
        other => Failed::Remote(other),
    })
}

/// The checkout around the current folder, if it is one of the same source: if it has the commit.
fn checkout_of(commit: &CommitId) -> Option<std::path::PathBuf> {
    let repo = Repository::discover(Path::new(".")).ok()?;
    repo.contains(commit).ok()?.then(|| repo.root().to_owned())
}

/// A commit or name that is not there contradicts what was claimed or expected; anything else means that
/// this machine cannot compare.
fn refused(error: &RemoteError) -> Refusal {
    let contradicts = matches!(error, RemoteError::NoCommit { .. } | RemoteError::NoRef { .. });
    let mut lines: Vec<String> = super::super::causes(error);
    lines.extend(error.fix().map(|fix| format!("fix: {fix}")));
    Refusal {
        exit: if contradicts { Exit::SourceMismatch } else { Exit::CannotReproduce },
        detail: error.to_string(),
        lines,
        headline: "The source could not be fetched, so there is nothing to compare with.".into(),
    }
}
