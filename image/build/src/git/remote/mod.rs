//! Commits of a repository elsewhere, fetched into a folder of their own.
//!
//! Other than where objects are read, the user's own configuration of git counts here, with its credential
//! helpers, certificates and keys: private source is fetched as `git fetch` would. What comes is bounded, and
//! checked by git on arrival; readers check each object again.

mod error;
mod run;
mod url;

pub use error::RemoteError;
pub use url::{SourceUrl, UrlFault};

use super::plumbing::Git;
use super::{CommitId, GitError, Repository};
use crate::process::{command, find_program};
use caution_appspec::excerpt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How much is fetched, and how long is waited for it.
#[derive(Debug, Clone, Copy)]
pub struct RemoteLimits {
    /// Bytes that one answer may have: 1 GiB.
    pub bytes: u64,
    /// How long a server may send nothing: ten minutes.
    pub silence: Duration,
    /// How long everything that is asked of one [`Remote`] may take: half an hour for each gibibyte, which then
    /// comes at 5 Mbit/s.
    pub whole: Duration,
}

impl RemoteLimits {
    /// For so many bytes at most.
    pub fn of(bytes: u64) -> Self {
        let gibibytes = u32::try_from(bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX);
        Self {
            bytes,
            silence: Duration::from_mins(10),
            whole: Duration::from_mins(30).saturating_mul(gibibytes),
        }
    }
}

impl Default for RemoteLimits {
    fn default() -> Self {
        Self::of(1 << 30)
    }
}

/// What stands under a name of a repository elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tip {
    /// The full name, `refs/heads/main` or `HEAD`.
    pub name: String,
    /// The commit; of an annotated tag the one it is about.
    pub commit: CommitId,
}

/// A repository elsewhere.
#[derive(Debug)]
pub struct Remote<'a> {
    url: &'a SourceUrl,
    /// Where everything that is fetched goes; private to the caller.
    folder: &'a Path,
    limits: RemoteLimits,
    started: Instant,
    /// Whether somebody is there to answer questions for names and passwords.
    may_ask: bool,
}

impl<'a> Remote<'a> {
    /// A repository to be fetched into the existing folder, of which nothing is asked yet.
    pub fn new(url: &'a SourceUrl, folder: &'a Path, limits: RemoteLimits, may_ask: bool) -> Self {
        Self { url, folder, limits, started: Instant::now(), may_ask }
    }

    /// What a branch, a tag or `HEAD` of the repository is now.
    pub fn tip(&self, name: &str) -> Result<Tip, RemoteError> {
        check_name(name)?;
        let mut names = match name {
            "HEAD" => vec![name.to_owned()],
            full if full.starts_with("refs/") => vec![full.to_owned()],
            short => vec![format!("refs/heads/{short}"), format!("refs/tags/{short}")],
        };
        let mut arguments = vec!["--quiet".to_owned(), "--".to_owned(), self.url.as_str().to_owned()];
        arguments.extend(names.iter().flat_map(|name| [name.clone(), format!("{name}^{{}}")]));
        let answer = self.run(self.folder, "ls-remote", &arguments)?;
        let listed: Vec<(&str, &str)> = answer.lines().filter_map(|line| line.split_once('\t')).collect();
        // What is asked for is a pattern to git; only whole names count.
        let id = |name: &str| listed.iter().find(|(_, listed)| *listed == name).map(|(id, _)| *id);
        names.retain(|name| id(name).is_some());
        let url = || self.url.to_string();
        match &names[..] {
            [name] => {
                let peeled = format!("{name}^{{}}");
                let commit = id(&peeled).or_else(|| id(name)).unwrap_or_default().parse()?;
                Ok(Tip { name: name.clone(), commit })
            }
            [] => Err(RemoteError::NoRef { url: url(), name: name.to_owned() }),
            _ => Err(RemoteError::Ambiguous { url: url(), name: name.to_owned() }),
        }
    }

    /// Fetches one commit with all its files; nothing before it where the server gives commits by their id.
    pub fn fetch_commit(&self, commit: &CommitId) -> Result<Repository, RemoteError> {
        let folder = self.fresh(commit)?;
        let one = ["--depth=1".to_owned(), "--".to_owned(), self.url.as_str().to_owned(), commit.to_string()];
        match self.fetch(&folder, &one) {
            Ok(()) => {}
            // Such a server says no, or that it cannot do this, and may still have the commit under a name.
            Err(RemoteError::NoCommit { .. } | RemoteError::Failed { .. }) => {
                let all = ["+refs/heads/*:refs/source/heads/*", "+refs/tags/*:refs/source/tags/*"];
                let mut arguments = vec!["--".to_owned(), self.url.as_str().to_owned()];
                arguments.extend(all.map(str::to_owned));
                self.fetch(&folder, &arguments)?;
            }
            Err(other) => return Err(other),
        }
        self.open(&folder, commit)
    }

