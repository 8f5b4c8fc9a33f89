//! Programs that somebody lets in: `caution login`.

use super::account::TokenMade;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program wants a token.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceBegin {
    /// What it says it is: `caution login on laptop`.
    pub name: String,
    /// Whether a token for reading is enough.
    #[serde(default)]
    pub read_only: bool,
}

/// How a program goes on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeviceBegun {
    /// What it asks for the token with. It shows this to nobody.
    pub device_code: String,
    /// What it shows: the page that lets it in shows the same.
    pub user_code: String,
    /// The page.
    pub url: String,
    /// Until when, milliseconds since 1970.
    pub expires_ms: i64,
    /// How long to wait between two questions, in seconds.
    pub interval_s: u32,
}

/// A program asks whether it was let in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceAsk {
    /// What it was given for that.
    pub device_code: String,
}

/// Whether it was.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeviceAnswer {
    /// The token, told this once; absent while nobody has decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<TokenMade>,
    /// Where the program's user pushes to; told with the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitServer>,
}

/// The git server of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GitServer {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its public key: algorithm and key, as in `known_hosts` after the host.
    pub host_key: String,
}

/// A program that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// What it shows.
    pub user_code: String,
    /// What it says it is.
    pub name: String,
    /// Whether it asks for reading alone.
    pub read_only: bool,
    /// When it came, milliseconds since 1970.
    pub created_ms: i64,
    /// Until when it waits.
    pub expires_ms: i64,
}

/// A program that waits, in a path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct DeviceSelect {
    /// What it shows.
    pub user_code: String,
}
