//! A commit's tree as files, exactly.

use super::objects::{Kind, Objects, TreeEntry};
use super::plumbing::{Git, stderr_of};
use super::{CommitId, GitError};
use crate::process::printable;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

/// Most files and links a commit may have.
const MAX_FILES: u64 = 500_000;
/// Most bytes all files together may have.
const MAX_TOTAL_BYTES: u64 = 16 << 30;
/// Longest path, in bytes (Linux `PATH_MAX`, with room for where the export lies).
const MAX_PATH_BYTES: usize = 3_500;
/// Modification time of everything: 1980-01-02T00:00:00Z, the earliest that zip archives hold in
/// every time zone. Constant, so that equal trees are equal build contexts.
const MODIFIED_S: i64 = 315_619_200;

pub(super) fn export(git: &Git, commit: &CommitId, into: &Path) -> Result<usize, GitError> {
    let entries = list(git, commit)?;
    let plan = Plan::check(commit, &entries)?;
    fs::create_dir(into).map_err(|source| io(into, source))?;
    for folder in &plan.folders {
        let path = into.join(folder);
        fs::create_dir(&path).map_err(|source| io(&path, source))?;
    }
    let mut writer = Writer { objects: Objects::open(git)?, commit, into, lfs: Vec::new() };
    for entry in &entries {
        if let Kind::File { executable, size } = entry.kind {
            writer.file(entry, executable, size)?;
        }
    }
    // Links last: while files are written no link exists that a path could lead through.
    for entry in &entries {
        if let Kind::Symlink { size } = entry.kind {
            writer.link(entry, size)?;
        }
    }
    if !writer.lfs.is_empty() {
        return Err(GitError::LfsPointers { commit: commit.clone(), paths: writer.lfs });
    }
    // Deepest first, since writing into a folder changes its time.
    for folder in plan.folders.iter().rev().map(PathBuf::as_path).chain([Path::new("")]) {
        let path = into.join(folder);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(|source| io(&path, source))?;
        set_time(&path)?;
    }
    Ok(entries.len())
}

/// Every leaf of the commit's tree, with limits on their number and size.
fn list(git: &Git, commit: &CommitId) -> Result<Vec<TreeEntry>, GitError> {
    let mut command = git.command("ls-tree");
    command.args(["-r", "-z", "--long", "--full-tree", commit.as_str()]).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(GitError::Process)?;
    let listing = child.stdout.take().ok_or(GitError::Answer("ls-tree"))?;
    let entries = read_listing(commit, BufReader::new(listing));
    if entries.is_err() {
        let _ = child.kill();
    }
    let stderr = stderr_of(&mut child);
    let status = child.wait().map_err(GitError::Process)?;
    let entries = entries?;
    if status.success() { Ok(entries) } else { Err(git.failure("ls-tree", &stderr)) }
}

fn read_listing(
    commit: &CommitId,
    mut listing: BufReader<std::process::ChildStdout>,
) -> Result<Vec<TreeEntry>, GitError> {
    let too_much = |what, limit| GitError::TooMuch { commit: commit.clone(), what, limit };
    let (mut entries, mut total) = (Vec::new(), 0u64);
    let mut record = Vec::new();
    loop {
        record.clear();
        let limit = MAX_PATH_BYTES + 200;
        (&mut listing).take(limit as u64).read_until(0, &mut record).map_err(GitError::Process)?;
        match record.pop() {
            None => return Ok(entries),
            Some(0) => {}
            Some(_) if record.len() + 1 == limit => {
                return Err(too_much("bytes in one path", MAX_PATH_BYTES as u64));
            }
            Some(_) => return Err(GitError::Answer("ls-tree")),
        }
        let entry = TreeEntry::parse(&record)?;
        if let Kind::File { size, .. } | Kind::Symlink { size } = entry.kind {
            total = total.saturating_add(size);
        }
        entries.push(entry);
        if entries.len() as u64 > MAX_FILES {
            return Err(too_much("files", MAX_FILES));
        }
        if total > MAX_TOTAL_BYTES {
            return Err(too_much("bytes", MAX_TOTAL_BYTES));
        }
    }
}

/// The folders to make, once every path is known to be harmless.
struct Plan {
    folders: BTreeSet<PathBuf>,
}

