//! The payload of a document and the COSE_Sign1 structure (RFC 9052) around it.

use super::cbor::{Value, head};
use super::chain::Chain;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};

/// `{1: -35}`: algorithm ES384.
pub const PROTECTED_ES384: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// What a module says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The module's name.
    pub module_id: String,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Register numbers and their 48 bytes.
    pub pcrs: Vec<(u64, Vec<u8>)>,
    /// The certificates.
    pub chain: Chain,
    /// A key of the enclave's choice.
    pub public_key: Option<Vec<u8>>,
    /// Data of the enclave's choice.
    pub user_data: Option<Vec<u8>>,
    /// The challenge.
    pub nonce: Option<Vec<u8>>,
}

impl Payload {
    /// The payload's fields in the order in which every Nitro document has them.
    pub fn entries(&self) -> Vec<(Value, Value)> {
        let pcrs = self.pcrs.iter().map(|(n, value)| (Value::Uint(*n), Value::Bytes(value.clone())));
        let bundle = self.chain.bundle.iter().map(|der| Value::Bytes(der.clone()));
        [
            ("module_id", Value::text(&self.module_id)),
            ("digest", Value::text("SHA384")),
            ("timestamp", Value::Uint(self.timestamp_ms)),
            ("pcrs", Value::Map(pcrs.collect())),
            ("certificate", Value::Bytes(self.chain.leaf.clone())),
            ("cabundle", Value::Array(bundle.collect())),
            ("public_key", Value::optional(self.public_key.as_deref())),
            ("user_data", Value::optional(self.user_data.as_deref())),
            ("nonce", Value::optional(self.nonce.as_deref())),
        ]
        .map(|(key, value)| (Value::text(key), value))
        .into()
    }

    /// The payload as modules write it since 2025: a map of indefinite length.
    pub fn to_bytes(&self) -> Vec<u8> {
        Value::IndefiniteMap(self.entries()).to_bytes()
    }
}

/// A COSE_Sign1 structure to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// A CBOR tag in front; Nitro writes none.
    pub tag: Option<u64>,
    /// Content of the protected header.
    pub protected: Vec<u8>,
    /// The unprotected header.
    pub unprotected: Value,
    /// Content of the payload.
    pub payload: Vec<u8>,
}

impl Document {
    /// Nitro's shape around `payload`.
    pub fn new(payload: Vec<u8>) -> Self {
        Self { tag: None, protected: PROTECTED_ES384.to_vec(), unprotected: Value::Map(vec![]), payload }
    }

    /// The document, signed with ECDSA on P-384 and SHA-384, whatever its header says.
    pub fn sign(&self, key: &SigningKey) -> Vec<u8> {
        let signed = Value::Array(vec![
            Value::text("Signature1"),
            Value::Bytes(self.protected.clone()),
            Value::Bytes(vec![]),
            Value::Bytes(self.payload.clone()),
        ]);
        let signature: Signature = key.sign(&signed.to_bytes());
        self.with_signature(&signature.to_bytes())
    }

    /// The document with these bytes where the signature belongs.
    pub fn with_signature(&self, signature: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(tag) = self.tag {
            head(&mut bytes, 6, tag);
        }
        let cose = Value::Array(vec![
            Value::Bytes(self.protected.clone()),
            self.unprotected.clone(),
            Value::Bytes(self.payload.clone()),
            Value::Bytes(signature.to_vec()),
        ]);
        bytes.extend(cose.to_bytes());
        bytes
    }
}
