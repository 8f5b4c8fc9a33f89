//! Who asks, and how they are known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
}

/// What somebody may do in an organisation; `specs/platform.md` §3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Deploys, too.
    Member,
    /// Destroys apps and reads the audit log, too.
    Admin,
    /// Everything.
    Owner,
}

/// An organisation that somebody belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Membership {
    /// The organisation's id.
    pub organisation: Uuid,
    /// Its name.
    pub name: String,
    /// As what.
    pub role: Role,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    /// The account.
    pub account: Account,
    /// Its organisations, by name.
    pub organisations: Vec<Membership>,
}

/// A key for git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SshKey {
    /// `SHA256:…` as OpenSSH writes it.
    pub fingerprint: String,
    /// What its owner calls it.
    pub name: String,
    /// Algorithm and key, as in `authorized_keys`, without a comment.
    pub public_key: String,
    /// When it was added, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_ms: Option<i64>,
}

/// Adds a key for git.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshKeyAdd {
    /// A line of `authorized_keys` or of a `.pub` file; Ed25519, ECDSA, or RSA from 3072 bits.
    pub public_key: String,
    /// What to call it; the line's comment where absent.
    pub name: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Its id.
    pub id: Uuid,
    /// What it is for.
    pub name: String,
    /// It may not change anything.
    pub read_only: bool,
    /// The only app it may touch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Uuid>,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// When it was used last, to a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_ms: Option<i64>,
}

/// Makes a token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// What it is for.
    pub name: String,
    /// Days until it ends, 1 to 90; 30 where absent.
    pub days: Option<u32>,
    /// Whether it may only read.
    #[serde(default)]
    pub read_only: bool,
    /// The only app it may touch.
    pub app: Option<Uuid>,
}

/// A token that was just made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct TokenMade {
    /// What is kept of it.
    pub token: Token,
    /// What goes into `Authorization: Bearer …`. It is shown this once.
    pub secret: String,
}