impl Plan {
    fn check(commit: &CommitId, entries: &[TreeEntry]) -> Result<Self, GitError> {
        let refuse = |path: &Path, why| GitError::BadPath { commit: commit.clone(), path: shown(path), why };
        let (mut folders, mut leaves) = (BTreeSet::new(), BTreeSet::new());
        let mut submodules = Vec::new();
        for entry in entries {
            check_path(&entry.path).map_err(|why| refuse(&entry.path, why))?;
            match entry.kind {
                Kind::Submodule => submodules.push(shown(&entry.path)),
                Kind::Tree => return Err(GitError::Answer("ls-tree")),
                Kind::File { .. } | Kind::Symlink { .. } => {}
            }
            if !leaves.insert(entry.path.clone()) {
                return Err(refuse(&entry.path, "it stands in the tree twice"));
            }
            for folder in entry.path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()) {
                if !folders.insert(folder.to_owned()) {
                    break;
                }
            }
        }
        if let Some(both) = folders.intersection(&leaves).next() {
            return Err(refuse(both, "it is both a file and a folder"));
        }
        if !submodules.is_empty() {
            return Err(GitError::Submodules { commit: commit.clone(), paths: submodules });
        }
        Ok(Self { folders })
    }
}

/// Trees made by hand can hold any bytes as names.
fn check_path(path: &Path) -> Result<(), &'static str> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() > MAX_PATH_BYTES {
        return Err("it is longer than 3500 bytes");
    }
    for name in bytes.split(|&b| b == b'/') {
        match name {
            b"" => return Err("it has an empty component"),
            b"." | b".." => return Err("it has a `.` or `..` component"),
            name if name.eq_ignore_ascii_case(b".git") => return Err("it has a `.git` component"),
            name if name.len() > 255 => return Err("it has a component longer than 255 bytes"),
            _ => {}
        }
    }
    let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
    if plain { Ok(()) } else { Err("it is not relative") }
}

struct Writer<'a> {
    objects: Objects,
    commit: &'a CommitId,
    into: &'a Path,
    lfs: Vec<String>,
}

impl Writer<'_> {
    fn file(&mut self, entry: &TreeEntry, executable: bool, size: u64) -> Result<(), GitError> {
        let path = self.into.join(&entry.path);
        self.ask(entry, size)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| io(&path, source))?;
        if size <= MAX_LFS_POINTER_BYTES {
            let mut content = Vec::new();
            self.objects.copy(size, &mut content).map_err(GitError::Process)?;
            if is_lfs_pointer(&content) {
                self.lfs.push(shown(&entry.path));
            }
            std::io::Write::write_all(&mut file, &content).map_err(|source| io(&path, source))?;
        } else {
            self.objects.copy(size, &mut file).map_err(|source| io(&path, source))?;
        }
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(|source| io(&path, source))?;
        drop(file);
        set_time(&path)
    }

    fn link(&mut self, entry: &TreeEntry, size: u64) -> Result<(), GitError> {
        let path = self.into.join(&entry.path);
        let refuse = |why| GitError::BadPath { commit: self.commit.clone(), path: shown(&entry.path), why };
        // Linux refuses link targets of 4096 bytes and more.
        if size == 0 || size >= 4096 {
            return Err(refuse("its link target is empty or longer than 4095 bytes"));
        }
        self.ask(entry, size)?;
        let mut target = Vec::new();
        self.objects.copy(size, &mut target).map_err(GitError::Process)?;
        if target.contains(&0) {
            let why = "its link target holds a NUL byte";
            return Err(GitError::BadPath { commit: self.commit.clone(), path: shown(&entry.path), why });
        }
        std::os::unix::fs::symlink(OsStr::from_bytes(&target), &path).map_err(|source| io(&path, source))?;
        set_time(&path)
    }

    fn ask(&mut self, entry: &TreeEntry, size: u64) -> Result<(), GitError> {
        match self.objects.ask(&entry.id)? {
            Some(found) if found.size == size => Ok(()),
            _ => Err(GitError::MissingObject { object: entry.id.clone(), commit: self.commit.clone() }),
        }
    }
}

/// Source of the form: Git LFS specification, "The Pointer"; pointers are shorter than 1024 bytes.
const MAX_LFS_POINTER_BYTES: u64 = 1024;

fn is_lfs_pointer(content: &[u8]) -> bool {
    content.starts_with(b"version https://git-lfs.github.com/spec/")
        && content.windows(12).any(|w| w == b"\noid sha256:")
}

fn set_time(path: &Path) -> Result<(), GitError> {
    let time = TimeSpec::new(MODIFIED_S, 0);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
        .map_err(|errno| io(path, errno.into()))
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy(), 300)
}

fn io(path: &Path, source: std::io::Error) -> GitError {
    GitError::Io { path: path.to_owned(), source }
}
