//! What happened to an app.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its id; later ones are greater.
    pub id: Uuid,
    /// For programs: `pushed`, `live`, `failed` …
    pub kind: String,
    /// A sentence for people.
    pub text: String,
    /// When, milliseconds since 1970.
    pub created_ms: i64,
}

/// From where on to follow events.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct EventStreamQuery {
    /// The last event that is known; the header `Last-Event-ID` says the same. Where both are absent: from now on.
    pub after: Option<Uuid>,
}
