//! What a release can, as it says itself: a file of ramdisk 0, and so measured.
//!
//! It is for builders, who would else make an image that ends when it boots: EnclaveOS does not read it, and refuses
//! a boot plan with what it does not know, whatever this says.

use caution_rootfs::cpio::{EntryKind, Reader};
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// End-to-end encryption by STEVE.
pub const E2E: &str = "e2e";

/// Its path in ramdisk 0.
pub(crate) const PATH: &str = "features";
/// What it says in releases of this source: a name a line.
pub(crate) const TEXT: &str = "e2e\n";

/// Whether a ramdisk 0 says this. One of before there was such a file says nothing.
pub(crate) fn has(ramdisk: &Path, feature: &str) -> bool {
    let text = File::open(ramdisk).ok().and_then(text);
    text.is_some_and(|text| text.lines().any(|line| line == feature))
}

fn text(ramdisk: impl Read) -> Option<String> {
    let mut archive = Reader::new(GzDecoder::new(ramdisk).take(MAX_ARCHIVE));
    while let Some(found) = archive.next_entry().ok()? {
        if found.entry.path == PATH.as_bytes() && matches!(found.entry.kind, EntryKind::File { .. }) {
            let mut text = String::new();
            (&mut archive).take(MAX_TEXT).read_to_string(&mut text).ok()?;
            return Some(text);
        }
    }
    None
}

const MAX_ARCHIVE: u64 = 256 * 1024 * 1024;
const MAX_TEXT: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_says_what_it_can_and_an_older_one_says_nothing() {
        let ramdisk = crate::ramdisk::build(b"program", "reboot=k").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ramdisk");
        std::fs::write(&path, &ramdisk).unwrap();
        assert!(has(&path, E2E) && !has(&path, "e2") && !has(&path, "other"));
        std::fs::write(&path, b"nothing of the kind").unwrap();
        assert!(!has(&path, E2E) && !has(folder.path(), E2E));
    }
}
