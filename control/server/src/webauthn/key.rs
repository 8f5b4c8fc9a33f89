//! Keys of passkeys, as authenticators write them: COSE (RFC 9052 §7, RFC 9053 §7, RFC 8230 §4).

use super::WebauthnError;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use minicbor::Decoder;
use minicbor::data::Type;

/// A key, as it was given: it is read anew for each signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

/// The same, read.
#[derive(Debug, Default)]
struct Fields<'a> {
    kind: Option<i64>,
    algorithm: Option<i64>,
    curve: Option<i64>,
    /// Label -1 as bytes (modulus), -2 (x, or the exponent), -3 (y).
    bytes: [Option<&'a [u8]>; 3],
}

impl PublicKey {
    /// Takes a key of an algorithm that we offer.
    pub fn parse(cose: &[u8]) -> Result<Self, WebauthnError> {
        let key = Self(cose.to_vec());
        // Nobody's signature: a kind that is not taken is found now, not when somebody wants to sign in.
        match key.verify(&[], &[]) {
            Err(WebauthnError::Signature) => Ok(key),
            Err(error) => Err(error),
            Ok(()) => Err(WebauthnError::Key),
        }
    }

    /// As it was given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this key made the signature.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), WebauthnError> {
        let fields = Fields::read(&self.0).ok_or(WebauthnError::Malformed("key"))?;
        let bad = |_| WebauthnError::Signature;
        match (fields.kind, fields.algorithm, fields.curve, fields.bytes) {
            (Some(EC2), Some(ES256), Some(P256), [None, Some(x), Some(y)])
                if x.len() == 32 && y.len() == 32 =>
            {
                // SEC 1 §2.3.3, without compression; whether it is on the curve is looked at with the signature.
                let point = [&[4], x, y].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(signed, signature).map_err(bad)
            }
            (Some(OKP), Some(EDDSA), Some(CURVE_25519), [None, Some(x), None]) if x.len() == 32 => {
                UnparsedPublicKey::new(&ED25519, x).verify(signed, signature).map_err(bad)
            }
            (Some(RSA), Some(RS256), None, [Some(n), Some(e), None]) if (256..=1024).contains(&n.len()) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).map_err(bad)
            }
            _ => Err(WebauthnError::Key),
        }
    }
}

impl<'a> Fields<'a> {
    /// A map, whole, each label once.
    fn read(cose: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut decoder = Decoder::new(cose);
        let entries = decoder.map().ok()??;
        for _ in 0..entries {
            let twice = match (decoder.i64().ok()?, decoder.datatype().ok()?) {
                (1, _) => fields.kind.replace(decoder.i64().ok()?).is_some(),
                (3, _) => fields.algorithm.replace(decoder.i64().ok()?).is_some(),
                (-1, Type::U8) => fields.curve.replace(decoder.i64().ok()?).is_some(),
                (label @ -3..=-1, _) => {
                    let at = usize::try_from(-1 - label).ok()?;
                    fields.bytes[at].replace(decoder.bytes().ok()?).is_some()
                }
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        (decoder.position() == cose.len()).then_some(fields)
    }
}

/// What is offered, the best first (COSE's registry of algorithms).
pub const ALGORITHMS: [i64; 3] = [EDDSA, ES256, RS256];

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;
const OKP: i64 = 1;
const EC2: i64 = 2;
const RSA: i64 = 3;
const P256: i64 = 1;
const CURVE_25519: i64 = 6;
