//! A private folder of the cache for source that was fetched.

use crate::error::CliError;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that nobody else may read, removed when dropped. One that a killed program left is removed by
/// the next: the lock of its file went with the program.
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub(crate) fn new(cache: &Path) -> Result<Self, CliError> {
        let parent = cache.join("fetched");
        let failed = |e: &std::io::Error| CliError::io("The cache folder cannot be created", &parent, e);
        fs::create_dir_all(&parent).map_err(|e| failed(&e))?;
        // While this is held nobody stands between making a folder and locking it.
        let turn = File::create(parent.join("lock")).and_then(|file| file.lock().map(|()| file));
        let turn = turn.map_err(|e| failed(&e))?;
        for folder in abandoned(&parent) {
            // What cannot be removed is in nobody's way.
            let _ = fs::remove_dir_all(folder);
        }
        let mode = fs::Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix(PREFIX).permissions(mode).tempdir_in(&parent);
        let folder = folder.map_err(|e| failed(&e))?;
        let lock = File::create(folder.path().join("lock")).and_then(|file| file.lock().map(|()| file));
        let lock = lock.map_err(|e| failed(&e))?;
        drop(turn);
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Folders of this kind whose lock nobody holds.
fn abandoned(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    ours.map(|entry| entry.path())
        .filter(|folder| File::open(folder.join("lock")).map_or(true, |file| file.try_lock().is_ok()))
        .collect()
}

const PREFIX: &str = "source-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_program_left_goes_and_what_is_in_use_stays() {
        let cache = tempfile::tempdir().unwrap();
        let first = Scratch::new(cache.path()).unwrap();
        let left = cache.path().join("fetched/source-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("lock"), "").unwrap();
        let second = Scratch::new(cache.path()).unwrap();
        assert!(first.path().exists() && second.path().exists() && !left.exists());
        assert_eq!(fs::metadata(second.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }
}