    /// Fetches what is under `tip`'s name now, with its history; returns that commit too, since it may have moved.
    pub fn fetch_history(&self, tip: &Tip) -> Result<(Repository, CommitId), RemoteError> {
        let folder = self.fresh(&tip.commit)?;
        let what = format!("+{}:refs/source/tip", tip.name);
        self.fetch(&folder, &["--".to_owned(), self.url.as_str().to_owned(), what])?;
        let repository = Repository::discover(&folder)?;
        let commit = repository.resolve("refs/source/tip")?;
        Ok((repository, commit))
    }

    /// How long fetching may still take.
    pub fn time_left(&self) -> Duration {
        self.limits.whole.saturating_sub(self.started.elapsed())
    }

    /// The file of certificates that git trusts for this address, where the user named one.
    pub fn authorities(&self) -> Result<Option<PathBuf>, RemoteError> {
        let arguments = ["--type=path", "--get-urlmatch", "http.sslCAInfo", self.url.as_str()];
        let mut git = self.git(self.folder, "config")?;
        let output = git.args(arguments).output().map_err(GitError::Process)?;
        let text = String::from_utf8(output.stdout).map_err(|_| GitError::Answer("config"))?;
        Ok(Some(text.trim_end_matches('\n')).filter(|path| !path.is_empty()).map(PathBuf::from))
    }

    fn open(&self, folder: &Path, commit: &CommitId) -> Result<Repository, RemoteError> {
        let repository = Repository::discover(folder)?;
        // Reads the commit, and compares its content with its id.
        if repository.contains(commit)? {
            Ok(repository)
        } else {
            Err(RemoteError::NoCommit { url: self.url.to_string(), commit: commit.clone() })
        }
    }

    /// A new repository without templates, so without hooks, of the commit's kind of ids.
    fn fresh(&self, like: &CommitId) -> Result<PathBuf, RemoteError> {
        let format = if like.as_str().len() == 64 { "sha256" } else { "sha1" };
        let folder = self.folder.join("source");
        let path = folder.to_str().ok_or(GitError::Answer("init"))?;
        let format = format!("--object-format={format}");
        Git::find()?.at(self.folder).bytes("init", &["--quiet", "--template=", &format, "--", path])?;
        Ok(folder)
    }

    fn fetch(&self, folder: &Path, arguments: &[String]) -> Result<(), RemoteError> {
        // `--progress` keeps git talking, which is how a silent server is told from a slow one.
        let always = ["--progress", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"];
        let mut all: Vec<String> = always.map(str::to_owned).into();
        all.push("--no-recurse-submodules".to_owned());
        all.extend_from_slice(arguments);
        self.run(folder, "fetch", &all).map(drop).map_err(|error| {
            if self.is_full(folder) {
                RemoteError::TooLarge { url: self.url.to_string(), limit: self.limits.bytes }
            } else {
                error
            }
        })
    }

    /// Whether a pack has the length that no file may exceed: git does not say why it ended there.
    fn is_full(&self, folder: &Path) -> bool {
        let packs = std::fs::read_dir(folder.join(".git/objects/pack")).into_iter().flatten().flatten();
        packs.filter_map(|pack| pack.metadata().ok()).any(|pack| pack.len() >= run::most(self.limits))
    }

    /// Standard output of a command of git that talks to the repository.
    fn run(&self, folder: &Path, subcommand: &str, arguments: &[String]) -> Result<String, RemoteError> {
        let mut git = self.git(folder, subcommand)?;
        git.args(arguments);
        let limits = RemoteLimits { whole: self.time_left(), ..self.limits };
        let output = run::run(&git, self.folder, limits, self.may_ask)?;
        let url = || self.url.to_string();
        match output {
            run::Outcome::Done(text) => Ok(text),
            run::Outcome::Stalled => {
                Err(RemoteError::Stalled { url: url(), seconds: self.limits.silence.as_secs() })
            }
            run::Outcome::TooSlow => {
                Err(RemoteError::TooSlow { url: url(), seconds: self.limits.whole.as_secs() })
            }
            run::Outcome::Failed(said) => Err(self.failure(&said, arguments)),
        }
    }

    /// git with the user's configuration, two protocols and no programs of a repository's.
    fn git(&self, folder: &Path, subcommand: &str) -> Result<std::process::Command, GitError> {
        let program = find_program("git").ok_or(GitError::Missing)?;
        let mut git = command(&program, USERS);
        git.arg("-C").arg(folder);
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "safe.bareRepository=explicit",
            "protocol.version=2",
            "fetch.fsckObjects=true",
            "transfer.fsckObjects=true",
            // One file for everything that comes: a limit of its length is one of the whole.
            "fetch.unpackLimit=1",
            "transfer.unpackLimit=1",
            "transfer.bundleURI=false",
            "fetch.writeCommitGraph=false",
        ] {
            git.args(["-c", setting]);
        }
        git.args(["--no-pager", subcommand]);
        git.env("GIT_ALLOW_PROTOCOL", "https:ssh").env("GIT_NO_REPLACE_OBJECTS", "1");
        if !self.may_ask {
            git.env("GIT_TERMINAL_PROMPT", "0");
        }
        Ok(git)
    }

