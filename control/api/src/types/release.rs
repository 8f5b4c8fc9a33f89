//! Releases: what was built, for ever.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What one build made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// Its id.
    pub id: Uuid,
    /// Counts in an app, from 1.
    pub number: i64,
    /// The commit it was built from.
    pub commit: String,
    /// Digest of everything that decided its bytes, hex.
    pub plan_sha256: String,
    /// Digest of the image file, hex.
    pub image_sha256: String,
    /// Its length in bytes.
    pub image_bytes: i64,
    /// What the image measures to, 96 hex digits.
    pub pcr0: String,
    /// EnclaveOS.
    pub pcr1: String,
    /// The application and how it is started.
    pub pcr2: String,
    /// The EnclaveOS release it is on.
    pub enclaveos: String,
    /// What its enclave says of itself, as a JSON value.
    pub manifest: serde_json::Value,
    /// The name of the account that pushed it.
    pub made_by: String,
    /// Whether the app's traffic goes to it.
    pub live: bool,
    /// When it was built, milliseconds since 1970.
    pub created_ms: i64,
}

/// A release in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReleaseSelect {
    /// The app's id.
    pub app: Uuid,
    /// The release's number.
    pub number: i64,
}
