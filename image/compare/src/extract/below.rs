//! Making entries below a folder and nowhere else.
//!
//! Every system call names one component, relative to an open folder, and none follows a link. The folder is new and
//! private, so nobody else changes what lies in it between two calls.

use super::{ExtractError, attributes};
use crate::entry::{Entry, Kind};
use crate::side::SideError;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What became of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Made {
    /// Why it was not made at all.
    pub(super) why: Option<&'static str>,
    /// `owner`, `mode`, `time`.
    pub(super) not_set: Vec<&'static str>,
}

impl Made {
    pub(super) const fn unmade(why: &'static str) -> Self {
        Self { why: Some(why), not_set: Vec::new() }
    }

    /// The root itself is a private folder of whoever extracts.
    pub(super) fn root() -> Self {
        Self::set(vec!["owner", "mode", "time"])
    }

    const fn set(not_set: Vec<&'static str>) -> Self {
        Self { why: None, not_set }
    }

    pub(super) const fn is_faithful(&self) -> bool {
        self.why.is_none() && self.not_set.is_empty()
    }
}

/// A folder in which entries are made.
pub(super) struct Below {
    path: PathBuf,
    root: OwnedFd,
    /// The folder that was needed last, for the next entry most often lies there too.
    open: Option<(Vec<u8>, OwnedFd)>,
    /// Folders get their attributes when nothing more is written into them.
    folders: BTreeMap<Vec<u8>, Entry>,
    buffer: Vec<u8>,
}

/// Why an entry is not made.
enum Failed {
    LeftOut(&'static str),
    System(Errno),
    /// What the image says of its content.
    Content(io::Error),
}

impl From<Errno> for Failed {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl Below {
    pub(super) fn open(path: &Path) -> Result<Self, ExtractError> {
        let root =
            File::open(path).map_err(|source| ExtractError::Write { path: path.to_owned(), source })?;
        let root = root.into();
        Ok(Self {
            path: path.to_owned(),
            root,
            open: None,
            folders: BTreeMap::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Makes an entry at `path`, which has no odd components. `first` is where the same file lies already.
    pub(super) fn make(
        &mut self,
        entry: &Entry,
        path: &[u8],
        first: Option<&[u8]>,
        content: &mut dyn Read,
    ) -> Result<Made, ExtractError> {
        self.try_make(entry, path, first, content).or_else(|failed| self.failed(entry, path, failed))
    }

    /// Gives folders their attributes, the deepest first, and tells what became of each.
    pub(super) fn finish(
        mut self,
        mut tell: impl FnMut(&Entry, Made) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        while let Some((path, entry)) = self.folders.pop_last() {
            let (parent, name) = split(&path);
            let set = self.folder(parent).and_then(|parent| Ok(attributes::set(parent, name, &entry)?));
            let made = set.map(Made::set).or_else(|failed| self.failed(&entry, &path, failed))?;
            tell(&entry, made)?;
        }
        Ok(())
    }

    fn try_make(
        &mut self,
        entry: &Entry,
        path: &[u8],
        first: Option<&[u8]>,
        content: &mut dyn Read,
    ) -> Result<Made, Failed> {
        let (parent, name) = split(path);
        match &entry.kind {
            Kind::Directory => {
                self.clear_unless(path, SFlag::S_IFDIR)?;
                let parent = self.folder(parent)?;
                match mkdirat(parent, name, Mode::S_IRWXU) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno.into()),
                }
                self.folders.insert(path.to_vec(), entry.clone());
                return Ok(Made::default());
            }
            Kind::File { size, .. } => {
                if let Some(first) = first {
                    self.link(first, path)?;
                }
                if first.is_none() || *size > 0 {
                    self.write(path, content)?;
                }
            }
            Kind::Symlink(target) => {
                self.clear(path)?;
                symlinkat(target.as_slice(), self.folder(parent)?, name)?;
            }
            Kind::CharDevice { major, minor } => self.node(path, SFlag::S_IFCHR, (*major, *minor))?,
            Kind::BlockDevice { major, minor } => self.node(path, SFlag::S_IFBLK, (*major, *minor))?,
            Kind::Fifo => self.node(path, SFlag::S_IFIFO, (0, 0))?,
        }
        Ok(Made::set(attributes::set(self.folder(parent)?, name, entry)?))
    }

    /// Writes a file's content, into the file that is there already if there is one: other names of it see that too.
    fn write(&mut self, path: &[u8], content: &mut dyn Read) -> Result<(), Failed> {
        let is_there = self.clear_unless(path, SFlag::S_IFREG)?;
        let (parent, name) = split(path);
        let folder = self.folder(parent)?;
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let opened = if is_there {
            // Its first name may have forbidden writing.
            fchmodat(folder, name, OWN, FchmodatFlags::FollowSymlink)?;
            openat(folder, name, flags | OFlag::O_TRUNC, Mode::empty())?
        } else {
            openat(folder, name, flags | OFlag::O_CREAT | OFlag::O_EXCL, OWN)?
        };
        let mut file = File::from(opened);
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => file.write_all(&self.buffer[..n]).map_err(|error| from_io(&error))?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failed::Content(error)),
            }
        }
    }

