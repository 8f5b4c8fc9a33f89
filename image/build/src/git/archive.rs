//! An archive of source, as `git archive` and forges make it, taken over into a repository.
//!
//! Members go straight into `git fast-import`: nothing is extracted, so no link is followed and no filter runs,
//! and files keep their bytes. What git itself never archives is refused by name.

use super::export::{MAX_ALL_PATHS, MAX_FILES, MAX_FOLDERS, MAX_TOTAL_BYTES, check_path};
use super::plumbing::Git;
use super::{CommitId, GitError, Repository};
use caution_appspec::excerpt;
use caution_measure::Sha256Digest;
use caution_rootfs::{MemberKind, TarError, TarReader};
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

/// What an archive held.
#[derive(Debug)]
pub struct Unpacked {
    /// A repository with its files.
    pub repository: Repository,
    /// The commit there that has them. It was made here: an archive holds no commit.
    pub commit: CommitId,
    /// The commit that the archive says it is of, which nothing in it proves.
    pub named: Option<CommitId>,
    /// Of the archive's bytes.
    pub sha256: Sha256Digest,
}

/// Why an archive is not taken as source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file cannot be read.
    #[error("The archive {} cannot be read.", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a tar archive, or a damaged one.
    #[error("The archive is no tar archive, or a damaged one.")]
    Tar(#[source] TarError),
    /// A member of a kind that git does not archive.
    #[error("The archive holds `{path}`, {what}, which no archive of a git commit does.")]
    Member {
        /// The member.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// A path no honest tree has.
    #[error("The archive holds the path `{path}`, which is refused: {why}.")]
    BadPath {
        /// The path, made printable.
        path: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// More than the limit.
    #[error("The archive has more than {limit} {what}.")]
    TooMuch {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A folder without files: what is left of a submodule.
    #[error("The archive holds the empty folder `{0}`: git archives a submodule so, without its files.")]
    EmptyFolder(String),
    /// No files at all.
    #[error("The archive holds no files.")]
    Empty,
    /// Headers about the whole archive that tools read differently.
    #[error("The archive has global headers beside the one comment that git writes.")]
    Globals,
    /// git itself.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl ArchiveError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Io { .. } | Self::TooMuch { .. } => return None,
            Self::Git(error) => return error.fix(),
            Self::EmptyFolder(_) => "commit the files themselves; builds do not see submodules".into(),
            _ => "make it with git: git archive --format=tar.gz --prefix=app/ --output=app.tar.gz COMMIT"
                .into(),
        })
    }
}

/// Takes an archive, plain or gzip, over into a new repository in `folder`. One folder around everything, as
/// forges put it, is left out.
pub fn from_archive(path: &Path, folder: &Path) -> Result<Unpacked, ArchiveError> {
    let io = |source| ArchiveError::Io { path: path.to_owned(), source };
    let tar = ArchiveError::Tar;
    let mut input = BufReader::new(Hashing { file: File::open(path).map_err(io)?, hasher: Sha256::new() });
    let is_gzip = input.fill_buf().map_err(io)?.starts_with(&[0x1f, 0x8b]);
    let mut decoder;
    let content: &mut dyn Read = if is_gzip {
        decoder = MultiGzDecoder::new(&mut input);
        &mut decoder
    } else {
        &mut input
    };
    let mut reader = TarReader::new(content.take(MAX_ARCHIVE_BYTES), MAX_EXTENSION_BYTES);
    let mut import = Import::start(folder)?;
    let mut entries = Entries::default();
    while let Some(member) = reader.next_member().map_err(tar)? {
        match entries.add(&member.path, &member.kind, member.mode)? {
            Content::None => {}
            Content::Link(target) => import.blob(target.len() as u64, &mut &target[..]).map_err(tar)?,
            Content::File(size) => import.blob(size, &mut reader).map_err(tar)?,
        }
    }
    if reader.globals().others {
        return Err(ArchiveError::Globals);
    }
    let comment = reader.globals().comment.clone().unwrap_or_default();
    let named = std::str::from_utf8(&comment).ok().and_then(|text| text.parse().ok());
    reader.finish().map_err(tar)?;
    // The digest is of the whole file.
    io::copy(&mut input, &mut io::sink()).map_err(io)?;
    let sha256 = Sha256Digest::new(input.into_inner().hasher.finalize().into());
    let files = entries.finish()?;
    let repository = import.finish(&files)?;
    let commit = repository.resolve(NAME)?;
    Ok(Unpacked { repository, commit, named, sha256 })
}

