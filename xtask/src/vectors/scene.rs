//! The enclave that all vectors are about, and what its module would honestly sign.

use caution_devnsm::document::{Certificate, Chain, Document, Keys, Payload, Value, Window};
use p384::ecdsa::SigningKey;
use sha2::{Digest as _, Sha384};
use std::sync::OnceLock;

/// 2026-01-15T12:00:00Z, when every document is signed unless it says otherwise.
pub(crate) const NOON: u64 = 1_768_478_400;
/// The same in milliseconds.
pub(crate) const NOON_MS: u64 = NOON * 1000;
/// First and last second of the chain: noon is one hour into three.
pub(crate) const WINDOW: (u64, u64) = (NOON - 3600, NOON + 7200);
/// First and last second of the root.
const ROOT_WINDOW: (u64, u64) = (NOON - 100_000_000, NOON + 700_000_000);

/// What PCR0, PCR1 and PCR2 are.
pub(crate) const PCRS: [[u8; 48]; 3] = [[0xa0; 48], [0xa1; 48], [0xa2; 48]];
/// The challenge of vectors that have one.
pub(crate) const NONCE: [u8; 32] = [0x6e; 32];

/// Keys and times of the honest chain.
pub(crate) struct Scene {
    pub(crate) keys: Keys,
    pub(crate) window: Window,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let intermediates = ["region", "zone", "instance"].map(key).into();
        let keys = Keys { root: key("root"), intermediates, leaf: key("enclave") };
        Self { keys, window: Window { root: ROOT_WINDOW, others: WINDOW } }
    }

    /// The root's certificate.
    pub(crate) fn root(&self) -> Vec<u8> {
        self.chain_with(|_, _| {}).bundle.swap_remove(0)
    }

    /// The chain, with `adjust` applied to each certificate before it is signed.
    pub(crate) fn chain_with(&self, adjust: impl FnMut(usize, &mut Certificate)) -> Chain {
        Chain::issue_with(&self.keys, self.window, MODULE_ID, adjust)
    }

    /// What an honest module says at noon.
    pub(crate) fn payload(&self) -> Payload {
        payload_over(self.chain_with(|_, _| {}))
    }

    /// A payload of these bytes, in an honest structure with an honest signature.
    pub(crate) fn sign(&self, payload: Vec<u8>) -> Vec<u8> {
        Document::new(payload).sign(&self.keys.leaf)
    }

    /// The honest document except for what `change` does to what the module says.
    pub(crate) fn saying(&self, change: impl FnOnce(&mut Payload)) -> Vec<u8> {
        let mut payload = self.payload();
        change(&mut payload);
        self.sign(payload.to_bytes())
    }

    /// The honest document except for what `change` does to the payload's entries.
    pub(crate) fn entries(&self, change: impl FnOnce(&mut Vec<(Value, Value)>)) -> Vec<u8> {
        let mut entries = self.payload().entries();
        change(&mut entries);
        self.sign(Value::IndefiniteMap(entries).to_bytes())
    }

    /// The honest document with another value of one field.
    pub(crate) fn field(&self, name: &str, value: Value) -> Vec<u8> {
        self.entries(|entries| {
            let entry = entries.iter_mut().find(|(key, _)| *key == Value::text(name));
            entry.expect("every field stands in an honest payload").1 = value;
        })
    }

    /// The honest document over a chain with adjusted certificates.
    pub(crate) fn certified(&self, adjust: impl FnMut(usize, &mut Certificate)) -> Vec<u8> {
        self.sign(payload_over(self.chain_with(adjust)).to_bytes())
    }
}

/// What an honest module says at noon, over this chain.
pub(crate) fn payload_over(chain: Chain) -> Payload {
    let zero = [0u8; 48];
    let pcr = |n: u64| usize::try_from(n).ok().and_then(|n| PCRS.get(n)).unwrap_or(&zero).to_vec();
    Payload {
        module_id: MODULE_ID.to_owned(),
        timestamp_ms: NOON_MS,
        pcrs: (0..16).map(|n| (n, pcr(n))).collect(),
        chain,
        public_key: None,
        user_data: Some(b"caution".to_vec()),
        nonce: Some(NONCE.to_vec()),
    }
}

/// The honest chain's root: the only one trusted unless a vector says otherwise.
pub(crate) fn trusted_root() -> Vec<u8> {
    static ROOT: OnceLock<Vec<u8>> = OnceLock::new();
    ROOT.get_or_init(|| Scene::new().root()).clone()
}

/// The key of this name, the same in every run.
pub(crate) fn key(name: &str) -> SigningKey {
    let seed = Sha384::digest(format!("caution attestation vectors, published key: {name}"));
    SigningKey::from_slice(&seed).expect("these seeds are scalars of P-384")
}

const MODULE_ID: &str = "i-0123456789abcdef0-enc0123456789abcdef";
