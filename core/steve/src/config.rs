//! The attested key configuration, and the claims that bind it to evidence.

use crate::cbor::{self, Message, NotThisShape, Writer};
use crate::kdf::sha256;
use crate::suite::{AEAD_ID, KDF_ID, Suite};
use minicbor::Decoder;

/// The longest list of key configurations that is read, in bytes.
pub const MAX_KEY_CONFIGS: usize = 4096;
/// The most configurations in a list.
const MAX_CONFIGS: usize = 4;

/// A KEM key that an enclave offers for an epoch (`KeyConfig` of RFC 9458, section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyConfig {
    /// Which of the enclave's keys this is.
    pub key_id: u8,
    /// What it is for.
    pub suite: Suite,
    /// The public key, [`Suite::public_key_len`] bytes.
    pub public_key: Vec<u8>,
}

/// Seven bytes that name a key and its algorithms: the first of a hello.
pub(crate) type Header = [u8; 7];

impl KeyConfig {
    /// `key_id`, KEM, KDF and AEAD, as in the header of an RFC 9458 request.
    pub(crate) fn header(&self) -> Header {
        let mut header = [self.key_id, 0, 0, 0, 0, 0, 0];
        for (at, id) in [(1, self.suite.kem_id()), (3, KDF_ID), (5, AEAD_ID)] {
            header[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        header
    }
}

/// Why bytes are no list of key configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyConfigError {
    /// More bytes than any list.
    #[error("the list of key configurations has {0} bytes (at most {MAX_KEY_CONFIGS})")]
    TooLong(usize),
    /// A length that does not fit, or bytes after the last configuration.
    #[error("the list of key configurations is malformed at byte {0}")]
    Malformed(usize),
    /// None, or more than four.
    #[error("the list has {0} key configurations (1 to {MAX_CONFIGS})")]
    Count(usize),
    /// A KEM of neither suite, or another KDF or AEAD than the suites have.
    #[error("key configuration {0} is of no suite that is known")]
    UnknownSuite(usize),
    /// Two configurations with one key id.
    #[error("two key configurations have the id {0}")]
    DuplicateId(u8),
}

/// `application/ohttp-keys` (RFC 9458, section 3): each configuration after its length.
pub fn encode_key_configs(configs: &[KeyConfig]) -> Vec<u8> {
    let mut list = Vec::new();
    for config in configs {
        let length = 1 + 2 + config.public_key.len() + 2 + 4;
        list.extend_from_slice(&u16::try_from(length).expect("keys have 1216 bytes at most").to_be_bytes());
        list.push(config.key_id);
        list.extend_from_slice(&config.suite.kem_id().to_be_bytes());
        list.extend_from_slice(&config.public_key);
        list.extend_from_slice(&4_u16.to_be_bytes());
        list.extend_from_slice(&KDF_ID.to_be_bytes());
        list.extend_from_slice(&AEAD_ID.to_be_bytes());
    }
    list
}

/// Reads what [`encode_key_configs`] writes.
pub fn decode_key_configs(list: &[u8]) -> Result<Vec<KeyConfig>, KeyConfigError> {
    if list.len() > MAX_KEY_CONFIGS {
        return Err(KeyConfigError::TooLong(list.len()));
    }
    let mut configs: Vec<KeyConfig> = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let malformed = KeyConfigError::Malformed(list.len() - rest.len());
        let (length, after) = rest.split_first_chunk::<2>().ok_or(malformed)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (config, after) = after.split_at_checked(length).ok_or(malformed)?;
        rest = after;
        let (head, body) = config.split_first_chunk::<3>().ok_or(malformed)?;
        let unknown = KeyConfigError::UnknownSuite(configs.len());
        let suite = Suite::from_kem_id(u16::from_be_bytes([head[1], head[2]])).ok_or(unknown)?;
        let (public_key, symmetric) = body.split_at_checked(suite.public_key_len()).ok_or(malformed)?;
        if symmetric.len() != 6 || symmetric[..2] != 4_u16.to_be_bytes() {
            return Err(malformed);
        }
        if symmetric[2..] != [KDF_ID.to_be_bytes(), AEAD_ID.to_be_bytes()].concat() {
            return Err(unknown);
        }
        if configs.iter().any(|other| other.key_id == head[0]) {
            return Err(KeyConfigError::DuplicateId(head[0]));
        }
        if configs.len() == MAX_CONFIGS {
            return Err(KeyConfigError::Count(MAX_CONFIGS + 1));
        }
        configs.push(KeyConfig { key_id: head[0], suite, public_key: public_key.to_vec() });
    }
    if configs.is_empty() { Err(KeyConfigError::Count(0)) } else { Ok(configs) }
}

