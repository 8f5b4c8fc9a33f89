//! The JSON documents of an image, as they stand in the file. Unknown fields are allowed: the specification
//! demands it, and everything used here is checked.

use super::error::OciError;
use caution_measure::Sha256Digest;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayoutFile {
    pub(super) image_layout_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    pub(super) schema_version: u32,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) schema_version: u32,
    pub(super) config: Descriptor,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(super) fn digest(&self) -> Result<Sha256Digest, OciError> {
        digest(&self.digest)
    }
}

#[derive(Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
}

#[derive(Deserialize)]
pub(super) struct ConfigFile {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) os: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) config: RunConfig,
    pub(super) rootfs: Rootfs,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RunConfig {
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) cmd: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) env: Vec<String>,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) working_dir: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) user: String,
}

#[derive(Deserialize)]
pub(super) struct Rootfs {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(super) diff_ids: Vec<String>,
}

/// One image of a `docker save` archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(deserialize_with = "null_is_empty")]
    pub(super) layers: Vec<String>,
}

/// Parses a document.
pub(super) fn parse<'j, T: Deserialize<'j>>(document: &'static str, json: &'j [u8]) -> Result<T, OciError> {
    serde_json::from_slice(json).map_err(|source| OciError::Json { document, source })
}

/// The one form of digest that is read: `sha256:<64 lower-case hex digits>`.
pub(super) fn digest(text: &str) -> Result<Sha256Digest, OciError> {
    text.strip_prefix("sha256:")
        .filter(|digits| !digits.bytes().any(|b| b.is_ascii_uppercase()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| OciError::Digest { found: text.chars().take(100).collect() })
}

/// Go writes empty lists as null.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
