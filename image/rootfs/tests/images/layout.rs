//! Makes OCI layouts.

use caution_measure::Sha256Digest;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const WRITTEN: &str = "written to a temporary folder or memory";

/// A layout in a temporary folder.
pub(crate) struct Layout {
    pub(crate) folder: TempDir,
}

impl Layout {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect(WRITTEN);
        std::fs::create_dir_all(folder.path().join("blobs/sha256")).expect(WRITTEN);
        std::fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect(WRITTEN);
        Self { folder }
    }

    /// A layout with one image of these layers, each gzip.
    pub(crate) fn of(layers: &[Vec<u8>]) -> Self {
        let layout = Self::new();
        let blobs =
            layers.iter().map(|tar| layout.layer(tar, &gzip(tar), &format!("{LAYER}+gzip"))).collect();
        let image = layout.image(blobs, json!({}));
        layout.index(&[image]);
        layout
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn blob_path(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().expect("a digest");
        self.path().join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
    }

    /// Stores a blob and returns its descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let descriptor = json!({
            "mediaType": media_type, "digest": format!("sha256:{}", Sha256Digest::of(bytes)), "size": bytes.len()
        });
        std::fs::write(self.blob_path(&descriptor), bytes).expect(WRITTEN);
        descriptor
    }

    /// Stores a layer; returns its descriptor and diff id.
    pub(crate) fn layer(&self, tar: &[u8], stored: &[u8], media_type: &str) -> (Value, String) {
        (self.blob(media_type, stored), format!("sha256:{}", Sha256Digest::of(tar)))
    }

    /// Stores configuration and manifest; returns the manifest's descriptor.
    pub(crate) fn image(&self, layers: Vec<(Value, String)>, run: impl Into<Value>) -> Value {
        let (descriptors, diff_ids): (Vec<Value>, Vec<String>) = layers.into_iter().unzip();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": run.into(),
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [{"created": "ignored"}],
        });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        self.manifest(&config, &descriptors)
    }

    pub(crate) fn manifest(&self, config: &Value, layers: &[Value]) -> Value {
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    pub(crate) fn index(&self, manifests: &[Value]) {
        self.write("index.json", &json!({"schemaVersion": 2, "manifests": manifests}));
    }

    pub(crate) fn write(&self, name: &str, json: &Value) {
        std::fs::write(self.path().join(name), json.to_string()).expect(WRITTEN);
    }

    /// The layout as one tar archive beside the folder's own files.
    pub(crate) fn archive(&self) -> PathBuf {
        let path = self.path().join("archive.tar");
        let mut builder = tar::Builder::new(std::fs::File::create(&path).expect(WRITTEN));
        for name in ["oci-layout", "index.json", "manifest.json", "blobs"] {
            let inner = self.path().join(name);
            if inner.is_dir() {
                builder.append_dir_all(name, inner).expect(WRITTEN);
            } else if inner.exists() {
                builder.append_path_with_name(inner, format!("./{name}")).expect(WRITTEN);
            }
        }
        builder.into_inner().expect(WRITTEN);
        path
    }
}

/// A layer's archive with these files.
pub(crate) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content.as_bytes()).expect(WRITTEN);
    }
    builder.into_inner().expect(WRITTEN)
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect(WRITTEN);
    encoder.finish().expect(WRITTEN)
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}