/// SHA-256 of an encoded list.
pub fn key_configs_hash(list: &[u8]) -> [u8; 32] {
    sha256(&[list])
}

/// What an enclave says of its epoch key in the `user_data` of an attestation document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochClaims {
    /// SHA-256 of the list of key configurations.
    pub key_configs_hash: [u8; 32],
    /// Which running enclave this is: random bytes made at boot.
    pub instance: [u8; 16],
    /// From when the key may be used, milliseconds since 1970.
    pub not_before_ms: u64,
    /// Until when, milliseconds since 1970.
    pub not_after_ms: u64,
    /// SHA-256 of the manifest.
    pub manifest_hash: [u8; 32],
    /// SHA-256 of the outer TLS certificate's public key, where TLS ends inside the enclave.
    pub tls_key_hash: Option<[u8; 32]>,
    /// What the deployment allows.
    pub flags: Flags,
}

/// What a deployment allows, attested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// Requests that are not encrypted are let through to the app.
    pub plaintext_fallback: bool,
    /// A page's bootstrap files are served without encryption.
    pub public_assets: bool,
}

impl Flags {
    const PLAINTEXT_FALLBACK: u64 = 1;
    const PUBLIC_ASSETS: u64 = 2;

    const fn bits(self) -> u64 {
        (if self.plaintext_fallback { Self::PLAINTEXT_FALLBACK } else { 0 })
            | (if self.public_assets { Self::PUBLIC_ASSETS } else { 0 })
    }

    const fn from_bits(bits: u64) -> Result<Self, NotThisShape> {
        if bits & !(Self::PLAINTEXT_FALLBACK | Self::PUBLIC_ASSETS) != 0 {
            return Err(NotThisShape);
        }
        Ok(Self {
            plaintext_fallback: bits & Self::PLAINTEXT_FALLBACK != 0,
            public_assets: bits & Self::PUBLIC_ASSETS != 0,
        })
    }
}

/// The first value of every [`EpochClaims`], so that they are nothing else's.
const CLAIMS_LABEL: &str = "steve3-evidence";

impl EpochClaims {
    /// The one form of these claims, deterministic CBOR of at most 196 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        Message::to_bytes(self)
    }

    /// The claims whose one form these bytes are; nothing where they are no claims.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Message::from_bytes(bytes).ok()
    }
}

impl Message for EpochClaims {
    fn write(&self, to: &mut Writer<'_>) {
        to.map(if self.tls_key_hash.is_some() { 8 } else { 7 });
        to.uint(1).text(CLAIMS_LABEL).uint(2).bytes(&self.key_configs_hash).uint(3).bytes(&self.instance);
        to.uint(4).uint(self.not_before_ms).uint(5).uint(self.not_after_ms);
        to.uint(6).bytes(&self.manifest_hash);
        if let Some(hash) = &self.tls_key_hash {
            to.uint(7).bytes(hash);
        }
        to.uint(8).uint(self.flags.bits());
    }

    fn read(from: &mut Decoder<'_>) -> Result<Self, NotThisShape> {
        let with_tls = match from.map()? {
            Some(7) => false,
            Some(8) => true,
            _ => return Err(NotThisShape),
        };
        cbor::key(from, 1)?;
        if from.str()? != CLAIMS_LABEL {
            return Err(NotThisShape);
        }
        cbor::key(from, 2)?;
        let key_configs_hash = cbor::bytes(from)?;
        cbor::key(from, 3)?;
        let instance = cbor::bytes(from)?;
        cbor::key(from, 4)?;
        let not_before_ms = from.u64()?;
        cbor::key(from, 5)?;
        let not_after_ms = from.u64()?;
        cbor::key(from, 6)?;
        let manifest_hash = cbor::bytes(from)?;
        let tls_key_hash = if with_tls {
            cbor::key(from, 7)?;
            Some(cbor::bytes(from)?)
        } else {
            None
        };
        cbor::key(from, 8)?;
        let flags = Flags::from_bits(from.u64()?)?;
        Ok(Self {
            key_configs_hash,
            instance,
            not_before_ms,
            not_after_ms,
            manifest_hash,
            tls_key_hash,
            flags,
        })
    }
}
