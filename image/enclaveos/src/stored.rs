//! Results of slow steps, kept by the key of their inputs.

use crate::files::{self, FileError, PartialDir};
use caution_measure::Sha256Digest;
use std::path::{Path, PathBuf};

/// One kind of result in the cache: `<cache>/<kind>/<key>/{result,sha256}`.
pub(crate) struct Store {
    folder: PathBuf,
    limit: u64,
}

impl Store {
    /// `limit` is the largest result, bytes.
    pub(crate) fn new(cache: &Path, kind: &str, limit: u64) -> Self {
        Self { folder: cache.join(kind), limit }
    }

    /// The folder of this kind, for work beside the results.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The result with this key, if it is there and whole; one that was damaged counts as absent.
    pub(crate) fn get(&self, key: &Sha256Digest) -> Option<Vec<u8>> {
        let place = self.folder.join(key.to_string());
        let digest = files::read_text(&place.join(DIGEST), 128).ok()?;
        let bytes = files::read_limited(&place.join(RESULT), self.limit).ok()?;
        (digest.trim_end() == Sha256Digest::of(&bytes).to_string()).then_some(bytes)
    }

    /// Keeps a result.
    pub(crate) fn put(&self, key: &Sha256Digest, bytes: &[u8]) -> Result<(), FileError> {
        let partial = PartialDir::new(&self.folder)?;
        files::write_atomic(&partial.path().join(RESULT), bytes)?;
        let digest = format!("{}\n", Sha256Digest::of(bytes));
        files::write_atomic(&partial.path().join(DIGEST), digest.as_bytes())?;
        partial.finish(&self.folder.join(key.to_string()))
    }
}

const RESULT: &str = "result";
const DIGEST: &str = "sha256";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_result_counts_as_absent() {
        let cache = tempfile::tempdir().unwrap();
        let store = Store::new(cache.path(), "kind", 100);
        let key = Sha256Digest::of(b"inputs");
        assert_eq!(store.get(&key), None);
        store.put(&key, b"result").unwrap();
        assert_eq!(store.get(&key).as_deref(), Some(b"result".as_slice()));
        std::fs::write(cache.path().join("kind").join(key.to_string()).join(RESULT), b"resulT").unwrap();
        assert_eq!(store.get(&key), None);
        store.put(&key, b"result").unwrap();
        assert!(store.get(&key).is_some());
    }
}
