//! Layers that an earlier build has unpacked.

use crate::layout::{LAYER, Layout, gzip, tar, zstd};
use crate::paths;
use caution_rootfs::{Limits, Reuse, RootfsError, Store, Tree, merge, oci};
use serde_json::json;
use std::path::Path;

fn tree_with(layout: &Layout, store: &Store, limits: &Limits) -> Result<Tree, RootfsError> {
    let image = oci::open(layout.path(), limits).expect("the image's documents are good");
    merge(&image, limits, &std::env::temp_dir(), Some(store))
}

/// The archive that a new build makes of the image, and what it found in the store.
fn built(layout: &Layout, folder: &Path) -> (Vec<u8>, Reuse) {
    let store = Store::open(folder).expect("the folder is new or a store");
    let tree = tree_with(layout, &store, &Limits::default()).expect("the image is good");
    (tree.write_cpio("rootfs", &[], Vec::new()).expect("written to memory"), store.reuse())
}

fn layers(second: &str) -> [Vec<u8>; 3] {
    [tar(&[("a", "1"), ("b", "2")]), tar(&[("c", second)]), tar(&[(".wh.a", ""), ("d", "3")])]
}

#[test]
fn a_layer_is_unpacked_once() {
    let folder = tempfile::tempdir().unwrap();
    for (second, ready, unpacked) in [("x", 0, 3), ("x", 3, 0), ("y", 2, 1)] {
        let layout = Layout::of(&layers(second));
        let (archive, reuse) = built(&layout, folder.path());
        assert_eq!((reuse.layers_ready, reuse.layers_unpacked), (ready, unpacked));
        let tree = crate::tree_of(layout.path(), &Limits::default()).unwrap();
        assert_eq!(paths(&tree), ["b", "c", "d"]);
        assert!(archive == tree.write_cpio("rootfs", &[], Vec::new()).unwrap());
    }
}

/// The archive's name is its digest, whatever it was compressed with.
#[test]
fn a_plain_layer_is_neither_kept_nor_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let archive = tar(&[("file", "content")]);
    for (stored, kind, counts) in
        [(archive.clone(), "", (0, 0)), (zstd(&archive), "+zstd", (0, 1)), (gzip(&archive), "+gzip", (1, 0))]
    {
        let layout = Layout::new();
        let layer = layout.layer(&archive, &stored, &format!("{LAYER}{kind}"));
        layout.index(&[layout.image(vec![layer], json!({}))]);
        let (_, reuse) = built(&layout, folder.path());
        assert_eq!((reuse.layers_ready, reuse.layers_unpacked), counts, "{kind}");
    }
}

#[test]
fn a_damaged_kept_layer_is_noticed_and_unpacked_again() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::of(&layers("x"));
    let (expected, _) = built(&layout, folder.path());
    let kept = folder.path().join("layers");
    let damages: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes[3] ^= 1, |bytes| bytes.truncate(700), |bytes| bytes.push(0)];
    for damage in damages {
        let path = std::fs::read_dir(&kept).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let (archive, reuse) = built(&layout, folder.path());
        assert!(archive == expected);
        assert_eq!((reuse.layers_ready, reuse.layers_unpacked, reuse.damaged), (2, 1, 1));
    }
}

#[test]
fn what_does_not_hold_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let (good, other) = (tar(&[("a", "1")]), tar(&[("a", "2")]));
    let layout = Layout::new();
    // What is packed is not what the configuration names.
    let (blob, _) = layout.layer(&good, &gzip(&good), &format!("{LAYER}+gzip"));
    let (_, diff_id) = layout.layer(&other, &other, LAYER);
    layout.index(&[layout.image(vec![(blob, diff_id)], json!({}))]);
    assert!(tree_with(&layout, &store, &Limits::default()).is_err());
    assert_eq!(std::fs::read_dir(folder.path().join("layers")).unwrap().count(), 0);
}

#[test]
fn a_kept_layer_has_the_limits_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let layout = Layout::of(&[tar(&[("a", "1")])]);
    tree_with(&layout, &store, &Limits::default()).unwrap();
    let limits = Limits { uncompressed_bytes: 1000, ..Limits::default() };
    let refused = tree_with(&layout, &store, &limits).unwrap_err();
    let RootfsError::Layer { layer: 1, source } = refused else { panic!("{refused}") };
    assert!(matches!(source, oci::OciError::UncompressedTooLarge { limit: 1000 }), "{source}");
}
