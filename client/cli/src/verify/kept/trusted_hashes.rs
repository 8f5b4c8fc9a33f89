//! `.caution/trusted_hashes.json`: what this checkout last verified.
//!
//! The schema is the existing platform's: `{pcr0, pcr1, pcr2, verified_at}`; its SDKs and tools read
//! it. Of an app behind STEVE it says the suite besides, `{e2e: {key_exchange}}`, which `caution curl` then expects. The previous file is kept as `trusted_hashes.<its verified_at>.json`.

use crate::error::CliError;
use crate::files::{self, Found};
use crate::own_folder;
use caution_abi::e2e::Suite;
use caution_measure::Measurements;
use std::path::{Path, PathBuf};

/// File name inside `.caution/`.
const FILE: &str = "trusted_hashes.json";

/// Replaces the file atomically; returns its path.
///
/// A file that already says the same measurements is replaced without a backup.
pub(super) fn save(
    checkout: &Path,
    measurements: &Measurements,
    suite: Option<Suite>,
    verified_at: jiff::Timestamp,
) -> Result<PathBuf, CliError> {
    let folder = own_folder::open(checkout)?;
    let path = folder.join(FILE);
    back_up(&folder, &path, measurements)?;
    let mut text = serde_json::json!({
        "pcr0": measurements.pcr0,
        "pcr1": measurements.pcr1,
        "pcr2": measurements.pcr2,
        "verified_at": format!("{verified_at:.0}"),
    });
    if let Some(suite) = suite {
        text["e2e"] = serde_json::json!({ "key_exchange": suite });
    }
    files::write(&path, format!("{text:#}\n").as_bytes())?;
    Ok(path)
}

/// Keeps the previous file when it says something else. An unreadable one is kept under `unreadable`.
fn back_up(folder: &Path, path: &Path, measurements: &Measurements) -> Result<(), CliError> {
    let Found::File(bytes) = files::look_at(path, own_folder::MAX_BYTES)? else { return Ok(()) };
    let stamp = match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(previous) => {
            let same = measurements
                .iter()
                .all(|(i, pcr)| previous[format!("pcr{}", i.get())].as_str() == Some(&pcr.to_string()));
            if same {
                return Ok(());
            }
            previous["verified_at"].as_str().map_or_else(|| "undated".to_owned(), own_folder::file_safe)
        }
        Err(_) => "unreadable".to_owned(),
    };
    files::write(&folder.join(format!("trusted_hashes.{stamp}.json")), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use caution_measure::Pcr;

    fn measurements(byte: u8) -> Measurements {
        let pcr = Pcr::new([byte; 48]);
        Measurements { pcr0: pcr, pcr1: pcr, pcr2: pcr }
    }

    fn at(text: &str) -> jiff::Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_previous_file_is_kept_when_it_differs() {
        let dir = tempfile::tempdir().unwrap();
        let first = at("2026-11-20T09:12:44Z");
        let path = save(dir.path(), &measurements(1), None, first).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains("e2e"));
        save(dir.path(), &measurements(1), None, at("2026-11-20T10:00:00Z")).unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join(".caution")).unwrap().count(), 1);
        save(dir.path(), &measurements(2), Some(Suite::Xwing), at("2026-11-21T00:00:00Z")).unwrap();
        let kept = dir.path().join(".caution/trusted_hashes.2026-11-20T10-00-00Z.json");
        let read = |path| serde_json::from_slice::<serde_json::Value>(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(read(kept)["pcr2"], "01".repeat(48));
        let now = read(path);
        assert_eq!(now["pcr2"], "02".repeat(48));
        assert_eq!(now["verified_at"], "2026-11-21T00:00:00Z");
        assert_eq!(now["e2e"]["key_exchange"], "xwing");
    }

    /// Both files can come with a checkout that somebody else wrote.
    #[test]
    fn a_backup_overwrites_nothing_outside_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let mine = dir.path().join("mine");
        std::fs::write(&mine, "mine").unwrap();
        let checkout = dir.path().join("checkout");
        std::fs::create_dir_all(checkout.join(".caution")).unwrap();
        std::fs::write(checkout.join(".caution/trusted_hashes.json"), "not JSON, but a script").unwrap();
        std::os::unix::fs::symlink(&mine, checkout.join(".caution/trusted_hashes.unreadable.json")).unwrap();
        save(&checkout, &measurements(1), None, at("2026-11-20T09:12:44Z")).unwrap();
        assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
        let kept = std::fs::read_to_string(checkout.join(".caution/trusted_hashes.unreadable.json")).unwrap();
        assert_eq!(kept, "not JSON, but a script");
    }
}
