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
