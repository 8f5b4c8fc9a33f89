//! The manifest: where the source of an enclave can be read. A hint, never proof.
//!
//! It travels beside the image, not inside: the host hands it to the enclave at boot, attestd binds
//! its SHA-256 into every document's `user_data`, and verifiers compare each statement with what
//! they derive from the reviewed source. Field names follow the existing platform's manifest.

use crate::e2e::E2e;
use caution_measure::{Pcr, Sha256Digest};
use serde::{Deserialize, Serialize};

/// The longest manifest anyone reads, in bytes.
pub const MAX_BYTES: usize = 64 * 1024;

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`Manifest::VERSION`].
    pub version: String,
    /// Where the application's source is; absent for private code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_source: Option<AppSource>,
    /// Where EnclaveOS' source is, from `enclave_sources`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub enclave_source: Vec<String>,
    /// The command that runs, program and arguments.
    pub run_command: Vec<String>,
    /// TCP ports of the app, ascending.
    pub ports: Vec<u16>,
    /// Which of them speaks HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_port: Option<u16>,
    /// What encrypts in front of the app; absent where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e: Option<E2e>,
    /// Whether what the app writes leaves the enclave; absent where it does not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub logs: bool,
    /// SHA-256 of the boot plan's canonical bytes.
    pub boot_plan_sha256: Sha256Digest,
    /// The EnclaveOS release below the application.
    pub enclaveos: EnclaveOsRef,
    /// Free text from the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

/// Where the application's source is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSource {
    /// From `app_sources`, in declared order; may be empty.
    pub urls: Vec<String>,
    /// The git commit, 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
    pub commit: String,
    /// The branch, where one was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
}

/// Names an EnclaveOS release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnclaveOsRef {
    /// Version text, for people.
    pub version: String,
    /// Its measurement.
    pub pcr1: Pcr,
}

/// Why bytes are not a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// More bytes than any manifest.
    #[error("the manifest has {0} bytes (at most {MAX_BYTES})")]
    TooLong(usize),
    /// Not JSON of this shape.
    #[error("the manifest is malformed")]
    Json(#[from] serde_json::Error),
    /// Another format version.
    #[error("manifest version `{0}` is not supported (expected `2`)")]
    Version(String),
}

impl Manifest {
    /// The version this code writes and reads.
    pub const VERSION: &str = "2";

    /// The bytes to send: JSON, two-space indent, fields in declared order, no final newline, so that
    /// they stand in a JSON response exactly as they were hashed.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = canonical_json(self);
        bytes.pop();
        bytes
    }

    /// Reads a manifest. The bytes need not be canonical: what is bound is their digest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_BYTES {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.version == Self::VERSION {
            Ok(manifest)
        } else {
            Err(ManifestError::Version(manifest.version))
        }
    }
}

/// Two-space indented JSON with a final newline; field order is declaration order.
pub(crate) fn canonical_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .expect("plain structs of strings and numbers always have a JSON form");
    bytes.push(b'\n');
    bytes
}
