//! Where the tests' documents come from.

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
