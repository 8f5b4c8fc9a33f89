//! Container images as files: OCI layouts, in a folder or a tar archive, and `docker save` archives.
//!
//! Every blob's length and digest is checked while it is read. Formats: OCI Image Specification 1.1
//! (`image-layout.md`, `image-index.md`, `manifest.md`, `config.md`, `layer.md`), Docker Image Manifest V2.2, and
//! Docker Image Specification 1.2 for the older archives.

mod document;
mod error;
mod history;
mod layer;
mod select;
mod source;

use crate::limits::Limits;
use caution_measure::Sha256Digest;
pub use error::OciError;
pub(crate) use error::SMALLER;
pub use history::Step;
pub(crate) use layer::{Archive, LayerReader};
pub use select::Document;
pub(crate) use source::BlobName;
use source::Source;
use std::path::Path;

/// An image whose manifest and configuration were read and checked; layers are checked as they are read.
#[derive(Debug)]
pub struct Image {
    /// Digest of the image's manifest; of its configuration where the archive is an old `docker save` without manifest.
    pub digest: Sha256Digest,
    /// Digest of the configuration: what engines call the image ID.
    pub config_digest: Sha256Digest,
    /// What the image says about running it.
    pub config: ImageConfig,
    /// Layers from the lowest up.
    pub layers: Vec<Layer>,
    /// What the engine says about how it was built, from the first step on; empty where that cannot be read.
    pub history: Vec<Step>,
    source: Source,
}

/// What an image says about running it. Absent values are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub cmd: Vec<String>,
    /// `ENV`, each `NAME=value`.
    pub env: Vec<String>,
    /// `WORKDIR`.
    pub working_dir: String,
    /// `USER`; see [`crate::resolve_user`].
    pub user: String,
    /// Processor, in Go's words: always `amd64`.
    pub architecture: String,
    /// Always `linux`.
    pub os: String,
}

/// One layer: a tar archive of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Digest of the uncompressed archive.
    pub diff_id: Sha256Digest,
    /// Digest and length of the blob; an old `docker save` archive names neither.
    pub blob: Option<(Sha256Digest, u64)>,
    pub(crate) name: BlobName,
    pub(crate) compression: Compression,
}

/// How a layer's blob is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Opens an OCI layout folder, an archive of one, or a `docker save` archive.
///
/// From an index with several platforms the `linux/amd64` image is taken.
pub fn open(path: &Path, limits: &Limits) -> Result<Image, OciError> {
    let source = Source::open(path, limits)?;
    let selected = if source.has(&BlobName::Index)? {
        select::from_layout(&source, limits)?
    } else if source.has(&BlobName::DockerManifest)? {
        select::from_docker_archive(&source, limits)?
    } else {
        return Err(OciError::NotAnImage { path: path.to_owned() });
    };
    let select::Selected { digest, config_digest, config, layers, history } = selected;
    Ok(Image { digest, config_digest, config, layers, history, source })
}

impl Image {
    /// Opens a layer's tar archive; `budget` is how many uncompressed bytes may come.
    pub(crate) fn layer(&self, layer: &Layer, budget: u64) -> Result<Archive, OciError> {
        Archive::open(&self.source, layer, budget)
    }

    /// Reads a layer's blob to its end for nothing but its digest.
    ///
    /// A damaged blob usually fails as broken compression or a broken archive first; its digest says what it really is.
    pub(crate) fn check_blob(&self, layer: &Layer) -> Result<(), OciError> {
        let Some((digest, size)) = layer.blob else { return Ok(()) };
        let mut blob = self.source.blob(&layer.name)?.verified(digest, size)?;
        std::io::copy(&mut blob, &mut std::io::sink()).map_err(OciError::from_read)?;
        blob.finish()
    }
}
