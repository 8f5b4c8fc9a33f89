//! Sessions of browsers.

use super::account::Account;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A browser in which somebody is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// Its id.
    pub id: Uuid,
    /// What the browser calls itself.
    pub browser: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When somebody signed in, milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// When it was used last, to a minute.
    pub used_ms: i64,
    /// When a passkey was shown last.
    pub proved_ms: i64,
}

/// The session of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionOwn {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub account: Account,
    /// What goes into `X-CSRF-Token` of every request that is not a GET.
    pub csrf_token: String,
}

/// The cookie of a session that was just made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionCookie {
    /// `__Host-caution=…`
    #[serde(rename = "set-cookie")]
    pub set_cookie: String,
}

/// A session in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SessionSelect {
    /// Its id.
    pub session: Uuid,
}
