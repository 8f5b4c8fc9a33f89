//! A commit's tree as files, exactly.

use super::objects::{Description, Kind, Objects, TreeEntry};
use super::plumbing::Git;
use super::{CommitId, GitError};
use caution_appspec::excerpt;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

/// Most files and links a commit may have.
pub(super) const MAX_FILES: u64 = 500_000;
/// Most folders, empty ones included.
pub(super) const MAX_FOLDERS: u64 = 100_000;
/// Most bytes all files together may have.
pub(super) const MAX_TOTAL_BYTES: u64 = 16 << 30;
/// Most bytes all paths together may have: 500,000 of 268 bytes each.
pub(super) const MAX_ALL_PATHS: u64 = 128 << 20;
/// Longest path, in bytes (Linux `PATH_MAX`, with room for where the export lies).
const MAX_PATH_BYTES: usize = 3_500;
/// Modification time of everything: 1980-01-02T00:00:00Z, the earliest that zip archives hold in
/// every time zone. Constant, so that equal trees are equal build contexts.
const MODIFIED_S: i64 = 315_619_200;

pub(super) fn export(git: &Git, commit: &CommitId, into: &Path) -> Result<usize, GitError> {
    let mut objects = Objects::open(git)?;
    let entries = list(&mut objects, commit)?;
    let plan = Plan::check(commit, &entries)?;
    fs::create_dir(into).map_err(|source| io(into, source))?;
    for folder in &plan.folders {
        let path = into.join(folder);
        fs::create_dir(&path).map_err(|source| io(&path, source))?;
    }
    let mut writer = Writer { objects, commit, into, total: 0, lfs: Vec::new() };
    for entry in &entries {
        if let Kind::File { executable } = entry.kind {
            writer.file(entry, executable)?;
        }
    }
    // Links last: while files are written no link exists that a path could lead through.
    for entry in &entries {
        if entry.kind == Kind::Symlink {
            writer.link(entry)?;
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

/// Writes one file, whose content was just announced, to the new file `into`.
pub(super) fn one(
    objects: &mut Objects,
    commit: &CommitId,
    (path, found): (&str, &Description),
    into: &Path,
) -> Result<(), GitError> {
    if found.size > MAX_TOTAL_BYTES {
        let (path, size) = (path.to_owned(), found.size);
        return Err(GitError::FileTooBig { commit: commit.clone(), path, size, max: MAX_TOTAL_BYTES });
    }
    let mut file = create(into)?;
    if write(objects, found, &mut file, into)? {
        return Err(GitError::LfsPointers { commit: commit.clone(), paths: vec![path.to_owned()] });
    }
    Ok(())
}

/// Every leaf of the commit's tree, with limits on their number and on that of folders.
fn list(objects: &mut Objects, commit: &CommitId) -> Result<Vec<TreeEntry>, GitError> {
    let too_much = |what, limit| GitError::TooMuch { commit: commit.clone(), what, limit };
    let missing = || GitError::MissingObject { object: commit.to_string(), commit: commit.clone() };
    let mut leaves = Vec::new();
    let mut folders = vec![(PathBuf::new(), objects.tree_of(commit)?.ok_or_else(missing)?)];
    // Small trees can name each other so that they unfold to more folders than there are atoms.
    let (mut unfolded, mut path_bytes) = (0u64, 0u64);
    while let Some((prefix, id)) = folders.pop() {
        unfolded += 1;
        if unfolded + folders.len() as u64 > MAX_FOLDERS {
            return Err(too_much("folders", MAX_FOLDERS));
        }
        for entry in objects.tree(commit, &id)? {
            let path = prefix.join(&entry.path);
            if path.as_os_str().len() > MAX_PATH_BYTES {
                return Err(too_much("bytes in one path", MAX_PATH_BYTES as u64));
            }
            path_bytes += path.as_os_str().len() as u64;
            if path_bytes > MAX_ALL_PATHS {
                return Err(too_much("bytes in all paths", MAX_ALL_PATHS));
            }
            if entry.kind == Kind::Tree {
                folders.push((path, entry.id));
            } else {
                leaves.push(TreeEntry { path, ..entry });
            }
            if leaves.len() as u64 > MAX_FILES {
                return Err(too_much("files", MAX_FILES));
            }
        }
    }
    leaves.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(leaves)
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
            if entry.kind == Kind::Symlink && is_ignore_file(&entry.path) {
                return Err(refuse(
                    &entry.path,
                    "an engine would read what the link leads to on this machine",
                ));
            }
            match entry.kind {
                Kind::Submodule => submodules.push(shown(&entry.path)),
                Kind::Tree | Kind::File { .. } | Kind::Symlink => {}
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

/// Whether an engine may look here for what belongs to the context. It follows links when it does.
fn is_ignore_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.ends_with(b".dockerignore") || name.ends_with(b".containerignore")
}

/// Trees made by hand can hold any bytes as names.
pub(super) fn check_path(path: &Path) -> Result<(), &'static str> {
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
    /// Bytes announced so far.
    total: u64,
    lfs: Vec<String>,
}

impl Writer<'_> {
    fn file(&mut self, entry: &TreeEntry, executable: bool) -> Result<(), GitError> {
        let path = self.into.join(&entry.path);
        let found = self.ask(entry)?;
        let mut file = create(&path)?;
        if write(&mut self.objects, &found, &mut file, &path)? {
            self.lfs.push(shown(&entry.path));
        }
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(|source| io(&path, source))?;
        drop(file);
        set_time(&path)
    }

    fn link(&mut self, entry: &TreeEntry) -> Result<(), GitError> {
        let path = self.into.join(&entry.path);
        let found = self.ask(entry)?;
        let refuse = |why| GitError::BadPath { commit: self.commit.clone(), path: shown(&entry.path), why };
        // Linux refuses link targets of 4096 bytes and more.
        if found.size == 0 || found.size >= 4096 {
            return Err(refuse("its link target is empty or longer than 4095 bytes"));
        }
        let target = self.objects.take(&found, 4095)?;
        if target.contains(&0) {
            return Err(refuse("its link target holds a NUL byte"));
        }
        std::os::unix::fs::symlink(OsStr::from_bytes(&target), &path).map_err(|source| io(&path, source))?;
        set_time(&path)
    }

    fn ask(&mut self, entry: &TreeEntry) -> Result<Description, GitError> {
        let found = self.objects.ask(&entry.id)?.filter(|found| found.kind == "blob");
        let found = found.ok_or_else(|| GitError::MissingObject {
            object: entry.id.clone(),
            commit: self.commit.clone(),
        })?;
        self.total = self.total.saturating_add(found.size);
        if self.total > MAX_TOTAL_BYTES {
            let (commit, limit) = (self.commit.clone(), MAX_TOTAL_BYTES);
            return Err(GitError::TooMuch { commit, what: "bytes", limit });
        }
        Ok(found)
    }
}

fn create(path: &Path) -> Result<fs::File, GitError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).map_err(|source| io(path, source))
}

/// Writes the content just announced; whether it is a Git LFS pointer.
fn write(
    objects: &mut Objects,
    found: &Description,
    file: &mut fs::File,
    path: &Path,
) -> Result<bool, GitError> {
    if found.size > MAX_LFS_POINTER_BYTES {
        objects.copy(found, file, |source| io(path, source))?;
        return Ok(false);
    }
    let content = objects.take(found, MAX_LFS_POINTER_BYTES)?;
    std::io::Write::write_all(file, &content).map_err(|source| io(path, source))?;
    Ok(is_lfs_pointer(&content))
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
    excerpt(&path.to_string_lossy(), 300)
}

fn io(path: &Path, source: std::io::Error) -> GitError {
    GitError::Io { path: path.to_owned(), source }
}
