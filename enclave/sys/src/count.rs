//! Counting the names of a tree.

use nix::dir::{Dir, Type};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::ffi::CString;
use std::io;
use std::path::Path;

/// How many names stand below `root`, which itself is not counted; more than `most` are not counted on.
///
/// Every name counts once, whatever it leads to. Nothing is followed but directories, and each of them
/// from its parent's descriptor, so that no depth makes a path too long. One descriptor is open for each
/// level: as many as a path has parts, at most.
///
/// # Errors
///
/// A directory cannot be opened or read, or its file system does not tell what its names are.
pub fn names_below(root: &Path, most: u64) -> io::Result<u64> {
    let mut count = 0;
    let mut levels = vec![Level::read(Dir::open(root, DIRECTORY, Mode::empty())?, &mut count, most)?];
    while let Some(level) = levels.last_mut()
        && count <= most
    {
        match level.below.pop() {
            Some(name) => {
                let directory = Dir::openat(&level.directory, name.as_c_str(), DIRECTORY, Mode::empty())?;
                levels.push(Level::read(directory, &mut count, most)?);
            }
            None => drop(levels.pop()),
        }
    }
    Ok(count)
}

/// A directory whose names are counted.
struct Level {
    directory: Dir,
    /// Directories in it that are still to be read.
    below: Vec<CString>,
}

impl Level {
    fn read(mut directory: Dir, count: &mut u64, most: u64) -> io::Result<Self> {
        let mut below = Vec::new();
        for entry in directory.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            *count += 1;
            if *count > most {
                break;
            }
            // As getdents tells it: no name costs a system call of its own.
            match entry.file_type() {
                Some(Type::Directory) => below.push(name.to_owned()),
                Some(_) => {}
                None => return Err(io::ErrorKind::Unsupported.into()),
            }
        }
        Ok(Self { directory, below })
    }
}

const DIRECTORY: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC)
    .union(OFlag::O_NONBLOCK);

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_name_counts_once_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        assert_eq!(names_below(root.path(), u64::MAX).unwrap(), 0);
        fs::create_dir_all(at("a/b/c")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        fs::write(at("a/file"), "x").unwrap();
        fs::hard_link(at("a/file"), at("a/b/again")).unwrap();
        symlink("a", at("to-directory")).unwrap();
        symlink("..", at("a/b/c/up")).unwrap();
        symlink("nowhere", at("dangling")).unwrap();
        // a, a/b, a/b/c, empty, file, again, to-directory, up, dangling
        assert_eq!(names_below(root.path(), u64::MAX).unwrap(), 9);
        assert_eq!(names_below(root.path(), 9).unwrap(), 9);
    }

    #[test]
    fn counting_ends_at_the_first_name_too_many() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::create_dir_all(root.path().join(name).join("below")).unwrap();
        }
        for most in 0..6 {
            assert_eq!(names_below(root.path(), most).unwrap(), most + 1);
        }
        assert_eq!(names_below(root.path(), 6).unwrap(), 6);
    }

    #[test]
    fn a_path_longer_than_the_kernel_takes_at_once_is_counted() {
        let root = tempfile::tempdir().unwrap();
        let mut top = root.path().to_owned();
        // Built from below, as no path reaches the bottom: each step moves the tree into a new directory.
        let name = "n".repeat(200);
        for step in 0..30 {
            let next = root.path().join(format!("step{step}"));
            fs::create_dir(&next).unwrap();
            if step > 0 {
                fs::rename(&top, next.join(&name)).unwrap();
            }
            top = next;
        }
        assert_eq!(names_below(root.path(), u64::MAX).unwrap(), 30);
    }

    #[test]
    fn a_root_that_is_absent_or_a_link_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        symlink(root.path(), root.path().join("link")).unwrap();
        assert!(names_below(&root.path().join("link"), 1).is_err());
        let absent = names_below(&root.path().join("absent"), 1).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }
}
