//! The metadata section: unmeasured, so it says nothing that could differ between two builds.

use serde::{Deserialize, Serialize};

/// Where an image comes from, in the shape the AWS tools write and read.
///
/// Every field is a constant but the kernel's version: a host name, a clock or a tool's own version
/// would make two files differ whose PCRs are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Metadata {
    /// Always `caution-enclave` in our images.
    pub image_name: String,
    /// Version of the image layout `specs/eif.md` describes.
    pub image_version: String,
    /// How it was built.
    pub build_metadata: BuildMetadata,
    /// Always null in our images: the AWS tools put the output of `docker inspect` here.
    pub docker_info: Option<serde_json::Value>,
    /// Always null in our images.
    pub custom_metadata: Option<serde_json::Value>,
}

/// How an image was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct BuildMetadata {
    /// RFC 3339; always the epoch in our images.
    pub build_time: String,
    /// Always `caution` in our images.
    pub build_tool: String,
    /// Version of the image layout, not of the program.
    pub build_tool_version: String,
    /// Always `Linux`.
    pub operating_system: String,
    /// The kernel's own version, `6.12.1`.
    pub kernel_version: String,
}

impl Metadata {
    /// The normalised metadata of an image with this kernel.
    pub fn new(kernel_version: &str) -> Self {
        Self {
            image_name: "caution-enclave".to_owned(),
            image_version: LAYOUT_VERSION.to_owned(),
            build_metadata: BuildMetadata {
                build_time: "1970-01-01T00:00:00+00:00".to_owned(),
                build_tool: "caution".to_owned(),
                build_tool_version: LAYOUT_VERSION.to_owned(),
                operating_system: "Linux".to_owned(),
                kernel_version: kernel_version.to_owned(),
            },
            docker_info: None,
            custom_metadata: None,
        }
    }

    /// The section's bytes: compact JSON, fields in declared order, no final newline.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, nulls and JSON values: serialisation has nothing that can fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Default for Metadata {
    /// The normalised metadata of an image whose kernel is not named.
    fn default() -> Self {
        Self::new("Unknown")
    }
}

/// Raised when `specs/eif.md` changes what an image looks like.
const LAYOUT_VERSION: &str = "1";
