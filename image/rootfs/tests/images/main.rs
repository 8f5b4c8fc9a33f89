//! Images as files: layouts, archives, selection, digests, compression, and every refusal.

mod kept;
mod layout;
mod opening;
mod refusals;
mod tools;

use caution_rootfs::oci::{self, OciError};
use caution_rootfs::{Limits, RootfsError, Tree, merge};
use std::path::Path;

/// Opens an image and merges its layers.
fn tree_of(path: &Path, limits: &Limits) -> Result<Tree, RootfsError> {
    let image = oci::open(path, limits).expect("the image's documents are good");
    merge(&image, limits, &std::env::temp_dir(), None)
}

/// Why an image's documents were refused.
fn refused(path: &Path) -> OciError {
    oci::open(path, &Limits::default()).expect_err("this image must be refused")
}

/// Why a layer's blob was refused.
fn layer_refused(path: &Path, limits: &Limits) -> OciError {
    match tree_of(path, limits) {
        Err(RootfsError::Layer { source, .. }) => source,
        other => panic!("expected a refused layer, found {other:?}"),
    }
}

fn paths(tree: &Tree) -> Vec<String> {
    tree.entries().map(|entry| String::from_utf8_lossy(&entry.path).into_owned()).collect()
}
