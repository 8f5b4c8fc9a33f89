//! `.caution/` of a checkout. A checkout is somebody else's work: it can hold links and odd files where
//! this program reads and writes, so its files are looked at and written as [`crate::files`] does.

use crate::error::{CliError, Exit};
use std::fs;
use std::path::{Path, PathBuf};

/// The longest of its files that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 256 * 1024;

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

/// A time as part of a file name: `2026-11-20T09:12:44Z` → `2026-11-20T09-12-44Z`.
pub(crate) fn file_safe(time: &str) -> String {
    time.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect()
}

const NAME: &str = ".caution";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Found, look_at, write, write_new};
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
            assert!(matches!(look_at(&name, MAX_BYTES).unwrap(), Found::Other));
            assert!(!write_new(&name, b"new").unwrap());
            write(&name, b"new").unwrap();
            assert!(matches!(look_at(&name, MAX_BYTES).unwrap(), Found::File(bytes) if bytes == b"new"));
            fs::remove_file(&name).unwrap();
        }
        assert_eq!(fs::read(other.join("mine")).unwrap(), b"mine");
        assert!(!other.join("absent").exists());
    }
}
