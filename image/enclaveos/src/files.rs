//! Reading with a limit, writing without halves.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Why a file or folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Reading failed.
    #[error("{} cannot be read.", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Writing failed.
    #[error("{} cannot be written.", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is larger than any such file.
    #[error("{} is larger than the {limit} bytes that such a file may have.", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Largest size, bytes.
        limit: u64,
    },
    /// The file holds bytes that are not UTF-8.
    #[error("{} is not UTF-8 text.", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
}

impl FileError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Read { path, source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::Write { path, source }
    }
}

/// The bytes of a file that has at most `limit` of them.
pub(crate) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = fs::File::open(path).map_err(FileError::read(path))?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells "exactly the limit" from "more".
    file.take(limit + 1).read_to_end(&mut bytes).map_err(FileError::read(path))?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// The text of a file that has at most `limit` bytes.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    String::from_utf8(read_limited(path, limit)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}

/// Creates a folder and its parents; one that exists is fine.
pub(crate) fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::write(path))
}

/// Writes a whole file with mode 0644 under its name in one step: readers see the old or the new bytes.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// A folder under construction beside its final place. Dropped without [`PartialDir::finish`], it goes.
pub(crate) struct PartialDir {
    dir: tempfile::TempDir,
}

impl PartialDir {
    /// An empty folder inside `parent`, which is created where it is absent.
    pub(crate) fn new(parent: &Path) -> Result<Self, FileError> {
        create_dir(parent)?;
        let dir = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(parent);
        Ok(Self { dir: dir.map_err(FileError::write(parent))? })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Gives the folder its final name; what stood there before is removed.
    pub(crate) fn finish(self, place: &Path) -> Result<(), FileError> {
        let failed = |source| FileError::Write { path: place.to_owned(), source };
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
        remove_dir(place)?;
        fs::rename(self.path(), place).map_err(failed)?;
        // The folder has another name now: nothing is left to clean up.
        let _ = self.dir.keep();
        Ok(())
    }
}

/// Removes a folder with its contents; one that is absent is fine.
pub(crate) fn remove_dir(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::write(path)(error)),
        _ => Ok(()),
    }
}

/// Removes what a killed build left in `parent`. Only for callers that hold the build lock.
pub(crate) fn remove_partial(parent: &Path) -> Result<(), FileError> {
    let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
    for entry in entries {
        let entry = entry.map_err(FileError::read(parent))?;
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            let path = entry.path();
            if path.is_dir() {
                remove_dir(&path)?;
            } else {
                fs::remove_file(&path).map_err(FileError::write(&path))?;
            }
        }
    }
    Ok(())
}

/// How names of unfinished files and folders begin.
const PARTIAL: &str = ".partial-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_have_exactly_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        write_atomic(&path, b"12345").unwrap();
        assert_eq!(read_limited(&path, 5).unwrap(), b"12345");
        assert!(matches!(read_limited(&path, 4), Err(FileError::TooLarge { limit: 4, .. })));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    }

    #[test]
    fn an_unfinished_folder_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let partial = PartialDir::new(dir.path()).unwrap();
        fs::write(partial.path().join("half"), b"x").unwrap();
        drop(partial);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_finished_folder_replaces_what_stood_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("place");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("old"), b"old").unwrap();
        let partial = PartialDir::new(dir.path()).unwrap();
        fs::write(partial.path().join("new"), b"new").unwrap();
        partial.finish(&place).unwrap();
        assert_eq!(fs::read(place.join("new")).unwrap(), b"new");
        assert!(!place.join("old").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_a_killed_build_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".partial-abc")).unwrap();
        fs::write(dir.path().join(".partial-def"), b"x").unwrap();
        fs::write(dir.path().join("current"), b"x").unwrap();
        remove_partial(dir.path()).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["current"]);
        remove_partial(&dir.path().join("absent")).unwrap();
    }
}
