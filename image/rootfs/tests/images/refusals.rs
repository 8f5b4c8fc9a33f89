//! Images that are damaged, hostile or for another machine.

use crate::layout::{CONFIG, INDEX, LAYER, Layout, MANIFEST, gzip, tar, zstd};
use crate::{layer_refused, refused, tree_of};
use caution_measure::Sha256Digest;
use caution_rootfs::oci::{self, Document, OciError};
use caution_rootfs::{Limits, RootfsError};
use serde_json::{Value, json};

fn small() -> Vec<u8> {
    tar(&[("f", "content")])
}

/// A layout whose only layer is stored like this.
fn stored(tar: &[u8], stored: &[u8], media_type: &str) -> Layout {
    let layout = Layout::new();
    let layer = layout.layer(tar, stored, media_type);
    layout.index(&[layout.image(vec![layer], json!({}))]);
    layout
}

#[test]
fn what_is_no_image_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(refused(folder.path()), OciError::NotAnImage { .. }));
    assert!(matches!(refused(&folder.path().join("none")), OciError::Io { .. }));
    let file = folder.path().join("file");
    std::fs::write(&file, b"not an archive, but longer than a header".repeat(20)).unwrap();
    assert!(matches!(refused(&file), OciError::Archive(_)));
    std::fs::write(&file, b"").unwrap();
    assert!(matches!(refused(&file), OciError::NotAnImage { .. }));
    std::fs::write(&file, gzip(b"x")).unwrap();
    assert!(matches!(refused(&file), OciError::CompressedArchive { format: "gzip", .. }));
    std::fs::write(&file, zstd(b"x")).unwrap();
    assert!(matches!(refused(&file), OciError::CompressedArchive { format: "zstd", .. }));
    assert!(matches!(refused(std::path::Path::new("/dev/null")), OciError::NotAFile { .. }));
}

#[test]
fn documents_that_are_missing_broken_or_too_large() {
    let layout = Layout::of(&[small()]);
    std::fs::remove_file(layout.path().join("oci-layout")).unwrap();
    assert!(matches!(refused(layout.path()), OciError::Missing { .. }));
    layout.write("oci-layout", &json!({"imageLayoutVersion": "2.0.0"}));
    assert!(matches!(refused(layout.path()), OciError::Version { document: "`oci-layout`", .. }));
    let layout = Layout::new();
    std::fs::write(layout.path().join("index.json"), "{").unwrap();
    assert!(matches!(refused(layout.path()), OciError::Json { document: "index", .. }));
    layout.write("index.json", &json!({"schemaVersion": 1, "manifests": []}));
    assert!(matches!(refused(layout.path()), OciError::Version { document: "index", .. }));
    layout.index(&[]);
    assert!(matches!(refused(layout.path()), OciError::Empty));
    let layout = Layout::of(&[small()]);
    let limits = Limits { json_bytes: 10, ..Limits::default() };
    assert!(matches!(oci::open(layout.path(), &limits), Err(OciError::JsonTooLarge { limit: 10, .. })));
    std::fs::remove_file(layout.path().join("index.json")).unwrap();
    std::fs::create_dir(layout.path().join("index.json")).unwrap();
    assert!(matches!(refused(layout.path()), OciError::NotAFile { .. }));
}

#[test]
fn a_document_is_checked_alone() {
    let layout = Layout::new();
    let manifest = layout.image(vec![layout.layer(&small(), &small(), LAYER)], json!({}));
    layout.index(std::slice::from_ref(&manifest));
    let index = std::fs::read(layout.path().join("index.json")).unwrap();
    let manifest = std::fs::read(layout.blob_path(&manifest)).unwrap();
    let check = |document: Document, json: &[u8]| document.check(json, &Limits::default());
    assert!(check(Document::Index, &index).is_ok());
    assert!(check(Document::Manifest, &manifest).is_ok());
    let named: Value = serde_json::from_slice(&manifest).unwrap();
    let configuration = std::fs::read(layout.blob_path(&named["config"])).unwrap();
    assert!(check(Document::Configuration, &configuration).is_ok());
    assert!(check(Document::DockerManifest, br#"[{"Config": "c", "Layers": null}]"#).is_ok());
    // What the names lead to is not looked at; what stands in the document is.
    assert!(matches!(check(Document::DockerManifest, b"[]"), Err(OciError::Empty)));
    let windows = br#"{"os": "windows", "rootfs": {}}"#;
    assert!(matches!(check(Document::Configuration, windows), Err(OciError::Platform { .. })));
    let unknown = String::from_utf8(manifest).unwrap().replace(LAYER, "text/plain");
    let found = check(Document::Manifest, unknown.as_bytes());
    assert!(matches!(found, Err(OciError::MediaType { what: "layer", .. })));
    let limits = Limits { json_bytes: 10, ..Limits::default() };
    for document in Document::ALL {
        assert!(matches!(document.check(&index, &limits), Err(OciError::JsonTooLarge { limit: 10, .. })));
    }
}

#[test]
fn digests_and_sizes_are_checked() {
    let layout = Layout::new();
    let manifest =
        layout.image(vec![layout.layer(&small(), &gzip(&small()), &format!("{LAYER}+gzip"))], json!({}));
    layout.index(std::slice::from_ref(&manifest));
    let path = layout.blob_path(&manifest);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, String::from_utf8(good.clone()).unwrap().replace("layers", "Layers")).unwrap();
    assert!(matches!(refused(layout.path()), OciError::BlobDigest { .. }));
    std::fs::write(&path, [good.as_slice(), b" "].concat()).unwrap();
    assert!(matches!(refused(layout.path()), OciError::BlobSize { .. }));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(refused(layout.path()), OciError::Missing { .. }));
    for bad in ["sha512:00", "sha256:00", "../../etc/passwd", &format!("sha256:{}", "A".repeat(64))] {
        layout.index(&[json!({"mediaType": MANIFEST, "size": 1, "digest": bad})]);
        assert!(matches!(refused(layout.path()), OciError::Digest { .. }), "{bad}");
    }
}

