//! Reading objects through one `git cat-file --batch` process.
//!
//! git checks that an object is what its id says when it fetches it, not when it reads it. A folder that
//! came in another way, as an archive, can hold anything under any id; so every object is hashed here.

use super::plumbing::Git;
use super::{CommitId, GitError};
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A running `git cat-file --batch` session: one question, one answer.
pub(super) struct Objects {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What an object says it is.
#[derive(Debug, Clone)]
pub(super) struct Description {
    /// Full id.
    pub(super) id: String,
    /// `commit`, `tree`, `blob` or `tag`.
    pub(super) kind: String,
    /// Content bytes.
    pub(super) size: u64,
}

impl Objects {
    pub(super) fn open(git: &Git) -> Result<Self, GitError> {
        let mut command = git.command("cat-file");
        command.arg("--batch").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(GitError::Process)?;
        let questions = child.stdin.take();
        let answers = child.stdout.take().ok_or(GitError::Answer("cat-file"))?;
        Ok(Self { child, questions, answers: BufReader::with_capacity(256 * 1024, answers) })
    }

    /// The commit object's content; `None` when there is no commit of exactly this id.
    pub(super) fn commit(&mut self, commit: &CommitId) -> Result<Option<Vec<u8>>, GitError> {
        let Some(found) = self.ask(commit.as_str())? else { return Ok(None) };
        if found.kind != "commit" || found.id != commit.as_str() {
            self.copy(&found, &mut std::io::sink(), GitError::Process)?;
            return Ok(None);
        }
        self.take(&found, MAX_COMMIT_BYTES).map(Some)
    }

    /// The id of the commit's tree; `None` when there is no such commit.
    pub(super) fn tree_of(&mut self, commit: &CommitId) -> Result<Option<String>, GitError> {
        let Some(content) = self.commit(commit)? else { return Ok(None) };
        // The first line of every commit: `tree <id>`.
        let line = content.split(|&b| b == b'\n').next().unwrap_or_default();
        let id = line.strip_prefix(b"tree ").and_then(|id| std::str::from_utf8(id).ok());
        id.filter(|id| is_id(id)).map(|id| Some(id.to_owned())).ok_or(GitError::Answer("cat-file"))
    }

    /// The entries of one tree; their paths are bare names.
    pub(super) fn tree(&mut self, commit: &CommitId, id: &str) -> Result<Vec<TreeEntry>, GitError> {
        let missing = || GitError::MissingObject { object: id.to_owned(), commit: commit.clone() };
        let found = self.ask(id)?.filter(|found| found.kind == "tree").ok_or_else(missing)?;
        let content = self.take(&found, MAX_TREE_BYTES)?;
        let id_bytes = found.id.len() / 2;
        let (mut entries, mut rest) = (Vec::new(), &content[..]);
        while !rest.is_empty() {
            let (entry, after) = TreeEntry::parse(rest, id_bytes).ok_or(GitError::Answer("cat-file"))?;
            entries.push(entry);
            rest = after;
        }
        Ok(entries)
    }

    /// Asks for one object; its content must be taken before the next question.
    pub(super) fn ask(&mut self, name: &str) -> Result<Option<Description>, GitError> {
        // A newline would be two questions.
        if name.contains('\n') {
            return Ok(None);
        }
        let questions = self.questions.as_mut().ok_or(GitError::Answer("cat-file"))?;
        questions.write_all(format!("{name}\n").as_bytes()).map_err(GitError::Process)?;
        questions.flush().map_err(GitError::Process)?;
        let mut line = String::new();
        (&mut self.answers).take(4096).read_line(&mut line).map_err(GitError::Process)?;
        let line = line.strip_suffix('\n').ok_or(GitError::Answer("cat-file"))?;
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [id, kind, size] if is_id(id) => {
                let size = size.parse().map_err(|_| GitError::Answer("cat-file"))?;
                Ok(Some(Description { id: id.to_owned(), kind: kind.to_owned(), size }))
            }
            [.., "missing" | "ambiguous"] => Ok(None),
            _ => Err(GitError::Answer("cat-file")),
        }
    }

