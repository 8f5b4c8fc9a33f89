//! From an image's entry file to the one manifest, configuration and list of layers that are meant.

use super::document::{ConfigFile, Descriptor, DockerImage, Index, LayoutFile, Manifest, digest, parse};
use super::error::OciError;
use super::source::{BlobName, Source, check_length, compression_of};
use super::{Compression, ImageConfig, Layer, Step, history};
use crate::limits::Limits;
use caution_measure::Sha256Digest;
use std::io::Read as _;

pub(super) struct Selected {
    pub(super) digest: Sha256Digest,
    pub(super) config_digest: Sha256Digest,
    pub(super) config: ImageConfig,
    pub(super) layers: Vec<Layer>,
    pub(super) history: Vec<Step>,
}

/// A JSON document of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// `index.json`, and a list of platforms that it names.
    Index,
    /// What an index names in the end.
    Manifest,
    /// What a manifest names beside layers.
    Configuration,
    /// `manifest.json` of `docker save`.
    DockerManifest,
}

impl Document {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Index, Self::Manifest, Self::Configuration, Self::DockerManifest];

    /// Makes every check of [`super::open`] that this document alone can fail, without the files it names.
    pub fn check(self, json: &[u8], limits: &Limits) -> Result<(), OciError> {
        check_length(self.name(), json.len() as u64, limits)?;
        match self {
            Self::Index => choose(json)?.digest().map(drop),
            Self::Manifest => {
                let manifest = checked_manifest(json)?;
                let layers = manifest.layers.len();
                check_count(layers, layers, limits)?;
                let digest = manifest.config.digest()?;
                manifest.layers.iter().try_for_each(|descriptor| layer(descriptor, digest).map(drop))
            }
            Self::Configuration => configuration(json).map(drop),
            Self::DockerManifest => only_image(json).map(drop),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Manifest => "manifest",
            Self::Configuration => "configuration",
            Self::DockerManifest => "`manifest.json`",
        }
    }
}

/// The image of an OCI layout.
pub(super) fn from_layout(source: &Source, limits: &Limits) -> Result<Selected, OciError> {
    let layout = source.blob(&BlobName::Layout)?.json("`oci-layout`", limits)?;
    let LayoutFile { image_layout_version: version } = parse("`oci-layout`", &layout)?;
    if !version.starts_with("1.") {
        return Err(OciError::Version { document: "`oci-layout`", found: version, expected: "1.x" });
    }
    let mut json = source.blob(&BlobName::Index)?.json("index", limits)?;
    for _ in 0..INDEX_DEPTH {
        let chosen = choose(&json)?;
        let digest = chosen.digest()?;
        json = document(source, &chosen, "manifest", limits)?;
        match chosen.media_type.as_str() {
            OCI_INDEX | DOCKER_LIST => {}
            OCI_MANIFEST | DOCKER_MANIFEST => return from_manifest(source, digest, &json, limits),
            _ => return Err(OciError::MediaType { what: "manifest", found: chosen.media_type }),
        }
    }
    Err(OciError::IndexDepth { limit: INDEX_DEPTH })
}

/// The image of an old `docker save` archive. It holds no digests of its layers, but its configuration does.
pub(super) fn from_docker_archive(source: &Source, limits: &Limits) -> Result<Selected, OciError> {
    let json = source.blob(&BlobName::DockerManifest)?.json("`manifest.json`", limits)?;
    let image = only_image(&json)?;
    let config_json = source.blob(&BlobName::Member(image.config.clone()))?.json("configuration", limits)?;
    let config_digest = Sha256Digest::of(&config_json);
    if let Some(expected) = file_digest(&image.config)
        && expected != config_digest
    {
        return Err(OciError::BlobDigest { expected, found: config_digest });
    }
    let Configuration { config, diff_ids, history } = configuration(&config_json)?;
    check_count(image.layers.len(), diff_ids.len(), limits)?;
    let layers = image.layers.into_iter().zip(diff_ids).map(|(name, diff_id)| {
        let name = BlobName::Member(name);
        let compression = sniff(source, &name)?;
        Ok(Layer { diff_id, blob: None, name, compression })
    });
    let layers = layers.collect::<Result<_, _>>()?;
    Ok(Selected { digest: config_digest, config_digest, config, layers, history })
}

fn from_manifest(
    source: &Source,
    digest: Sha256Digest,
    json: &[u8],
    limits: &Limits,
) -> Result<Selected, OciError> {
    let manifest = checked_manifest(json)?;
    let config_digest = manifest.config.digest()?;
    let json = document(source, &manifest.config, "configuration", limits)?;
    let Configuration { config, diff_ids, history } = configuration(&json)?;
    check_count(manifest.layers.len(), diff_ids.len(), limits)?;
    let layers = manifest.layers.iter().zip(diff_ids).map(|(descriptor, diff_id)| layer(descriptor, diff_id));
    Ok(Selected { digest, config_digest, config, layers: layers.collect::<Result<_, _>>()?, history })
}

/// The only image of a `docker save` archive.
fn only_image(json: &[u8]) -> Result<DockerImage, OciError> {
    let mut images: Vec<DockerImage> = parse("`manifest.json`", json)?;
    match (images.pop(), images.len()) {
        (Some(image), 0) => Ok(image),
        (None, _) => Err(OciError::Empty),
        (Some(last), _) => {
            images.push(last);
            let digests = images.iter().filter_map(|image| file_digest(&image.config)).collect();
            Err(OciError::Ambiguous { digests })
        }
    }
}

