//! Owner, mode and time of what was made.

use crate::entry::{Entry, Kind};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat, geteuid};
use std::os::fd::BorrowedFd;

/// Sets owner, mode and time as far as this user may, and says what is not as the entry has it.
///
/// `name` in `folder` is what was made, and nobody else can get there.
pub(super) fn set(folder: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<Vec<&'static str>, Errno> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    // Nobody but root may give files away. Whether it has worked is looked up below.
    let _ = fchownat(folder, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW);
    let found = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    // By what is there and not by what should be: the mode of a link is that of whatever it leads to.
    let is_symlink = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits();
    if !is_symlink {
        let mode = allowed_mode(entry, (found.st_uid, found.st_gid) == (entry.uid, entry.gid));
        fchmodat(folder, name, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?;
    }
    if let Some(mtime) = entry.mtime {
        let time = TimeSpec::new(mtime, 0);
        utimensat(folder, name, &time, &time, UtimensatFlags::NoFollowSymlink)?;
    }
    let found = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let mut not_set = Vec::new();
    if (found.st_uid, found.st_gid) != (entry.uid, entry.gid) {
        not_set.push("owner");
    }
    if !is_symlink && found.st_mode & 0o7777 != entry.mode {
        not_set.push("mode");
    }
    if entry.mtime.is_some_and(|mtime| mtime != found.st_mtime) {
        not_set.push("time");
    }
    Ok(not_set)
}

/// What of a mode is set: a program runs as another user only if it belongs to the user it is meant to, and who
/// extracts can read what he extracted.
fn allowed_mode(entry: &Entry, is_owned_as_stored: bool) -> u32 {
    let mode = if is_owned_as_stored { entry.mode } else { entry.mode & !SET_ID };
    match entry.kind {
        _ if geteuid().is_root() => mode,
        Kind::Directory => mode | 0o700,
        _ => mode | 0o400,
    }
}

/// The bits for setuid and setgid.
const SET_ID: u32 = 0o6000;
