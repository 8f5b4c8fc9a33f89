//! Why source could not be fetched, each with what helps.

use super::super::{CommitId, GitError};
use super::url::UrlFault;
use std::path::PathBuf;

/// Why a fetch gave no source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// The address is of a kind that is not used.
    #[error("Nothing is fetched from `{url}`: {fault}.")]
    Url {
        /// The address, made printable.
        url: String,
        /// Which rule it breaks.
        fault: UrlFault,
    },
    /// The name could not be one of a branch or tag.
    #[error("`{0}` is not the name of a branch or tag.")]
    Name(String),
    /// The server wants to know who asks.
    #[error("{url} wants a name and password, or a key, and accepts none of those that git has: {said}.")]
    Authentication {
        /// The address.
        url: String,
        /// git's words.
        said: String,
    },
    /// No such host, or nobody listens there.
    #[error("{url} cannot be reached: {said}.")]
    Unreachable {
        /// The address.
        url: String,
        /// git's words.
        said: String,
    },
    /// The server is not the one it is known as, or is not known at all.
    #[error("{url} cannot show that it is that server: {said}.")]
    Identity {
        /// The address.
        url: String,
        /// git's words.
        said: String,
    },
    /// There is no repository, or not for this user.
    #[error("There is no git repository at {url}, or you may not see it: {said}.")]
    NotFound {
        /// The address.
        url: String,
        /// git's words.
        said: String,
    },
    /// The repository does not have the commit.
    #[error("Commit {commit} is not in {url}.")]
    NoCommit {
        /// The address.
        url: String,
        /// The commit.
        commit: CommitId,
    },
    /// The repository has no such branch or tag.
    #[error("{url} has no branch or tag `{name}`.")]
    NoRef {
        /// The address.
        url: String,
        /// What was looked for.
        name: String,
    },
    /// A branch and a tag have the name.
    #[error("{url} has both a branch and a tag `{name}`.")]
    Ambiguous {
        /// The address.
        url: String,
        /// What was looked for.
        name: String,
    },
    /// More bytes than the limit.
    #[error("{url} sends more than {limit} bytes, the most that is fetched.")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The server went silent.
    #[error("{url} sent nothing for {seconds} seconds.")]
    Stalled {
        /// The address.
        url: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// The server kept talking, and was not done in time.
    #[error("{url} was not done after {seconds} seconds.")]
    TooSlow {
        /// The address.
        url: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// git found objects that are not what they should be.
    #[error("What {url} sends is no sound git repository: {said}.")]
    Damaged {
        /// The address.
        url: String,
        /// git's words.
        said: String,
    },
    /// Anything else that git says.
    #[error("Fetching from {url} failed: {said}.")]
    Failed {
        /// The address.
        url: String,
        /// git's words.
        said: String,
    },
    /// The folder to fetch into.
    #[error("{} cannot be written.", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// git itself.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl RemoteError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Url { fault, .. } => fault.fix().into(),
            Self::Name(_) => "--ref main".into(),
            Self::Authentication { url, .. } if url.starts_with("https:") => {
                format!("make `git ls-remote {url}` work without questions: git config --global credential.helper store")
            }
            Self::Authentication { url, .. } => {
                format!("make `git ls-remote {url}` work without questions: ssh-add, and see `ssh-add -l`")
            }
            Self::Unreachable { .. } => "check the address, and the network of this machine".into(),
            Self::Identity { url, .. } if url.starts_with("https:") => {
                format!("where its authority is one of your own: git config --global http.{}.sslCAInfo FILE", origin(url))
            }
            Self::Identity { .. } => {
                "connect once with ssh and compare the fingerprint with one from elsewhere; it then stands in ~/.ssh/known_hosts".into()
            }
            Self::NotFound { url, .. } => format!("see whether it opens: git ls-remote {url}"),
            Self::NoCommit { .. } => "a rewritten history no longer has it; ask for another address with --app-source-url URL".into(),
            Self::NoRef { url, .. } => format!("see what there is: git ls-remote {url}"),
            Self::Ambiguous { name, .. } => format!("say refs/heads/{name} or refs/tags/{name}"),
            Self::TooLarge { url, .. } => format!("git clone {url}, then verify in the clone"),
            Self::Stalled { .. } | Self::TooSlow { .. } => "try again, or clone it another way and verify in the clone".into(),
            Self::Damaged { .. } => "ask whoever keeps it to run `git fsck`".into(),
            Self::Git(error) => return error.fix(),
            _ => return None,
        })
    }
}

/// `https://host[:port]/`, what git's `http.<url>.*` settings are named by.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url, |at| &url[..=start + at])
}