fn layer(descriptor: &Descriptor, diff_id: Sha256Digest) -> Result<Layer, OciError> {
    let digest = descriptor.digest()?;
    let compression = layer_compression(&descriptor.media_type)?;
    let blob = Some((digest, descriptor.size));
    Ok(Layer { diff_id, blob, name: BlobName::Blob(digest), compression })
}

fn checked_manifest(json: &[u8]) -> Result<Manifest, OciError> {
    let manifest: Manifest = parse("manifest", json)?;
    if manifest.schema_version != 2 {
        let found = manifest.schema_version.to_string();
        return Err(OciError::Version { document: "manifest", found, expected: "2" });
    }
    if !matches!(manifest.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
        return Err(OciError::MediaType { what: "configuration", found: manifest.config.media_type });
    }
    Ok(manifest)
}

/// The image that is meant: the only one for linux/amd64.
fn choose(json: &[u8]) -> Result<Descriptor, OciError> {
    let index: Index = parse("index", json)?;
    if index.schema_version != 2 {
        let found = index.schema_version.to_string();
        return Err(OciError::Version { document: "index", found, expected: "2" });
    }
    // BuildKit stores its provenance beside the images it is about.
    let mut images: Vec<Descriptor> = index
        .manifests
        .into_iter()
        .filter(|entry| !entry.annotations.contains_key("vnd.docker.reference.type"))
        .collect();
    if images.is_empty() {
        return Err(OciError::Empty);
    }
    let platforms: Vec<String> = images
        .iter()
        .map(|entry| {
            entry.platform.as_ref().map_or("unknown".to_owned(), |p| format!("{}/{}", p.os, p.architecture))
        })
        .collect();
    // Where nothing is said, the configuration will be asked.
    images
        .retain(|entry| entry.platform.as_ref().is_none_or(|p| p.os == OS && p.architecture == ARCHITECTURE));
    // Several tags of one image.
    images.dedup_by(|a, b| a.digest == b.digest);
    match (images.pop(), images.len()) {
        (Some(image), 0) => Ok(image),
        (None, _) => Err(OciError::Platform { found: platforms.join(", ") }),
        (Some(last), _) => {
            images.push(last);
            Err(OciError::Ambiguous {
                digests: images.iter().map(Descriptor::digest).collect::<Result<_, _>>()?,
            })
        }
    }
}

/// A checked JSON document.
fn document(
    source: &Source,
    descriptor: &Descriptor,
    name: &'static str,
    limits: &Limits,
) -> Result<Vec<u8>, OciError> {
    let expected = descriptor.digest()?;
    let blob = source.blob(&BlobName::Blob(expected))?;
    if blob.size() != descriptor.size {
        return Err(OciError::BlobSize { digest: expected, announced: descriptor.size, found: blob.size() });
    }
    let json = blob.json(name, limits)?;
    let found = Sha256Digest::of(&json);
    if found != expected {
        return Err(OciError::BlobDigest { expected, found });
    }
    Ok(json)
}

/// What a configuration says.
struct Configuration {
    config: ImageConfig,
    diff_ids: Vec<Sha256Digest>,
    history: Vec<Step>,
}

fn configuration(json: &[u8]) -> Result<Configuration, OciError> {
    let file: ConfigFile = parse("configuration", json)?;
    if file.os != OS || file.architecture != ARCHITECTURE {
        return Err(OciError::Platform { found: format!("{}/{}", file.os, file.architecture) });
    }
    let diff_ids = file.rootfs.diff_ids.iter().map(|text| digest(text)).collect::<Result<_, _>>()?;
    let config = ImageConfig {
        entrypoint: file.config.entrypoint,
        cmd: file.config.cmd,
        env: file.config.env,
        working_dir: file.config.working_dir,
        user: file.config.user,
        architecture: file.architecture,
        os: file.os,
    };
    Ok(Configuration { config, diff_ids, history: history::parse(json) })
}

fn check_count(layers: usize, diff_ids: usize, limits: &Limits) -> Result<(), OciError> {
    if layers > limits.layers {
        return Err(OciError::TooManyLayers { found: layers, limit: limits.layers });
    }
    if layers != diff_ids {
        return Err(OciError::LayerCount { layers, diff_ids });
    }
    Ok(())
}

fn layer_compression(media_type: &str) -> Result<Compression, OciError> {
    match media_type {
        "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
            Ok(Compression::None)
        }
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
        _ => Err(OciError::MediaType { what: "layer", found: media_type.to_owned() }),
    }
}

/// Old archives do not say how a layer is stored.
fn sniff(source: &Source, name: &BlobName) -> Result<Compression, OciError> {
    let mut start = Vec::new();
    source.blob(name)?.take(4).read_to_end(&mut start).map_err(OciError::Read)?;
    Ok(match compression_of(&start) {
        Some("gzip") => Compression::Gzip,
        Some(_) => Compression::Zstd,
        None => Compression::None,
    })
}

/// The digest a configuration is named by: `<hex>.json`, or `blobs/sha256/<hex>` from newer tools.
fn file_digest(name: &str) -> Option<Sha256Digest> {
    let name = name.strip_suffix(".json").unwrap_or(name);
    name.rsplit('/').next()?.parse().ok()
}

const OS: &str = "linux";
const ARCHITECTURE: &str = "amd64";
/// An entry file, a list of platforms, a manifest.
const INDEX_DEPTH: usize = 3;
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
