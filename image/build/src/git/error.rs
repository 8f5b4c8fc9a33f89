//! What can be wrong with a repository, each with the command that helps.

use super::CommitId;
use std::path::PathBuf;

/// Why git could not give what was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no `git` program.
    #[error("`git` is not installed.")]
    Missing,
    /// The folder is not inside a repository.
    #[error("{} is not inside a git repository.", .0.display())]
    NotARepository(PathBuf),
    /// The folder is a repository without a work tree.
    #[error("{} is a bare repository; a checkout is needed.", .0.display())]
    Bare(PathBuf),
    /// Another user owns the repository and git refuses to read it.
    #[error("git does not trust {}: another user owns it.", .0.display())]
    DubiousOwnership(PathBuf),
    /// The repository has no commit yet.
    #[error("The repository {} has no commits yet.", .0.display())]
    NoCommits(PathBuf),
    /// The name means no commit here.
    #[error("`{rev}` names no commit in {}{}.", .root.display(), if *.shallow { ", which is a shallow clone" } else { "" })]
    UnknownRevision {
        /// What was asked for.
        rev: String,
        /// The repository.
        root: PathBuf,
        /// Whether history is cut off, so that older commits are absent.
        shallow: bool,
    },
    /// Not 40 or 64 lower-case hex digits.
    #[error("`{0}` is not a commit id (40 or 64 lower-case hex digits).")]
    CommitId(String),
    /// An object the commit needs is absent (a partial clone) or broken.
    #[error("Object {object} of commit {commit} is missing or damaged in this repository.")]
    MissingObject {
        /// The object's id.
        object: String,
        /// The commit it belongs to.
        commit: CommitId,
    },
    /// An object does not have the content its id stands for.
    #[error(
        "Object {object} of this repository is not what its id says: it is damaged, or somebody changed it."
    )]
    Forged {
        /// The object's id.
        object: String,
    },
    /// The commit holds submodules.
    #[error("Commit {commit} holds {}, which a build from this commit alone cannot see.", listed("submodule", .paths))]
    Submodules {
        /// The commit.
        commit: CommitId,
        /// Their paths.
        paths: Vec<String>,
    },
    /// The commit holds Git LFS pointers instead of files.
    #[error("Commit {commit} holds {} instead of the file itself.", listed("Git LFS pointer", .paths))]
    LfsPointers {
        /// The commit.
        commit: CommitId,
        /// Their paths.
        paths: Vec<String>,
    },
    /// A path no honest tree has.
    #[error("Commit {commit} holds the path `{path}`, which is refused: {why}.")]
    BadPath {
        /// The commit.
        commit: CommitId,
        /// The path, made printable.
        path: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// More than the limit.
    #[error("Commit {commit} has more than {limit} {what}.")]
    TooMuch {
        /// The commit.
        commit: CommitId,
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The file is larger than the caller reads.
    #[error("`{path}` in commit {commit} has {size} bytes (at most {max}).")]
    FileTooBig {
        /// The commit.
        commit: CommitId,
        /// The file.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// The path is a symbolic link, folder or submodule where a file is needed.
    #[error("`{path}` in commit {commit} is not a regular file.")]
    NotAFile {
        /// The commit.
        commit: CommitId,
        /// The path.
        path: String,
    },
    /// git said something else.
    #[error("`git {command}` failed: {message}.")]
    Failed {
        /// The subcommand.
        command: &'static str,
        /// Its message, made printable.
        message: String,
    },
    /// git answered in a form this code does not know.
    #[error("`git {0}` gave an answer of an unknown form.")]
    Answer(&'static str),
    /// A file could not be read or written.
    #[error("{} cannot be written.", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The `git` process could not be run or talked to.
    #[error("`git` cannot be run.")]
    Process(#[source] std::io::Error),
}

impl GitError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Missing => "apt-get install git".into(),
            Self::NotARepository(_) => "git init && git add . && git commit -m 'first commit'".into(),
            Self::Bare(path) => format!("git clone {} and run this in the clone", path.display()),
            Self::DubiousOwnership(path) => {
                format!("git config --global --add safe.directory {}", path.display())
            }
            Self::NoCommits(_) => "git add . && git commit -m 'first commit'".into(),
            Self::UnknownRevision { shallow: true, .. } => "git fetch --unshallow".into(),
            Self::UnknownRevision { .. } => "git fetch, or check the name with `git log`".into(),
            Self::MissingObject { .. } => "git fetch --refetch, or `git fsck` to see what is damaged".into(),
            Self::Forged { .. } => {
                "`git fsck` shows the damage; clone the repository anew from where you trust it".into()
            }
            Self::Submodules { .. } => {
                "commit the files themselves (git rm --cached PATH, remove PATH/.git, git add PATH)".into()
            }
            Self::LfsPointers { .. } => {
                "commit the files themselves (git lfs untrack PATTERN, then git add --renormalize .)".into()
            }
            _ => return None,
        })
    }
}

/// `submodule vendor/x` or `3 submodules (a, b, c)`, at most five names.
fn listed(noun: &str, paths: &[String]) -> String {
    match paths {
        [one] => format!("the {noun} `{one}`"),
        many => {
            let mut names: Vec<_> = many.iter().take(5).map(|p| format!("`{p}`")).collect();
            if many.len() > 5 {
                names.push("…".into());
            }
            format!("{} {noun}s ({})", many.len(), names.join(", "))
        }
    }
}
