//! Passkeys: what a browser asks of an authenticator, and what it says then. Bytes are base64url without padding.

use super::account::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who has a link wants to be known.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationBegin {
    /// The link's secret.
    pub link: String,
    /// What they want to be called.
    pub name: String,
}

/// What a new passkey is to be made for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RegistrationAsk {
    /// What is to be signed.
    pub challenge: String,
    /// The site's host name.
    pub relying_party: String,
    /// The account's id, as authenticators keep it.
    pub user: String,
    /// COSE's numbers of the algorithms that are taken, the best first.
    pub algorithms: Vec<i64>,
    /// Where the link leads; absent where it makes the first organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// As what.
    pub role: Role,
}

/// Somebody who has a link becomes known by a passkey.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The link's secret. It is good once.
    pub link: String,
    /// What they want to be called.
    pub name: String,
    /// What the first organisation is called; absent for all other links.
    pub organisation: Option<String>,
    /// The passkey.
    pub passkey: PasskeyMade,
}

/// What the browser says after a passkey was made.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyMade {
    /// `response.clientDataJSON`
    pub client_data: String,
    /// `response.getAuthenticatorData()`
    pub authenticator_data: String,
}

/// What a passkey is to sign.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct PasskeyAsk {
    /// What is to be signed.
    pub challenge: String,
    /// The site's host name.
    pub relying_party: String,
}

/// What the browser says after a passkey was used.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyProof {
    /// `rawId`
    pub credential: String,
    /// `response.clientDataJSON`
    pub client_data: String,
    /// `response.authenticatorData`
    pub authenticator_data: String,
    /// `response.signature`
    pub signature: String,
}
