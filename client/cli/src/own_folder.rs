//! `.caution/` of a checkout. A checkout is somebody else's work: it can hold links and odd files where
//! this program reads and writes, so nothing here goes through a link or reads without a limit.

use crate::error::{CliError, Exit};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The longest file read, in bytes: an evidence bundle.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

/// What lies under a name.
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A file of at most 256 KiB.
    File(Vec<u8>),
    /// A longer file, a link, a pipe, a folder.
    Other,
}

/// The folder, made when absent.
pub(crate) fn open(checkout: &Path) -> Result<PathBuf, CliError> {
    open_folder(checkout.join(NAME))
}

/// A folder in it, both made when absent.
pub(crate) fn open_below(checkout: &Path, name: &str) -> Result<PathBuf, CliError> {
    open_folder(open(checkout)?.join(name))
}

/// A folder in it, if both are there and are folders.
pub(crate) fn existing_below(checkout: &Path, name: &str) -> Option<PathBuf> {
    let is_folder = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let folder = Some(checkout.join(NAME)).filter(is_folder)?.join(name);
    Some(folder).filter(is_folder)
}

fn open_folder(folder: PathBuf) -> Result<PathBuf, CliError> {
    match fs::symlink_metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(folder),
        Ok(_) => Err(CliError::new(Exit::Other, format!("{} is not a folder.", folder.display()))
            .hint(format!("look at what it is, then: rm {}", folder.display()))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => fs::create_dir(&folder)
            .map(|()| folder.clone())
            .map_err(|e| CliError::io("The folder cannot be created", &folder, &e)),
        Err(e) => Err(CliError::io("The folder cannot be read", &folder, &e)),
    }
}

/// Reads a file of the folder.
pub(crate) fn read(path: &Path) -> Result<Found, CliError> {
    let io = |e: std::io::Error| CliError::io("The file cannot be read", path, &e);
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            let file = fs::File::open(path).map_err(io)?;
            let bytes = crate::commands::read_stream_limited(file, MAX_BYTES).map_err(io)?;
            Ok(bytes.map_or(Found::Other, Found::File))
        }
        Ok(_) => Ok(Found::Other),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(e) => Err(io(e)),
    }
}

/// Writes a whole file of the folder, or nothing; a link under its name is replaced, not followed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let file = complete(path, bytes)?;
    file.persist(path).map(drop).map_err(|e| unwritten(path, &e.error))
}

/// The same, where nothing stands under the name yet: `false` when something does.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, CliError> {
    match complete(path, bytes)?.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(unwritten(path, &e.error)),
    }
}

/// A file without a name of its own yet, beside where it belongs.
fn complete(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, CliError> {
    let io = |e: std::io::Error| unwritten(path, &e);
    let folder = path.parent().unwrap_or(Path::new("."));
    // 0666 less the umask, as every other file the user writes.
    let mode = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    Ok(file)
}

fn unwritten(path: &Path, cause: &std::io::Error) -> CliError {
    CliError::io("The file cannot be written", path, cause)
}

/// A time as part of a file name: `2026-11-20T09:12:44Z` → `2026-11-20T09-12-44Z`.
pub(crate) fn file_safe(time: &str) -> String {
    time.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect()
}

const NAME: &str = ".caution";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_read_or_written_through_links() {
        let dir = tempfile::tempdir().unwrap();
        let (checkout, other) = (dir.path().join("checkout"), dir.path().join("other"));
        fs::create_dir(&checkout).unwrap();
        fs::create_dir(&other).unwrap();
        symlink(&other, checkout.join(".caution")).unwrap();
        assert!(open(&checkout).unwrap_err().message.contains("is not a folder"));

        fs::remove_file(checkout.join(".caution")).unwrap();
        let folder = open(&checkout).unwrap();
        fs::write(other.join("mine"), "mine").unwrap();
        for target in ["mine", "absent"] {
            let name = folder.join("file");
            symlink(other.join(target), &name).unwrap();
            assert!(matches!(read(&name).unwrap(), Found::Other));
            assert!(!write_new(&name, b"new").unwrap());
            write(&name, b"new").unwrap();
            assert!(matches!(read(&name).unwrap(), Found::File(bytes) if bytes == b"new"));
            fs::remove_file(&name).unwrap();
        }
        assert_eq!(fs::read(other.join("mine")).unwrap(), b"mine");
        assert!(!other.join("absent").exists());
    }

    #[test]
    fn long_and_odd_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("long");
        fs::write(&long, vec![b' '; MAX_BYTES + 1]).unwrap();
        assert!(matches!(read(&long).unwrap(), Found::Other));
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(read(&socket).unwrap(), Found::Other));
    }
}
