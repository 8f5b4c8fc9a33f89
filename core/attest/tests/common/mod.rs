//! Where the tests' documents come from.

use serde::Deserialize;
use std::path::PathBuf;

/// The folder of outside vectors (`CAUTION_VECTORS`, or `../shared/vectors` beside the workspace);
/// `None`, loudly, when there is none.
pub(crate) fn outside_vectors() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "tests are told where the outside vectors are")]
    let folder = std::env::var_os("CAUTION_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")),
        PathBuf::from,
    );
    if folder.join("nitro/index.json").is_file() {
        return Some(folder);
    }
    println!(
        "SKIPPED: NO OUTSIDE VECTORS IN {} (set CAUTION_VECTORS); REAL DOCUMENTS WERE NOT TESTED",
        folder.display()
    );
    None
}

/// A row of `nitro/index.json`, as far as the tests use it.
#[derive(Debug, Deserialize)]
pub(crate) struct Real {
    pub(crate) file: String,
    pub(crate) verify_at_unix_ms: Option<u64>,
    pub(crate) chain_valid_unix: Option<(u64, u64)>,
    pub(crate) debug_mode: Option<bool>,
    pub(crate) module_id: Option<String>,
    #[serde(default)]
    pub(crate) pcrs: std::collections::BTreeMap<String, String>,
    pub(crate) public_key: Option<String>,
    pub(crate) user_data: Option<String>,
    pub(crate) nonce: Option<String>,
}