#[test]
fn a_damaged_layer_is_named_by_its_digest_whatever_it_breaks() {
    let content = small();
    for (kind, bytes) in [("", content.clone()), ("+gzip", gzip(&content)), ("+zstd", zstd(&content))] {
        for at in [3, bytes.len() / 2, bytes.len() - 1] {
            let layout = Layout::new();
            let layer = layout.layer(&content, &bytes, &format!("{LAYER}{kind}"));
            let path = layout.blob_path(&layer.0);
            layout.index(&[layout.image(vec![layer], json!({}))]);
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, damaged).unwrap();
            let found = layer_refused(layout.path(), &Limits::default());
            assert!(matches!(found, OciError::BlobDigest { .. }), "{kind} {at}: {found}");
            std::fs::write(&path, &bytes[..at]).unwrap();
            let found = layer_refused(layout.path(), &Limits::default());
            assert!(matches!(found, OciError::BlobSize { .. }), "{kind} {at}: {found}");
        }
    }
}

#[test]
fn a_layer_must_have_its_diff_id_and_nothing_behind_it() {
    let other = stored(&tar(&[("g", "")]), &gzip(&small()), &format!("{LAYER}+gzip"));
    assert!(matches!(layer_refused(other.path(), &Limits::default()), OciError::DiffId { .. }));
    let behind = [gzip(&small()), b"behind".to_vec()].concat();
    let behind = stored(&small(), &behind, &format!("{LAYER}+gzip"));
    assert!(matches!(
        layer_refused(behind.path(), &Limits::default()),
        OciError::Compression { format: "gzip", .. }
    ));
    let behind = [zstd(&small()), b"behind".to_vec()].concat();
    let behind = stored(&small(), &behind, &format!("{LAYER}+zstd"));
    assert!(matches!(
        layer_refused(behind.path(), &Limits::default()),
        OciError::Compression { format: "zstd", .. }
    ));
    for (kind, bytes) in [("gzip", gzip(&small())), ("zstd", zstd(&small()))] {
        let cut = stored(&small(), &bytes[..bytes.len() - 3], &format!("{LAYER}+{kind}"));
        let found = layer_refused(cut.path(), &Limits::default());
        assert!(matches!(found, OciError::Compression { .. }), "{found}");
    }
    let not_compressed = stored(&small(), &small(), &format!("{LAYER}+gzip"));
    assert!(matches!(layer_refused(not_compressed.path(), &Limits::default()), OciError::Compression { .. }));
    let not_an_archive = stored(&gzip(&small()), &gzip(&small()), LAYER);
    let found = tree_of(not_an_archive.path(), &Limits::default());
    assert!(matches!(found, Err(RootfsError::Archive { layer: 1, .. })));
}

#[test]
fn bombs_stop_at_the_limit() {
    // 64 MiB of zeros behind the archive's end, in 64 KiB.
    let mut bomb = small();
    bomb.resize(bomb.len() + (64 << 20), 0);
    for kind in ["gzip", "zstd"] {
        let bytes = if kind == "gzip" { gzip(&bomb) } else { zstd(&bomb) };
        let layout = stored(&bomb, &bytes, &format!("{LAYER}+{kind}"));
        let limits = Limits { uncompressed_bytes: 1 << 20, ..Limits::default() };
        let found = layer_refused(layout.path(), &limits);
        assert!(matches!(found, OciError::UncompressedTooLarge { limit: 0x10_0000 }), "{found}");
    }
    // The limit counts all layers together.
    let layout = Layout::of(&[small(), small()]);
    let limits = Limits { uncompressed_bytes: small().len() as u64 + 5, ..Limits::default() };
    assert!(matches!(tree_of(layout.path(), &limits), Err(RootfsError::Layer { layer: 2, .. })));
}

