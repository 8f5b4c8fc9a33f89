//! Cache keys: a digest over everything a result depends on.

use crate::files::{self, FileError};
use caution_measure::Sha256Digest;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Hashes named fields. Each name and value is preceded by its length, so that no two lists of fields
/// give the same bytes.
pub(crate) struct KeyHasher(Sha256);

impl KeyHasher {
    /// A hasher for one kind of result; `kind` ends in a number that grows when the recipe changes.
    pub(crate) fn new(kind: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.part(kind.as_bytes());
        hasher
    }

    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        self.part(name.as_bytes());
        self.part(value);
    }

    /// Adds every file below `root`, by its path relative to `base` and its content. Hidden entries and
    /// folders named `target` are left out: editors and cargo put theirs there.
    pub(crate) fn tree(&mut self, base: &Path, root: &Path) -> Result<(), FileError> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(root).map_err(FileError::read(root))? {
            entries.push(entry.map_err(FileError::read(root))?);
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            if name.as_bytes().starts_with(b".") || name == "target" {
                continue;
            }
            // Follows links, as the compiler does.
            if fs::metadata(&path).map_err(FileError::read(&path))?.is_dir() {
                self.tree(base, &path)?;
            } else {
                let relative = path.strip_prefix(base).unwrap_or(&path);
                let content = files::read_limited(&path, MAX_SOURCE_BYTES)?;
                self.part(relative.as_os_str().as_bytes());
                self.part(&content);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Sha256Digest {
        Sha256Digest::new(self.0.finalize().into())
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

/// No source file of ours comes near this.
const MAX_SOURCE_BYTES: u64 = 16 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[(&str, &[u8])]) -> Sha256Digest {
        let mut hasher = KeyHasher::new("test 1");
        for (name, value) in fields {
            hasher.field(name, value);
        }
        hasher.finish()
    }

    #[test]
    fn moving_a_byte_between_fields_changes_the_key() {
        assert_ne!(key(&[("a", b"xy"), ("b", b"z")]), key(&[("a", b"x"), ("b", b"yz")]));
        assert_ne!(key(&[("ab", b"")]), key(&[("a", b"b")]));
        assert_eq!(key(&[("a", b"x")]), key(&[("a", b"x")]));
    }

    #[test]
    fn a_tree_is_its_names_and_contents_only() {
        let digest = |change: &dyn Fn(&Path)| {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("src")).unwrap();
            fs::write(dir.path().join("src/main.rs"), "fn main() {}").unwrap();
            fs::write(dir.path().join("Cargo.toml"), "[package]").unwrap();
            change(dir.path());
            let mut hasher = KeyHasher::new("test 1");
            hasher.tree(dir.path(), dir.path()).unwrap();
            hasher.finish()
        };
        let plain = digest(&|_| ());
        assert_eq!(plain, digest(&|_| ()));
        assert_eq!(plain, digest(&|dir| fs::write(dir.join(".swp"), "x").unwrap()));
        assert_eq!(plain, digest(&|dir| fs::create_dir(dir.join("target")).unwrap()));
        assert_ne!(plain, digest(&|dir| fs::write(dir.join("src/main.rs"), "fn main() { }").unwrap()));
        assert_ne!(
            plain,
            digest(&|dir| fs::rename(dir.join("src/main.rs"), dir.join("src/mian.rs")).unwrap())
        );
    }
}
