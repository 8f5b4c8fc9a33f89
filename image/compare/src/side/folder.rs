//! A folder, entry by entry.

use super::SideError;
use crate::entry::{Entry, Kind};
use crate::ramdisk::Budget;
use nix::sys::stat::{major, minor};
use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Everything below a folder, sorted by the bytes of the whole paths, with readers of content that open their files
/// when they are first read. Links are not followed; sockets, which no image can hold, are left out.
///
/// The folder itself is not among it: its owner and mode are those of whoever made it.
pub(super) fn walk(
    folder: &Path,
    budget: &mut Budget,
) -> Result<impl Iterator<Item = (Entry, Lazy)> + use<>, SideError> {
    let mut found: Vec<(Vec<u8>, Metadata, Option<PathBuf>)> = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(directory) = open.pop() {
        for name in fs::read_dir(&directory).map_err(unreadable(&directory))? {
            let path = name.map_err(unreadable(&directory))?.path();
            let metadata = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
            if metadata.file_type().is_socket() {
                continue;
            }
            let target = metadata.is_symlink().then(|| fs::read_link(&path)).transpose();
            let target = target.map_err(unreadable(&path))?;
            let relative = path.strip_prefix(folder).unwrap_or(&path).as_os_str().as_bytes().to_vec();
            let target_length = target.as_ref().map_or(0, |target| target.as_os_str().len());
            budget.take_entry(relative.len() + target_length).map_err(SideError::Folder)?;
            if metadata.is_dir() {
                open.push(path);
            }
            found.push((relative, metadata, target));
        }
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let folder = folder.to_owned();
    let mut linked = HashMap::new();
    Ok(found.into_iter().map(move |(path, metadata, target)| {
        let file = folder.join(std::ffi::OsStr::from_bytes(&path));
        (entry(path, &metadata, target, &mut linked), Lazy { path: file, file: None })
    }))
}

fn entry(
    path: Vec<u8>,
    found: &Metadata,
    target: Option<PathBuf>,
    linked: &mut HashMap<(u64, u64), u64>,
) -> Entry {
    let device = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let (major, minor) = (device(major(found.rdev())), device(minor(found.rdev())));
    let of = found.file_type();
    let kind = if let Some(target) = target {
        Kind::Symlink(target.into_os_string().into_vec())
    } else if of.is_dir() {
        Kind::Directory
    } else if of.is_char_device() {
        Kind::CharDevice { major, minor }
    } else if of.is_block_device() {
        Kind::BlockDevice { major, minor }
    } else if of.is_fifo() {
        Kind::Fifo
    } else if found.nlink() == 1 {
        Kind::File { size: found.len(), group: None }
    } else {
        let count = linked.len() as u64;
        let group = *linked.entry((found.dev(), found.ino())).or_insert(count);
        // The content stands with the first name.
        Kind::File { size: if group == count { found.len() } else { 0 }, group: Some(group) }
    };
    let mode = found.mode() & 0o7777;
    Entry { path, kind, mode, uid: found.uid(), gid: found.gid(), mtime: Some(found.mtime()) }
}

/// A file that is opened when it is first read.
pub(super) struct Lazy {
    path: PathBuf,
    file: Option<File>,
}

impl Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        file.read(buffer)
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> SideError + use<> {
    let path = path.to_owned();
    |source| SideError::Read { path, source }
}
