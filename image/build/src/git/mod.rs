//! What a commit holds, read through git's plumbing.
//!
//! Objects are read as they are: no attributes, filters, hooks, replacements or network. What git
//! is asked never depends on the caller's `GIT_*` variables or the machine's system configuration.

mod archive;
mod error;
mod export;
mod history;
mod objects;
mod plumbing;
mod remote;

pub use archive::{ArchiveError, Unpacked, from_archive};
pub use error::GitError;
pub use history::Between;
pub use remote::{Remote, RemoteError, RemoteLimits, SourceUrl, Tip, UrlFault};

use caution_appspec::excerpt;
use objects::{Description, Kind, Objects};
use plumbing::Git;
use std::fmt;
use std::path::{Path, PathBuf};

/// A commit's full id: 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// The hex digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven digits, for one line on a screen.
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl std::str::FromStr for CommitId {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(GitError::CommitId(excerpt(text, 80)))
        }
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A git checkout.
#[derive(Debug, Clone)]
pub struct Repository {
    root: PathBuf,
    shallow: bool,
    git: Git,
}

impl Repository {
    /// The repository whose work tree holds `dir`.
    pub fn discover(dir: &Path) -> Result<Self, GitError> {
        let git = Git::find()?.at(dir);
        let facts = git.text(
            "rev-parse",
            &["--is-bare-repository", "--is-inside-work-tree", "--is-shallow-repository"],
        )?;
        let facts: Vec<&str> = facts.lines().collect();
        let [bare, inside, shallow] = facts[..] else { return Err(GitError::Answer("rev-parse")) };
        if bare == "true" {
            return Err(GitError::Bare(dir.to_owned()));
        }
        if inside != "true" {
            return Err(GitError::NotARepository(dir.to_owned()));
        }
        let root = git.path("rev-parse", &["--show-toplevel"])?;
        Ok(Self { git: git.at(&root), root, shallow: shallow == "true" })
    }

    /// A repository without a work tree, at exactly this folder: a server's.
    pub fn bare(dir: &Path) -> Result<Self, GitError> {
        let git = Git::find()?.bare(dir);
        let shallow = git.text("rev-parse", &["--is-shallow-repository"])?;
        Ok(Self { git, root: dir.to_owned(), shallow: shallow.trim_end() == "true" })
    }

    /// The work tree's top folder; the repository itself where there is none.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The commit that is checked out.
    pub fn head(&self) -> Result<CommitId, GitError> {
        self.commit("HEAD")?.ok_or_else(|| GitError::NoCommits(self.root.clone()))
    }

    /// The commit a name means: a branch, tag, short id, `HEAD~2`.
    pub fn resolve(&self, rev: &str) -> Result<CommitId, GitError> {
        self.commit(rev)?.ok_or_else(|| self.unknown(rev))
    }

    /// Whether the commit is here. Another object's id, an annotated tag's for example, is no commit's.
    pub fn contains(&self, commit: &CommitId) -> Result<bool, GitError> {
        Ok(Objects::open(&self.git)?.commit(commit)?.is_some())
    }

    /// Whether history is cut off here.
    pub fn is_shallow(&self) -> bool {
        self.shallow
    }

    /// The id of the commit's tree: equal trees mean equal source.
    pub fn tree_id(&self, commit: &CommitId) -> Result<String, GitError> {
        Objects::open(&self.git)?.tree_of(commit)?.ok_or_else(|| self.unknown(commit.as_str()))
    }

    /// The first line of the commit's message, without control characters, at most 200 characters.
    pub fn subject(&self, commit: &CommitId) -> Result<String, GitError> {
        let bytes = Objects::open(&self.git)?.commit(commit)?;
        let bytes = bytes.ok_or_else(|| self.unknown(commit.as_str()))?;
        let text = String::from_utf8_lossy(&bytes);
        let message = text.split_once("\n\n").map_or("", |(_, message)| message);
        let line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Ok(excerpt(line.trim(), 200))
    }

