//! What paths name, where no noun has its own file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An SSH key of who asks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct KeySelect {
    /// `SHA256:…`, percent-encoded.
    pub fingerprint: String,
}

/// A token of who asks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenSelect {
    /// Its id.
    pub token: Uuid,
}

/// What makes a POST be done once.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct Idempotency {
    /// 1 to 200 ASCII characters: the same key and body within 24 h gets the first answer, another body 409.
    #[serde(rename = "idempotency-key")]
    pub key: Option<String>,
}