    /// A further name of a file.
    fn link(&mut self, first: &[u8], path: &[u8]) -> Result<(), Failed> {
        if first == path {
            return Ok(());
        }
        self.clear(path)?;
        let (old_parent, old_name) = split(first);
        let old = self.folder(old_parent)?;
        // Another entry may have taken its place.
        if kind_of(old, old_name)? != Some(SFlag::S_IFREG) {
            return Err(Failed::LeftOut("its other name is no file any more"));
        }
        let old = old.try_clone_to_owned().map_err(|error| from_io(&error))?;
        let (parent, name) = split(path);
        Ok(linkat(&old, old_name, self.folder(parent)?, name, AtFlags::empty())?)
    }

    fn node(&mut self, path: &[u8], kind: SFlag, (major, minor): (u32, u32)) -> Result<(), Failed> {
        self.clear(path)?;
        let (parent, name) = split(path);
        let device = makedev(major.into(), minor.into());
        match mknodat(self.folder(parent)?, name, kind, Mode::empty(), device) {
            Ok(()) => Ok(()),
            Err(Errno::EPERM) => Err(Failed::LeftOut("only root may make device nodes")),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes what is at a path.
    fn clear(&mut self, path: &[u8]) -> Result<(), Failed> {
        self.clear_unless(path, SFlag::empty()).map(drop)
    }

    /// Removes what is at a path unless it is of this kind; says whether that is there.
    fn clear_unless(&mut self, path: &[u8], kind: SFlag) -> Result<bool, Failed> {
        let (parent, name) = split(path);
        let folder = self.folder(parent)?;
        let Some(found) = kind_of(folder, name)? else { return Ok(false) };
        if found == kind {
            return Ok(true);
        }
        let is_folder = found == SFlag::S_IFDIR;
        let how = if is_folder { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
        match unlinkat(folder, name, how) {
            Ok(()) => {}
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => {
                return Err(Failed::LeftOut("a folder with something in it has its name"));
            }
            Err(errno) => return Err(errno.into()),
        }
        if is_folder {
            self.open = None;
            self.folders.remove(path);
        }
        Ok(false)
    }

    /// Opens a folder, and makes it where no entry did.
    fn folder(&mut self, path: &[u8]) -> Result<BorrowedFd<'_>, Failed> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            let mut at: Option<OwnedFd> = None;
            for name in path.split(|byte| *byte == b'/') {
                let parent = at.as_ref().map_or(self.root.as_fd(), |at| at.as_fd());
                let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let open = || openat(parent, name, flags, Mode::empty());
                let opened = match open() {
                    // Not set at the end: a folder that no entry names is the user's own.
                    Err(Errno::ENOENT) => mkdirat(parent, name, Mode::S_IRWXU).and_then(|()| open()),
                    opened => opened,
                };
                at = Some(opened.map_err(|errno| match errno {
                    Errno::ENOTDIR | Errno::ELOOP => {
                        Failed::LeftOut("its path leads through what is no folder")
                    }
                    errno => Failed::System(errno),
                })?);
            }
            self.open = at.map(|at| (path.to_vec(), at));
        }
        Ok(self.open.as_ref().map_or(self.root.as_fd(), |(_, open)| open.as_fd()))
    }

    /// Some entries a file system cannot hold; everything else stops the extraction.
    fn failed(&self, entry: &Entry, path: &[u8], failed: Failed) -> Result<Made, ExtractError> {
        let errno = match failed {
            Failed::LeftOut(why) => return Ok(Made::unmade(why)),
            Failed::Content(source) => {
                return Err(SideError::Content { path: entry.path.clone(), source }.into());
            }
            Failed::System(errno) => errno,
        };
        Ok(Made::unmade(match errno {
            Errno::ENAMETOOLONG | Errno::EILSEQ => "this file system does not take its name",
            Errno::EMLINK => "this file system does not take that many names of a file",
            Errno::EINVAL | Errno::EPERM => "this file system does not take it",
            errno => {
                let path = self.path.join(OsStr::from_bytes(path));
                return Err(ExtractError::Write { path, source: errno.into() });
            }
        }))
    }
}

/// What is at a name, if anything is.
fn kind_of(folder: BorrowedFd<'_>, name: &[u8]) -> Result<Option<SFlag>, Errno> {
    match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn from_io(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// Folder and name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Reading and writing for who extracts.
const OWN: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);
const BUFFER: usize = 128 * 1024;
