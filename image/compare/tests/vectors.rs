//! Images that the AWS builder made. What stands in for ramdisks in them is no archive, so that is what they say.

use caution_compare::{ExtractError, Facts, Side, extract};
use caution_rootfs::Limits;
use std::path::PathBuf;

/// The folder of outside vectors (`CAUTION_VECTORS`, or `../shared/vectors` beside the workspace); loud when absent.
#[expect(clippy::disallowed_methods, reason = "CONTRIBUTING.md names this variable for tests")]
fn vectors() -> Option<PathBuf> {
    let named = std::env::var_os("CAUTION_VECTORS").map(PathBuf::from);
    let folder = named
        .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors")));
    if folder.join("eif").is_dir() {
        return Some(folder.join("eif"));
    }
    eprintln!("NOT TESTED: no outside vectors in {} (set CAUTION_VECTORS)", folder.display());
    None
}

#[test]
fn images_of_the_aws_builder_are_looked_into() {
    let Some(folder) = vectors() else { return };
    let index = std::fs::read(folder.join("index.json")).expect("is there");
    let index: serde_json::Value = serde_json::from_slice(&index).expect("is JSON");
    let scratch = tempfile::tempdir().expect("a temporary folder");
    for (name, said) in index.as_object().expect("is an object") {
        // The list also names files that are not handed out.
        if !folder.join(name).exists() {
            continue;
        }
        let side = match Side::open(&folder.join(name), &Limits::default(), scratch.path()) {
            Ok(side) => side,
            Err(error) => {
                assert!(name.starts_with("broken/"), "{name}: {error}");
                continue;
            }
        };
        assert!(!name.starts_with("broken/"), "{name}");
        let Facts::Eif { image, sections } = side.facts() else { panic!("{name} is no enclave image") };
        let kinds = said["sections"].as_array().expect("is a list");
        assert_eq!((image.sections.len(), sections.len()), (kinds.len(), kinds.len()), "{name}");
        let ramdisks = kinds.iter().filter(|section| section["type"] == "ramdisk").count();
        let listing = side.list().expect("a ramdisk that is none is no failure");
        assert_eq!(listing.layers.len(), ramdisks, "{name}");
        for layer in &listing.layers {
            assert!(layer.problem.is_some() && layer.entries.as_ref().is_some_and(Vec::is_empty), "{name}");
        }
        let out = scratch.path().join("out");
        assert!(matches!(extract(&side, &[0], &out), Err(ExtractError::Side(_))), "{name}");
        assert!(!out.exists(), "{name}");
    }
}