    /// Turns git's words into one of our errors.
    fn failure(&self, said: &str, arguments: &[String]) -> RemoteError {
        let url = self.url.to_string();
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let commit = || arguments.last().and_then(|last| last.parse::<CommitId>().ok());
        if has(&["not our ref", "unadvertised object", "no such remote ref", "couldn't find remote ref"])
            && let Some(commit) = commit()
        {
            return RemoteError::NoCommit { url, commit };
        }
        let line = said
            .split(['\n', '\r'])
            .filter(|line| {
                ["fatal: ", "error: ", "ssh: ", "ERROR: "].iter().any(|start| line.contains(start))
            })
            .chain(said.split(['\n', '\r']).filter(|line| !line.trim().is_empty()))
            .next()
            .unwrap_or("git says nothing");
        let words = excerpt(line.trim().trim_end_matches('.'), 300);
        let said_words = words.trim_start_matches("fatal: ").trim_start_matches("error: ").to_owned();
        for (texts, error) in FAILURES {
            if has(texts) {
                return error(url, said_words);
            }
        }
        RemoteError::Failed { url, said: said_words }
    }
}

/// A name that git cannot take for an option, a pattern or an expression.
fn check_name(name: &str) -> Result<(), RemoteError> {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c);
    let bad = name.is_empty()
        || name.len() > 255
        || name.starts_with(['-', '/'])
        || name.ends_with(['/', '.'])
        || name.contains("..")
        || name.contains("@{")
        || name.contains("//")
        || name.contains(odd);
    if bad { Err(RemoteError::Name(excerpt(name, 100))) } else { Ok(()) }
}

type ToError = fn(String, String) -> RemoteError;

/// What git, curl and ssh say, and what that means. The first that fits counts.
const FAILURES: &[(&[&str], ToError)] = &[
    (
        &["Host key verification failed", "REMOTE HOST IDENTIFICATION", "certificate", "SSL", "CAfile"],
        |url, said| RemoteError::Identity { url, said },
    ),
    (
        &[
            "Authentication failed",
            "could not read Username",
            "could not read Password",
            "Permission denied",
            "returned error: 403",
            "returned error: 401",
        ],
        |url, said| RemoteError::Authentication { url, said },
    ),
    (
        &[
            "Could not resolve",
            "Connection refused",
            "Failed to connect",
            "Couldn't connect",
            "timed out",
            "unreachable",
            "No route to host",
        ],
        |url, said| RemoteError::Unreachable { url, said },
    ),
    (
        &[
            "not found",
            "does not appear to be a git repository",
            "does not exist",
            "returned error: 404",
            "returned error: 410",
        ],
        |url, said| RemoteError::NotFound { url, said },
    ),
    (
        &[
            "fsck error",
            "index-pack failed",
            "invalid index-pack",
            "bad object",
            "did not send all necessary",
        ],
        |url, said| RemoteError::Damaged { url, said },
    ),
];

/// Variables of the user's that decide how a server is reached and who asks.
const USERS: &[&str] = &[
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "SSH_AUTH_SOCK",
    "GIT_ASKPASS",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "GNUPGHOME",
    "GPG_TTY",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
];

#[cfg(test)]
mod tests;
