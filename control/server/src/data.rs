//! The data folder: one process works in it at a time. `specs/platform.md` §1.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The folder, held until it is dropped.
#[derive(Debug)]
pub struct Data {
    root: PathBuf,
    _lock: File,
}

/// Why there is no data folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file operation failed.
    #[error("{doing} {path} failed.")]
    File {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// Another process works in it.
    #[error("Another cautiond works in {0}.")]
    Held(PathBuf),
}

impl Data {
    /// Makes the folder with mode 0700 where it is not there, and takes its lock.
    pub fn open(root: &Path) -> Result<Self, DataError> {
        folder(root)?;
        // Somebody may have made it beforehand, for others to read.
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(failed("Closing", root))?;
        let path = root.join("cautiond.lock");
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = lock.open(&path).map_err(failed("Opening", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(DataError::Held(root.to_owned())),
            Err(fs::TryLockError::Error(cause)) => return Err(failed("Locking", &path)(cause)),
        }
        for name in ["git", "images", "logs"] {
            folder(&root.join(name))?;
        }
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// What the folder is known by to a database elsewhere; made once.
    pub fn id(&self) -> Result<Uuid, DataError> {
        let path = self.root.join("installation");
        let reading = failed("Reading", &path);
        match fs::read_to_string(&path) {
            Ok(text) => {
                text.trim().parse().map_err(|e| reading(io::Error::new(io::ErrorKind::InvalidData, e)))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let id = crate::clock::new_id().map_err(|e| reading(io::Error::other(e)))?;
                write_private(&path, format!("{id}\n").as_bytes())?;
                Ok(id)
            }
            Err(e) => Err(reading(e)),
        }
    }

    /// SQLite's file.
    pub fn database(&self) -> PathBuf {
        self.root.join("cautiond.db")
    }

    /// What this machine's user needs to know.
    pub fn local(&self) -> PathBuf {
        self.root.join("local.json")
    }

    /// An image, by its SHA-256 in hex.
    pub fn image(&self, sha256: &str) -> PathBuf {
        self.root.join("images").join(format!("{sha256}.eif"))
    }

    /// The output of a job.
    pub fn log(&self, job: Uuid) -> PathBuf {
        self.root.join("logs").join(format!("{job}.log"))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Removes a file, if it is there.
pub fn remove(path: &Path) -> Result<(), DataError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("Removing", path)(e)),
        _ => Ok(()),
    }
}

/// Writes a file with mode 0600 in the place of what was there: whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let new = path.with_extension("new");
    let written = (|| {
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    written.map_err(failed("Writing", path))
}

fn folder(path: &Path) -> Result<(), DataError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("Creating", path))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DataError + use<> {
    let path = path.to_owned();
    move |cause| DataError::File { doing, path, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_works_in_a_folder_that_others_cannot_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        fs::create_dir(&root).unwrap();
        let held = Data::open(&root).unwrap();
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(Data::open(&root), Err(DataError::Held(_))));
        write_private(&held.local(), b"one").unwrap();
        write_private(&held.local(), b"two").unwrap();
        assert_eq!(fs::read(held.local()).unwrap(), b"two");
        assert_eq!(fs::metadata(held.local()).unwrap().permissions().mode() & 0o777, 0o600);
        drop(held);
        Data::open(&root).unwrap();
    }
}
