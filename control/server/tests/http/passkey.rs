//! An authenticator made of software, and a browser around it: what they say, and what liars say.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use caution_measure::Sha256Digest;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

/// A passkey of somebody. Its fields are for liars to change.
pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    pub(crate) id: Vec<u8>,
    pub(crate) origin: String,
    pub(crate) site: String,
    /// User present and verified.
    pub(crate) flags: u8,
    pub(crate) count: u32,
}

impl Authenticator {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            id: id.as_bytes().to_vec(),
            origin: "https://caution.test".to_owned(),
            site: "caution.test".to_owned(),
            flags: 0b101,
            count: 0,
        }
    }

    /// Makes its passkey.
    pub(crate) fn made(&self, challenge: &Value) -> Value {
        let mut data = self.data(self.flags | 0b100_0000);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(cose(self.key.public_key().as_ref()));
        json!({
            "client_data": encode(self.client_data("webauthn.create", challenge).as_bytes()),
            "authenticator_data": encode(&data),
        })
    }

    /// Uses it.
    pub(crate) fn shown(&self, challenge: &Value) -> Value {
        let client_data = self.client_data("webauthn.get", challenge);
        let data = self.data(self.flags);
        let mut signed = data.clone();
        signed.extend(Sha256Digest::of(client_data.as_bytes()).as_bytes());
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "credential": encode(&self.id),
            "client_data": encode(client_data.as_bytes()),
            "authenticator_data": encode(&data),
            "signature": encode(signature.as_ref()),
        })
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> String {
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let mut data = Sha256Digest::of(self.site.as_bytes()).as_bytes().to_vec();
        data.push(flags);
        data.extend(self.count.to_be_bytes());
        data
    }
}

/// {1: 2, 3: -7, -1: 1, -2: x, -3: y}
fn cose(point: &[u8]) -> Vec<u8> {
    let mut key = vec![0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32];
    key.extend(&point[1..33]);
    key.extend([0x22, 0x58, 32]);
    key.extend(&point[33..65]);
    key
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}
