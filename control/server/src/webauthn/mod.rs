//! Passkeys: what a browser says of an authenticator, checked (W3C Web Authentication Level 3, §7.1 and §7.2). No I/O.
//!
//! Only what passkeys of people need: no attestation of authenticators, user verification always, three algorithms.

mod authenticator;
mod key;
#[cfg(test)]
mod tests;

use authenticator::AuthenticatorData;
use caution_measure::Sha256Digest;
use data_encoding::BASE64URL_NOPAD;
pub use key::{ALGORITHMS, PublicKey};
use serde::Deserialize;

/// For whom passkeys are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelyingParty {
    /// The host name.
    pub id: String,
    /// Scheme, host and port, as browsers write them.
    pub origin: String,
}

/// What a browser says after a passkey was made.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// JSON of the browser.
    pub client_data: &'a [u8],
    /// What the authenticator says of itself and of the new credential.
    pub authenticator_data: &'a [u8],
}

/// What a browser says after a passkey was used.
#[derive(Debug, Clone, Copy)]
pub struct Assertion<'a> {
    /// JSON of the browser.
    pub client_data: &'a [u8],
    /// What the authenticator says of itself.
    pub authenticator_data: &'a [u8],
    /// Over both.
    pub signature: &'a [u8],
}

/// A credential that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id, as authenticators know it.
    pub id: Vec<u8>,
    /// What its signatures are checked with.
    pub key: PublicKey,
    /// How often it was used; always 0 for those that several devices share.
    pub count: u32,
}

/// Why a passkey is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebauthnError {
    /// Bytes that are not what they should be.
    #[error("the {0} cannot be read")]
    Malformed(&'static str),
    /// It was made for another page, or another purpose.
    #[error("the {what} is `{actual}`, not `{expected}`")]
    Mismatch {
        /// Of what.
        what: &'static str,
        /// Ours.
        expected: String,
        /// Theirs.
        actual: String,
    },
    /// A page within another one's asked.
    #[error("the page was within another site's")]
    CrossOrigin,
    /// The authenticator did not see that it is its owner.
    #[error("the authenticator did not check who holds it")]
    NotVerified,
    /// Its key is of a kind that was not offered.
    #[error("keys of this kind are not taken")]
    Key,
    /// The signature is another one's.
    #[error("the signature is not the passkey's")]
    Signature,
    /// The counter went back: there are two of this authenticator.
    #[error("the passkey's counter went from {before} to {now}, so that there are two of it")]
    Cloned {
        /// The last one that is known.
        before: u32,
        /// What it says now.
        now: u32,
    },
}

/// What browsers write (§5.8.1). Fields that are not named here may be there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default)]
    cross_origin: bool,
    top_origin: Option<String>,
}

impl RelyingParty {
    /// The site of an address like `https://caution.example`: a name, no path. Browsers make passkeys over HTTPS, and over
    /// HTTP on `localhost` alone.
    pub fn of_url(url: &str) -> Option<Self> {
        let origin = url.strip_suffix('/').unwrap_or(url);
        let (scheme, authority) = origin.split_once("://")?;
        let (name, port) = authority.split_once(':').map_or((authority, None), |(n, p)| (n, Some(p)));
        // As browsers write it: the port of the scheme itself is not there.
        let port_is_one = |port: &str| {
            let usual = if scheme == "https" { 443 } else { 80 };
            port.parse::<u16>().is_ok_and(|n| n != 0 && n != usual && n.to_string() == port)
        };
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let is_name = name.len() <= 253 && name.split('.').all(label);
        let is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        let secure = scheme == "https" || (scheme == "http" && name == "localhost");
        (secure && is_name && !is_number && port.is_none_or(port_is_one))
            .then(|| Self { id: name.to_owned(), origin: origin.to_owned() })
    }

    /// Name and port, as requests name it in `Host`.
    pub fn authority(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Checks a new credential. The challenge must be one of ours: [`challenge`] says which it claims to be.
    pub fn registered(&self, said: &Registration<'_>) -> Result<Credential, WebauthnError> {
        self.client(said.client_data, "webauthn.create")?;
        let data = self.authenticator(said.authenticator_data)?;
        let (id, key) = data.credential.ok_or(WebauthnError::Malformed("new credential"))?;
        Ok(Credential { id: id.to_vec(), key: PublicKey::parse(key)?, count: data.count })
    }

    /// Checks a use of a credential, and returns how often it was used.
    pub fn asserted(&self, key: &PublicKey, before: u32, said: &Assertion<'_>) -> Result<u32, WebauthnError> {
        self.client(said.client_data, "webauthn.get")?;
        let data = self.authenticator(said.authenticator_data)?;
        let mut signed = said.authenticator_data.to_vec();
        signed.extend_from_slice(Sha256Digest::of(said.client_data).as_bytes());
        key.verify(&signed, said.signature)?;
        if (data.count, before) != (0, 0) && data.count <= before {
            return Err(WebauthnError::Cloned { before, now: data.count });
        }
        Ok(data.count)
    }

    fn client(&self, json: &[u8], kind: &'static str) -> Result<(), WebauthnError> {
        let data = client_data(json)?;
        same("purpose", kind, &data.kind)?;
        same("origin", &self.origin, &data.origin)?;
        if data.cross_origin || data.top_origin.is_some() {
            return Err(WebauthnError::CrossOrigin);
        }
        Ok(())
    }

    fn authenticator<'a>(&self, bytes: &'a [u8]) -> Result<AuthenticatorData<'a>, WebauthnError> {
        let data = AuthenticatorData::parse(bytes)?;
        let expected = Sha256Digest::of(self.id.as_bytes());
        if data.relying_party != expected.as_bytes() {
            let actual = data_encoding::HEXLOWER.encode(data.relying_party);
            return Err(WebauthnError::Mismatch { what: "site", expected: expected.to_string(), actual });
        }
        if data.present && data.verified { Ok(data) } else { Err(WebauthnError::NotVerified) }
    }
}

/// The challenge that a browser's JSON is an answer to.
pub fn challenge(json: &[u8]) -> Result<[u8; 32], WebauthnError> {
    let malformed = || WebauthnError::Malformed("challenge");
    let bytes = BASE64URL_NOPAD.decode(client_data(json)?.challenge.as_bytes()).map_err(|_| malformed())?;
    bytes.try_into().map_err(|_| malformed())
}

fn client_data(json: &[u8]) -> Result<ClientData, WebauthnError> {
    if json.len() > MAX_CLIENT_DATA {
        return Err(WebauthnError::Malformed("browser's data"));
    }
    serde_json::from_slice(json).map_err(|_| WebauthnError::Malformed("browser's data"))
}

fn same(what: &'static str, expected: &str, actual: &str) -> Result<(), WebauthnError> {
    if expected == actual {
        return Ok(());
    }
    let actual = actual.chars().filter(|c| !c.is_control()).take(200).collect();
    Err(WebauthnError::Mismatch { what, expected: expected.to_owned(), actual })
}

/// The longest JSON of a browser, in bytes.
const MAX_CLIENT_DATA: usize = 8 * 1024;
