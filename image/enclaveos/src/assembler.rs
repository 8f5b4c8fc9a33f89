//! The assembler image: one program and the parts of a release, for container engines.
//!
//! An archive that buildah, podman, skopeo (`oci-archive:`) and docker (`docker load`) read. Its bytes, and so
//! the digest that `Containerfile.eif` pins, depend on the program and the release alone.

use crate::files::{self, FileError};
use crate::release::Release;
use caution_measure::Sha256Digest;
use serde_json::json;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// The image's name: no registry has it.
pub const IMAGE_NAME: &str = "localhost/caution/enclaveos";

/// An assembler image beside a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembler {
    /// The archive.
    pub archive: PathBuf,
    /// The digest of the image's manifest.
    pub digest: Sha256Digest,
    /// Its name and tag, for docker, which does not find local images by their digest.
    pub tagged: String,
}

impl Release {
    /// The assembler image that was built with this release, by the index it begins with; `None` where there is
    /// none. What follows the index is for the engine to check that takes the image.
    pub fn assembler(&self) -> Option<Assembler> {
        let archive = self.dir.join(ARCHIVE);
        let file = std::fs::File::open(&archive).ok()?;
        let mut archived = tar::Archive::new(file);
        let first = archived.entries().ok()?.next()?.ok()?;
        let mut index = Vec::new();
        first.take(MAX_INDEX).read_to_end(&mut index).ok()?;
        let index: serde_json::Value = serde_json::from_slice(&index).ok()?;
        let digest = index["manifests"][0]["digest"].as_str()?.strip_prefix("sha256:")?.parse().ok()?;
        Some(Assembler { archive, digest, tagged: tagged(self) })
    }
}

/// Writes the image beside its release.
pub(crate) fn write(release: &Release, program: &[u8]) -> Result<(), FileError> {
    let path = release.dir.join(ARCHIVE);
    let image = image(release, program).map_err(FileError::write(&path))?;
    files::write_atomic(&path, &image)
}

fn image(release: &Release, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let read = |path: &Path| std::fs::read(path);
    let mut layer = Archive::new();
    layer.file("caution-assemble", 0o755, program)?;
    layer.folder("enclaveos")?;
    layer.file("enclaveos/cmdline", 0o444, release.cmdline().as_bytes())?;
    layer.file("enclaveos/kernel", 0o444, &read(&release.kernel_path())?)?;
    layer.file("enclaveos/kernel_version", 0o444, release.info.kernel_version.as_bytes())?;
    layer.file("enclaveos/ramdisk0.cpio.gz", 0o444, &read(&release.ramdisk_path())?)?;
    let layer = Blob::new("application/vnd.oci.image.layer.v1.tar", layer.finish()?);

    let config = json!({
        "architecture": "amd64",
        "config": {},
        "created": "1970-01-01T00:00:00Z",
        "os": "linux",
        "rootfs": { "diff_ids": [layer.digest()], "type": "layers" },
    });
    let config = Blob::new("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "config": config.descriptor(),
        "layers": [layer.descriptor()],
        "mediaType": manifest_type,
        "schemaVersion": 2,
    });
    let manifest = Blob::new(manifest_type, manifest.to_string().into_bytes());
    let name = tagged(release);
    let mut listed = manifest.descriptor();
    listed["annotations"] = json!({ "org.opencontainers.image.ref.name": &name });
    let index = json!({ "manifests": [listed], "schemaVersion": 2 });
    // What `docker load` reads.
    let docker = json!([{ "Config": config.path(), "Layers": [layer.path()], "RepoTags": [name] }]);

    let mut archive = Archive::new();
    archive.file("index.json", 0o444, index.to_string().as_bytes())?;
    archive.file("oci-layout", 0o444, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.file("manifest.json", 0o444, docker.to_string().as_bytes())?;
    archive.folder("blobs")?;
    archive.folder("blobs/sha256")?;
    for blob in [&manifest, &config, &layer] {
        archive.file(&blob.path(), 0o444, &blob.bytes)?;
    }
    archive.finish()
}

/// A tag names the release, so that the images of several may lie beside each other.
fn tagged(release: &Release) -> String {
    format!("{IMAGE_NAME}:{}", &release.id().to_string()[..12])
}

/// Bytes under their digest.
struct Blob {
    media_type: &'static str,
    digest: Sha256Digest,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(media_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { media_type, digest: Sha256Digest::of(&bytes), bytes }
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.digest)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }

    fn descriptor(&self) -> serde_json::Value {
        json!({ "digest": self.digest(), "mediaType": self.media_type, "size": self.bytes.len() })
    }
}

/// A tar archive of root's files without times.
struct Archive(Builder<Vec<u8>>);

impl Archive {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn folder(&mut self, path: &str) -> std::io::Result<()> {
        self.add(path, EntryType::Directory, 0o755, &[])
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> std::io::Result<()> {
        self.add(path, EntryType::Regular, mode, content)
    }

    fn add(&mut self, path: &str, kind: EntryType, mode: u32, content: &[u8]) -> std::io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        self.0.append_data(&mut header, path, content)
    }

    fn finish(self) -> std::io::Result<Vec<u8>> {
        self.0.into_inner()
    }
}

const ARCHIVE: &str = "assembler.tar";
const MAX_INDEX: u64 = 4096;
