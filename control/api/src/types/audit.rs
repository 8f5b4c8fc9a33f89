//! Who changed what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLine {
    /// Its id; later ones are greater.
    pub id: Uuid,
    /// Who made it; absent for the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Uuid>,
    /// How they were known: `token`, `session`, `ssh key`, `this machine`, `invitation`, `set-up link`, `device`.
    pub by_means_of: String,
    /// What was done: the operation's name in this API, or `push`.
    pub action: String,
    /// The id of what it was done to.
    pub target: String,
    /// In words.
    pub detail: String,
    /// When, milliseconds since 1970.
    pub created_ms: i64,
}

/// An organisation in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct OrganisationSelect {
    /// Its id.
    pub organisation: Uuid,
}