    /// The branch that is checked out; `None` when HEAD is detached.
    pub fn branch(&self) -> Result<Option<String>, GitError> {
        let name = self.git.answer_or_nothing("symbolic-ref", &["--quiet", "--short", "HEAD"])?;
        Ok(name.map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned()))
    }

    /// Paths that differ from the checked-out commit: modified, staged, or untracked and not
    /// ignored. What caution itself writes (`eif-stage/`, `.caution/`) is left out.
    pub fn dirty(&self) -> Result<Vec<String>, GitError> {
        // Porcelain v1 with -z and without renames: `XY path NUL`, one record a path. Inside submodules git
        // would run with their configuration; commits that hold any are refused later.
        let arguments =
            ["--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=dirty"];
        let records = self.git.status(&arguments)?;
        let mut paths = Vec::new();
        for record in records.split(|&b| b == 0).filter(|record| !record.is_empty()) {
            let path = record.get(3..).ok_or(GitError::Answer("status"))?;
            let ours = [&b"eif-stage/"[..], b".caution/"].iter().any(|folder| path.starts_with(folder));
            if !ours {
                paths.push(excerpt(&String::from_utf8_lossy(path), 4096));
            }
        }
        Ok(paths)
    }

    /// The bytes of one file of the commit; `None` when it has no such path.
    ///
    /// # Errors
    /// - [`GitError::FileTooBig`] when it has more than `max` bytes
    /// - [`GitError::NotAFile`] when the path is a link, folder or submodule
    pub(crate) fn read_file(
        &self,
        commit: &CommitId,
        path: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, GitError> {
        let mut objects = Objects::open(&self.git)?;
        let Some(found) = self.find(&mut objects, commit, path)? else { return Ok(None) };
        let (commit, size) = (commit.clone(), found.size);
        if size > max {
            return Err(GitError::FileTooBig { commit, path: path.to_owned(), size, max });
        }
        objects.take(&found, max).map(Some)
    }

    /// The length of one file of the commit in bytes; `None` when it has no such path.
    ///
    /// # Errors
    /// - [`GitError::NotAFile`] when the path is a link, folder or submodule
    pub fn file_size(&self, commit: &CommitId, path: &str) -> Result<Option<u64>, GitError> {
        let mut objects = Objects::open(&self.git)?;
        Ok(self.find(&mut objects, commit, path)?.map(|found| found.size))
    }

    /// Writes one file of the commit to the new file `into`; `None` when it has no such path.
    ///
    /// # Errors
    /// - [`GitError::FileTooBig`] when it is longer than all files of a commit together may be
    /// - [`GitError::NotAFile`] when the path is a link, folder or submodule
    /// - [`GitError::LfsPointers`] when it stands for a file that lies elsewhere
    pub fn export_file(&self, commit: &CommitId, path: &str, into: &Path) -> Result<Option<u64>, GitError> {
        let mut objects = Objects::open(&self.git)?;
        let Some(found) = self.find(&mut objects, commit, path)? else { return Ok(None) };
        export::one(&mut objects, commit, (path, &found), into)?;
        Ok(Some(found.size))
    }

    /// Asks for one file of the commit; its content must be taken before the next question.
    fn find(
        &self,
        objects: &mut Objects,
        commit: &CommitId,
        path: &str,
    ) -> Result<Option<Description>, GitError> {
        let mut tree = objects.tree_of(commit)?.ok_or_else(|| self.unknown(commit.as_str()))?;
        let not_a_file = || GitError::NotAFile { commit: commit.clone(), path: path.to_owned() };
        let mut names = path.split('/').filter(|name| !matches!(*name, "" | ".")).peekable();
        while let Some(name) = names.next() {
            let found = objects.tree(commit, &tree)?.into_iter().find(|entry| entry.path == Path::new(name));
            let Some(entry) = found else { return Ok(None) };
            match (entry.kind, names.peek()) {
                (Kind::Tree, Some(_)) => tree = entry.id,
                (Kind::File { .. }, None) => {
                    let found = objects.ask(&entry.id)?.filter(|found| found.kind == "blob");
                    let (object, commit) = (entry.id, commit.clone());
                    return found.map(Some).ok_or(GitError::MissingObject { object, commit });
                }
                (_, None) => return Err(not_a_file()),
                (_, Some(_)) => return Ok(None),
            }
        }
        Err(not_a_file())
    }

    /// Writes the commit's tree into the new folder `into` and counts its files and links.
    ///
    /// Bytes are those of the tree's blobs: no line-end conversion, `export-ignore` or
    /// `export-subst`. Files get mode 0644 or 0755, folders 0755, and one fixed modification time,
    /// whatever the umask. Symbolic links stay as they are and nothing is written through them.
    pub fn export(&self, commit: &CommitId, into: &Path) -> Result<usize, GitError> {
        if !self.contains(commit)? {
            return Err(self.unknown(commit.as_str()));
        }
        export::export(&self.git, commit, into)
    }

    fn commit(&self, rev: &str) -> Result<Option<CommitId>, GitError> {
        let name = format!("{rev}^{{commit}}");
        let arguments = ["--verify", "--quiet", "--end-of-options", &name];
        let Some(answer) = self.git.answer_or_nothing("rev-parse", &arguments)? else { return Ok(None) };
        let text = String::from_utf8(answer).map_err(|_| GitError::Answer("rev-parse"))?;
        // `--end-of-options` itself is echoed by some git versions.
        let id = text.lines().find(|line| !line.starts_with('-')).ok_or(GitError::Answer("rev-parse"))?;
        id.parse().map(Some)
    }

    fn unknown(&self, rev: &str) -> GitError {
        let rev = excerpt(rev, 100);
        GitError::UnknownRevision { rev, root: self.root.clone(), shallow: self.shallow }
    }
}

#[cfg(test)]
mod tests;
