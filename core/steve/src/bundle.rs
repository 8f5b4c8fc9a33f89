//! The evidence of an epoch, as it travels.

use crate::cbor::{self, Message, NotThisShape, Writer};
use minicbor::Decoder;

/// The longest bundle that is read, in bytes.
pub const MAX_BUNDLE: usize = 32 * 1024;

/// What an enclave shows a client before the handshake. Nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The list of key configurations ([`crate::decode_key_configs`]).
    pub key_configs: Vec<u8>,
    /// The attestation document, COSE_Sign1, whose `user_data` are [`crate::EpochClaims`].
    pub document: Vec<u8>,
}

/// The first value of every [`Bundle`].
const LABEL: &str = "steve3";

impl Bundle {
    /// Its one form, deterministic CBOR.
    pub fn to_bytes(&self) -> Vec<u8> {
        Message::to_bytes(self)
    }

    /// The bundle whose one form these bytes are; nothing where they are none, or more than [`MAX_BUNDLE`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BUNDLE { None } else { Message::from_bytes(bytes).ok() }
    }
}

impl Message for Bundle {
    fn write(&self, to: &mut Writer<'_>) {
        to.map(3).uint(1).text(LABEL).uint(2).bytes(&self.key_configs).uint(3).bytes(&self.document);
    }

    fn read(from: &mut Decoder<'_>) -> Result<Self, NotThisShape> {
        cbor::map(from, 3)?;
        cbor::key(from, 1)?;
        if from.str()? != LABEL {
            return Err(NotThisShape);
        }
        cbor::key(from, 2)?;
        let key_configs = from.bytes()?.to_vec();
        cbor::key(from, 3)?;
        Ok(Self { key_configs, document: from.bytes()?.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_has_one_form() {
        let bundle = Bundle { key_configs: vec![1; 43], document: vec![2; 5000] };
        let bytes = bundle.to_bytes();
        assert_eq!(Bundle::from_bytes(&bytes), Some(bundle));
        for cut in 0..bytes.len() {
            assert_eq!(Bundle::from_bytes(&bytes[..cut]), None);
        }
        assert_eq!(Bundle::from_bytes(&[&bytes[..], b"\0"].concat()), None);
        assert_eq!(Bundle::from_bytes(&[b"\xbf", &bytes[1..], b"\xff"].concat()), None, "an open map");
        let long = Bundle { key_configs: vec![], document: vec![0; MAX_BUNDLE] };
        assert_eq!(Bundle::from_bytes(&long.to_bytes()), None);
    }
}