struct Hashing {
    file: File,
    hasher: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// What a member has to be imported with.
enum Content {
    None,
    File(u64),
    Link(Vec<u8>),
}

/// One file or link, by its number among the blobs.
struct Entry {
    mode: &'static str,
    blob: usize,
}

/// Everything that an archive holds.
#[derive(Default)]
struct Entries {
    leaves: BTreeMap<Vec<u8>, Entry>,
    folders: BTreeSet<Vec<u8>>,
    bytes: u64,
    path_bytes: u64,
}

impl Entries {
    fn add(&mut self, path: &[u8], kind: &MemberKind, mode: u32) -> Result<Content, ArchiveError> {
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        let refused = |what| ArchiveError::Member { path: shown(path), what };
        let is_top = matches!(path, b"" | b".");
        if is_top && matches!(kind, MemberKind::Directory) {
            return Ok(Content::None);
        }
        check_path(Path::new(OsStr::from_bytes(path))).map_err(|why| bad_path(path, why))?;
        self.path_bytes += path.len() as u64;
        limit("bytes in all paths", self.path_bytes, MAX_ALL_PATHS)?;
        let (mode, content) = match kind {
            MemberKind::Directory => {
                self.folders.insert(path.to_vec());
                return limit("folders", self.folders.len() as u64, MAX_FOLDERS).map(|()| Content::None);
            }
            MemberKind::File { size, holes: None } => {
                (if mode & 0o100 == 0 { "100644" } else { "100755" }, Content::File(*size))
            }
            MemberKind::Symlink(target) => ("120000", Content::Link(target.clone())),
            MemberKind::File { .. } => return Err(refused("a file with holes")),
            MemberKind::HardLink(_) => return Err(refused("a hard link")),
            MemberKind::CharDevice { .. } | MemberKind::BlockDevice { .. } => {
                return Err(refused("a device"));
            }
            MemberKind::Fifo => return Err(refused("a named pipe")),
        };
        if let Content::File(size) = content {
            self.bytes = self.bytes.saturating_add(size);
        }
        limit("bytes", self.bytes, MAX_TOTAL_BYTES)?;
        limit("files", self.leaves.len() as u64 + 1, MAX_FILES)?;
        // Marks of fast-import count from one.
        let entry = Entry { mode, blob: self.leaves.len() + 1 };
        match self.leaves.insert(path.to_vec(), entry) {
            Some(_) => Err(bad_path(path, "it stands in the archive twice")),
            None => Ok(content),
        }
    }

    /// The leaves, without the one folder around them, if there is one.
    fn finish(mut self) -> Result<BTreeMap<Vec<u8>, Entry>, ArchiveError> {
        let parents = folders(self.leaves.keys())?;
        if let Some(both) = self.leaves.keys().find(|path| parents.contains(&path[..])) {
            return Err(bad_path(both, "it is both a file and a folder"));
        }
        if let Some(empty) = self.folders.iter().find(|folder| !parents.contains(&folder[..])) {
            return Err(ArchiveError::EmptyFolder(shown(empty)));
        }
        let first = self.leaves.keys().next().ok_or(ArchiveError::Empty)?;
        let top = first.iter().position(|b| *b == b'/').map(|end| first[..=end].to_vec());
        if let Some(top) = top.filter(|top| self.leaves.keys().all(|path| path.starts_with(top))) {
            self.leaves =
                self.leaves.into_iter().map(|(path, entry)| (path[top.len()..].to_vec(), entry)).collect();
        }
        Ok(self.leaves)
    }
}

/// Every folder above these paths. A path of some thousand bytes can name a thousand, so they are counted as they come.
fn folders<'p>(paths: impl Iterator<Item = &'p Vec<u8>>) -> Result<BTreeSet<&'p [u8]>, ArchiveError> {
    let mut found = BTreeSet::new();
    for path in paths {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        // The deepest first: above one that was found before there is nothing new.
        for end in ends.rev() {
            if !found.insert(&path[..end]) {
                break;
            }
        }
        limit("folders", found.len() as u64, MAX_FOLDERS)?;
    }
    Ok(found)
}

