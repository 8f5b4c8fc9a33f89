//! The `/attestation` exchange, and the map inside a document's `user_data`.

use caution_measure::{Nonce, Sha256Digest};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// The path of the request.
pub const PATH: &str = "/attestation";
/// The longest request body attestd reads, in bytes.
pub const MAX_REQUEST: usize = 4 * 1024;
/// The longest response body a verifier reads, in bytes.
pub const MAX_RESPONSE: usize = 1024 * 1024;

/// Body of `POST /attestation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Standard base64 of 32 bytes.
    pub nonce: String,
}

/// Body of the 200 answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Response {
    /// Standard base64 of the COSE_Sign1 document.
    #[serde(alias = "attestation_document")]
    pub document: String,
    /// The manifest as the enclave received it: one JSON value, byte for byte, without white space
    /// before or after. `user_data` holds the SHA-256 of exactly this text. Absent when it received none.
    #[serde(default)]
    pub manifest: Option<Box<serde_json::value::RawValue>>,
}

/// Body of every other answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorResponse {
    /// Whole sentences, outermost first.
    pub errors: Vec<String>,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not `{"nonce": "…"}`.
    #[error("The body is not a JSON object with the one key `nonce`.")]
    Shape,
    /// Not 32 bytes of standard base64.
    #[error("`nonce` is not the standard base64 of 32 bytes.")]
    Nonce,
}

impl Request {
    /// The request for this nonce.
    pub fn new(nonce: &Nonce) -> Self {
        Self { nonce: BASE64.encode(nonce.as_bytes()) }
    }

    /// Reads a body strictly.
    pub fn parse(body: &[u8]) -> Result<Nonce, RequestError> {
        let request: Self = serde_json::from_slice(body).map_err(|_| RequestError::Shape)?;
        let bytes = BASE64.decode(request.nonce.as_bytes()).map_err(|_| RequestError::Nonce)?;
        Nonce::try_from(bytes.as_slice()).map_err(|_| RequestError::Nonce)
    }
}

/// What EnclaveOS puts into `user_data`: deterministic CBOR `{1: "caution-evidence", 2: manifest}`.
///
/// Nothing a caller or the app chooses enters this map, so a document that carries it was asked for
/// by EnclaveOS itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserData {
    /// SHA-256 of the manifest's bytes; CBOR null when the enclave received none.
    pub manifest_sha256: Option<Sha256Digest>,
}

/// Why bytes are not EnclaveOS' `user_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("user_data is not EnclaveOS' map")]
pub struct UserDataError;

impl UserData {
    const LABEL: &str = "caution-evidence";

    /// The deterministic CBOR bytes: 55 with a manifest, 22 without.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        let mut cbor = minicbor::Encoder::new(&mut bytes);
        let encoded = (|| {
            let map = cbor.map(2)?.u8(1)?.str(Self::LABEL)?.u8(2)?;
            match &self.manifest_sha256 {
                Some(digest) => map.bytes(digest.as_bytes())?,
                None => map.null()?,
            };
            Ok::<_, minicbor::encode::Error<std::convert::Infallible>>(())
        })();
        encoded.expect("writing to a vector cannot fail");
        bytes
    }

    /// Reads exactly what [`UserData::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UserDataError> {
        // The form is deterministic: rebuild the only two candidates and compare.
        let digest = bytes.len().checked_sub(32).and_then(|at| Sha256Digest::try_from(&bytes[at..]).ok());
        [Self { manifest_sha256: None }, Self { manifest_sha256: digest }]
            .into_iter()
            .find(|candidate| candidate.to_bytes() == bytes)
            .ok_or(UserDataError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_round_trips_and_nothing_else_is_read() {
        for manifest_sha256 in [None, Some(Sha256Digest::of(b"m"))] {
            let data = UserData { manifest_sha256 };
            let bytes = data.to_bytes();
            assert_eq!(UserData::from_bytes(&bytes), Ok(data));
            for cut in 0..bytes.len() {
                assert_eq!(UserData::from_bytes(&bytes[..cut]), Err(UserDataError));
            }
            let mut longer = bytes;
            longer.push(0);
            assert_eq!(UserData::from_bytes(&longer), Err(UserDataError));
        }
    }

    #[test]
    fn requests_are_read_strictly() {
        let nonce = Nonce::new([9; 32]);
        let body = serde_json::to_vec(&Request::new(&nonce)).unwrap();
        assert_eq!(Request::parse(&body), Ok(nonce));
        for bad in [&b"{}"[..], b"[]", b"", br#"{"nonce":"","user_data":"x"}"#] {
            assert_eq!(Request::parse(bad), Err(RequestError::Shape));
        }
        for bad in [&br#"{"nonce":""}"#[..], br#"{"nonce":"AAAA"}"#, br#"{"nonce":"****"}"#] {
            assert_eq!(Request::parse(bad), Err(RequestError::Nonce));
        }
    }
}