    /// The content just announced, if it has at most `max` bytes.
    pub(super) fn take(&mut self, found: &Description, max: u64) -> Result<Vec<u8>, GitError> {
        if found.size > max {
            return Err(GitError::Answer("cat-file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.size).unwrap_or_default());
        self.copy(found, &mut bytes, GitError::Process)?;
        Ok(bytes)
    }

    /// Copies the content just announced to `sink`, and refuses it when it is not what its id says.
    pub(super) fn copy(
        &mut self,
        found: &Description,
        sink: &mut dyn std::io::Write,
        sink_failed: impl FnOnce(std::io::Error) -> GitError,
    ) -> Result<(), GitError> {
        let ended = || GitError::Process(std::io::Error::other("git cat-file ended early"));
        let mut hasher = IdHasher::new(found);
        let mut left = found.size;
        while left > 0 {
            let chunk = self.answers.fill_buf().map_err(GitError::Process)?;
            if chunk.is_empty() {
                return Err(ended());
            }
            let length = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            hasher.update(&chunk[..length]);
            if let Err(cause) = sink.write_all(&chunk[..length]) {
                return Err(sink_failed(cause));
            }
            self.answers.consume(length);
            left -= length as u64;
        }
        let mut newline = [0];
        self.answers.read_exact(&mut newline).map_err(|_| ended())?;
        if newline != *b"\n" {
            return Err(ended());
        }
        if hasher.is(&found.id) { Ok(()) } else { Err(GitError::Forged { object: found.id.clone() }) }
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.questions = None;
        // Anything still on the way is of no interest; the process ends at its closed input or here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Computes an object's id: the digest of `<kind> <size>\0` and its content.
enum IdHasher {
    Sha1(Box<sha1_checked::Sha1>),
    Sha256(Sha256),
}

impl IdHasher {
    fn new(found: &Description) -> Self {
        let mut hasher = match found.id.len() {
            64 => Self::Sha256(Sha256::new()),
            _ => Self::Sha1(Box::default()),
        };
        hasher.update(format!("{} {}\0", found.kind, found.size).as_bytes());
        hasher
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// Whether the digest is `id`, and was not made to collide with another's.
    fn is(self, id: &str) -> bool {
        match self {
            Self::Sha1(hasher) => {
                let result = hasher.try_finalize();
                !result.has_collision() && hex(result.hash().as_slice()) == id
            }
            Self::Sha256(hasher) => hex(hasher.finalize().as_slice()) == id,
        }
    }
}

/// One entry of a tree.
#[derive(Debug)]
pub(super) struct TreeEntry {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) path: PathBuf,
}

/// What a tree entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File { executable: bool },
    Symlink,
    Submodule,
    Tree,
}

impl TreeEntry {
    /// Reads `<mode> SP <name> NUL <id>` from the front of a tree's content; ids are bytes here.
    fn parse(content: &[u8], id_bytes: usize) -> Option<(Self, &[u8])> {
        let space = content.iter().take(8).position(|&b| b == b' ')?;
        let (mode, rest) = (&content[..space], &content[space + 1..]);
        let nul = rest.iter().position(|&b| b == 0)?;
        let (name, rest) = (&rest[..nul], &rest[nul + 1..]);
        let (id, rest) = rest.split_at_checked(id_bytes)?;
        let kind = match mode {
            // 100664 is what very old versions of git wrote.
            b"100644" | b"100664" => Kind::File { executable: false },
            b"100755" => Kind::File { executable: true },
            b"120000" => Kind::Symlink,
            b"160000" => Kind::Submodule,
            b"40000" => Kind::Tree,
            _ => return None,
        };
        Some((Self { kind, id: hex(id), path: Path::new(OsStr::from_bytes(name)).to_owned() }, rest))
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The longest commit object that is read.
const MAX_COMMIT_BYTES: u64 = 1 << 20;
/// The longest tree object: 500,000 names of 64 bytes each.
const MAX_TREE_BYTES: u64 = 64 << 20;
