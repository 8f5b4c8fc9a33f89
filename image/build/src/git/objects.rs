//! Reading objects through one `git cat-file --batch` process, and tree listings.

use super::GitError;
use super::plumbing::Git;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// A running `git cat-file --batch-command`-like session: one question, one answer.
pub(super) struct Objects {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// What an object is.
pub(super) struct Description {
    /// Full id.
    pub(super) id: String,
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

    /// The object's full id and size; `None` when there is none.
    pub(super) fn describe(&mut self, name: &str) -> Result<Option<Description>, GitError> {
        let found = self.ask(name)?;
        if let Some(found) = &found {
            self.copy(found.size, &mut std::io::sink()).map_err(GitError::Process)?;
        }
        Ok(found)
    }

    /// The object's content, at most `max` bytes; `None` when there is no such object.
    pub(super) fn read(&mut self, name: &str, max: u64) -> Result<Option<Vec<u8>>, GitError> {
        let Some(found) = self.ask(name)? else { return Ok(None) };
        if found.size > max {
            return Err(GitError::Answer("cat-file"));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(found.size).unwrap_or_default());
        self.copy(found.size, &mut bytes).map_err(GitError::Process)?;
        Ok(Some(bytes))
    }

    /// Asks for one object; its content must be taken with [`Self::copy`] before the next question.
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
            [id, _, size] if is_id(id) => {
                let size = size.parse().map_err(|_| GitError::Answer("cat-file"))?;
                Ok(Some(Description { id: id.to_owned(), size }))
            }
            [.., "missing" | "ambiguous"] => Ok(None),
            _ => Err(GitError::Answer("cat-file")),
        }
    }

    /// Copies the content just announced, and its final newline, to `sink`.
    pub(super) fn copy(&mut self, size: u64, sink: &mut dyn std::io::Write) -> std::io::Result<()> {
        let copied = std::io::copy(&mut (&mut self.answers).take(size), sink)?;
        let mut newline = [0];
        self.answers.read_exact(&mut newline)?;
        if copied == size && newline == *b"\n" {
            Ok(())
        } else {
            Err(std::io::Error::other("git cat-file ended early"))
        }
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

/// One line of a tree listing.
#[derive(Debug)]
pub(super) struct TreeEntry {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) path: PathBuf,
}

/// What a tree entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File { executable: bool, size: u64 },
    Symlink { size: u64 },
    Submodule,
    Tree,
}

impl TreeEntry {
    /// Reads `<mode> SP <type> SP <id> SP+ <size> TAB <path>`, the form of `ls-tree -z --long`.
    pub(super) fn parse(record: &[u8]) -> Result<Self, GitError> {
        let wrong = || GitError::Answer("ls-tree");
        let tab = record.iter().position(|&b| b == b'\t').ok_or_else(wrong)?;
        let facts = std::str::from_utf8(&record[..tab]).map_err(|_| wrong())?;
        let facts: Vec<&str> = facts.split_ascii_whitespace().collect();
        let [mode, _, id, size] = facts[..] else { return Err(wrong()) };
        if !is_id(id) {
            return Err(wrong());
        }
        let size = || size.parse::<u64>().map_err(|_| wrong());
        let kind = match mode {
            // 100664 is what very old versions of git wrote.
            "100644" | "100664" => Kind::File { executable: false, size: size()? },
            "100755" => Kind::File { executable: true, size: size()? },
            "120000" => Kind::Symlink { size: size()? },
            "160000" => Kind::Submodule,
            "040000" => Kind::Tree,
            _ => return Err(wrong()),
        };
        let path = Path::new(OsStr::from_bytes(&record[tab + 1..])).to_owned();
        Ok(Self { kind, id: id.to_owned(), path })
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
