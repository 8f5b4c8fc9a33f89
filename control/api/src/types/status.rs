//! Whether the server serves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// Its version.
    pub version: String,
}

/// It takes requests: its database answers, and it does not end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ready {
    /// Always true; what is not ready answers 503.
    pub ready: bool,
}