fn limit(what: &'static str, found: u64, limit: u64) -> Result<(), ArchiveError> {
    if found > limit { Err(ArchiveError::TooMuch { what, limit }) } else { Ok(()) }
}

fn bad_path(path: &[u8], why: &'static str) -> ArchiveError {
    ArchiveError::BadPath { path: shown(path), why }
}

fn shown(path: &[u8]) -> String {
    excerpt(&String::from_utf8_lossy(path), 300)
}

/// A running `git fast-import`.
struct Import {
    git: Git,
    child: Child,
    stream: Option<BufWriter<ChildStdin>>,
    count: usize,
    folder: PathBuf,
}

impl Import {
    /// Into a new repository without templates, so without hooks.
    fn start(folder: &Path) -> Result<Self, ArchiveError> {
        let into = folder.join("source");
        let path = into.to_str().ok_or(GitError::Answer("init"))?;
        let git = Git::find()?.at(folder);
        git.bytes("init", &["--quiet", "--template=", "--object-format=sha1", "--", path])?;
        let git = git.at(&into);
        let mut command = git.command("fast-import");
        command.args(["--quiet", "--done"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().map_err(GitError::Process)?;
        let stream = child.stdin.take().map(BufWriter::new);
        Ok(Self { git, child, stream, count: 0, folder: into })
    }

    /// Adds one file's content; its number is that of the calls so far.
    fn blob(&mut self, size: u64, content: &mut dyn Read) -> Result<(), TarError> {
        self.count += 1;
        let mut copy = || {
            let stream = self.stream.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
            write!(stream, "blob\nmark :{}\ndata {size}\n", self.count)?;
            if io::copy(&mut content.take(size), stream)? < size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            stream.write_all(b"\n")
        };
        copy().map_err(TarError::Io)
    }

    fn finish(mut self, files: &BTreeMap<Vec<u8>, Entry>) -> Result<Repository, ArchiveError> {
        let stream = self.stream.take().ok_or(GitError::Answer("fast-import"))?;
        let written = commit(stream, files);
        let mut said = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // What it says is for an error's words only.
            let _ = stderr.take(MAX_SAID).read_to_end(&mut said);
        }
        let status = self.child.wait().map_err(GitError::Process)?;
        if !status.success() {
            return Err(self.git.failure("fast-import", &said).into());
        }
        written.map_err(GitError::Process)?;
        Ok(Repository::discover(&self.folder)?)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.stream = None;
        // It ended, or its work is of no interest any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the commit and closes the stream.
fn commit(mut stream: BufWriter<ChildStdin>, files: &BTreeMap<Vec<u8>, Entry>) -> io::Result<()> {
    let message = "the files of an archive";
    write!(
        stream,
        "commit {NAME}\ncommitter caution <caution> 0 +0000\ndata {}\n{message}\n",
        message.len()
    )?;
    for (path, Entry { mode, blob }) in files {
        writeln!(stream, "M {mode} :{blob} {}", quoted(path))?;
    }
    stream.write_all(b"\ndone\n")?;
    stream.flush()
}

/// A path as fast-import reads it whatever its bytes are.
fn quoted(path: &[u8]) -> String {
    let bytes: String = path
        .iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                char::from(byte).to_string()
            }
            other => format!("\\{other:03o}"),
        })
        .collect();
    format!("\"{bytes}\"")
}

/// The reference that the commit gets.
const NAME: &str = "refs/heads/source";
/// Extended headers before one member; git writes some hundred bytes.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// Uncompressed bytes of an archive, headers and padding included.
const MAX_ARCHIVE_BYTES: u64 = MAX_TOTAL_BYTES + (1 << 30);
const MAX_SAID: u64 = 64 * 1024;

#[cfg(test)]
mod tests;