#[test]
fn platforms_and_ambiguity() {
    let layout = Layout::new();
    let platform = |mut image: Value, os: &str, architecture: &str| {
        image["platform"] = json!({"os": os, "architecture": architecture});
        image
    };
    let one = layout.image(vec![], json!({"User": "1"}));
    let two = layout.image(vec![], json!({"User": "2"}));
    layout.index(&[platform(one.clone(), "linux", "arm64"), platform(two.clone(), "windows", "amd64")]);
    let OciError::Platform { found } = refused(layout.path()) else { panic!() };
    assert_eq!(found, "linux/arm64, windows/amd64");
    layout.index(&[one, two]);
    assert!(matches!(refused(layout.path()), OciError::Ambiguous { digests } if digests.len() == 2));
    let arm = json!({"architecture": "arm64", "os": "linux", "rootfs": {"diff_ids": []}});
    let config = layout.blob(CONFIG, arm.to_string().as_bytes());
    layout.index(&[layout.manifest(&config, &[])]);
    assert!(matches!(refused(layout.path()), OciError::Platform { found } if found == "linux/arm64"));
    let mut nested = json!({"schemaVersion": 2, "manifests": []});
    for _ in 0..4 {
        let inner = layout.blob(INDEX, nested.to_string().as_bytes());
        nested = json!({"schemaVersion": 2, "manifests": [inner]});
    }
    layout.write("index.json", &nested);
    assert!(matches!(refused(layout.path()), OciError::IndexDepth { limit: 3 }));
}

#[test]
fn media_types_and_counts() {
    let unknown = stored(&small(), &small(), "application/vnd.example.layer");
    assert!(matches!(refused(unknown.path()), OciError::MediaType { what: "layer", .. }));
    let foreign = stored(&small(), &small(), "application/vnd.oci.image.layer.nondistributable.v1.tar");
    assert!(matches!(refused(foreign.path()), OciError::MediaType { what: "layer", .. }));
    let layout = Layout::new();
    let config = layout.blob("application/vnd.oci.empty.v1+json", b"{}");
    layout.index(&[layout.manifest(&config, &[])]);
    assert!(matches!(refused(layout.path()), OciError::MediaType { what: "configuration", .. }));
    let old = layout.blob("application/vnd.docker.distribution.manifest.v1+json", b"{}");
    layout.index(&[old]);
    assert!(matches!(refused(layout.path()), OciError::MediaType { what: "manifest", .. }));
    let layer = layout.blob(LAYER, &small());
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": []}});
    let config = layout.blob(CONFIG, config.to_string().as_bytes());
    layout.index(&[layout.manifest(&config, std::slice::from_ref(&layer))]);
    assert!(matches!(refused(layout.path()), OciError::LayerCount { layers: 1, diff_ids: 0 }));
    layout.index(&[layout.manifest(&config, &vec![layer; 129])]);
    assert!(matches!(refused(layout.path()), OciError::TooManyLayers { found: 129, limit: 128 }));
}

#[test]
fn archives_of_images_have_their_own_refusals() {
    let layout = Layout::of(&[small()]);
    let limits = Limits { archive_members: 3, ..Limits::default() };
    assert!(matches!(oci::open(&layout.archive(), &limits), Err(OciError::TooManyMembers { limit: 3 })));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.tar");
    std::fs::write(&path, tar(&[("index.json", "1"), ("./index.json", "2")])).unwrap();
    assert!(matches!(refused(&path), OciError::Twice { name } if name == "index.json"));
    let docker = |manifest: Value, more: &[(&str, &str)]| {
        let text = manifest.to_string();
        let files: Vec<(&str, &str)> =
            more.iter().copied().chain([("manifest.json", text.as_str())]).collect();
        std::fs::write(&path, tar(&files)).unwrap();
        refused(&path)
    };
    let image = |config: &str| json!({"Config": config, "Layers": ["../../etc/shadow"]});
    assert!(matches!(docker(json!([]), &[]), OciError::Empty));
    assert!(matches!(docker(json!([image("a"), image("b")]), &[]), OciError::Ambiguous { .. }));
    assert!(matches!(docker(json!([image("c.json")]), &[]), OciError::Missing { .. }));
    let named = format!("{}.json", "0".repeat(64));
    assert!(matches!(docker(json!([image(&named)]), &[(&named, "{}")]), OciError::BlobDigest { .. }));
    let diff_id = format!("sha256:{}", Sha256Digest::of(b""));
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [diff_id]}}).to_string();
    // A layer is looked up in the archive, wherever its name seems to lead.
    assert!(matches!(docker(json!([image("c.json")]), &[("c.json", &config)]), OciError::Missing { .. }));
}
