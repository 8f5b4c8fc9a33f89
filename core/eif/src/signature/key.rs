//! The private key: SEC 1 (RFC 5915) by itself or inside PKCS #8 (RFC 5958), as OpenSSL writes both.

use super::certificate::{P384, key_kind, whole};
use super::{SignatureError, pem};
use der::asn1::{ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, TagMode, TagNumber};
use p384::ecdsa::SigningKey;

/// Reads the one P-384 key of a PEM file.
pub(super) fn read(text: &[u8]) -> Result<SigningKey, SignatureError> {
    let mut found = None;
    for block in pem::blocks("key", text)? {
        let key = match block.label {
            // `openssl ecparam -genkey` names the curve once more before the key.
            "EC PARAMETERS" => continue,
            "ENCRYPTED PRIVATE KEY" => return Err(SignatureError::KeyEncrypted),
            _ if block.has_headers => return Err(SignatureError::KeyEncrypted),
            "PRIVATE KEY" => pkcs8(&block.content)?,
            "EC PRIVATE KEY" => sec1(&block.content, true)?,
            other => return Err(SignatureError::KeyLabel { found: other.to_owned() }),
        };
        if found.replace(key).is_some() {
            return Err(SignatureError::SeveralKeys);
        }
    }
    found.ok_or(SignatureError::NoKey)
}

/// `OneAsymmetricKey`; attributes and the public key, which may follow, are not looked at.
fn pkcs8(der: &[u8]) -> Result<SigningKey, SignatureError> {
    let (kind, key) = whole(der, |r| {
        u8::decode(r)?;
        let kind = key_kind(r)?;
        Ok((kind, <&OctetStringRef>::decode(r)?.as_bytes()))
    })
    .map_err(unreadable)?;
    kind.map_err(|found| SignatureError::KeyKind { found: found.to_string() })?;
    sec1(key, false)
}

/// `ECPrivateKey`, which must name its curve where nothing around it does.
fn sec1(der: &[u8], alone: bool) -> Result<SigningKey, SignatureError> {
    let (key, curve) = whole(der, |r| {
        u8::decode(r)?;
        let key = <&OctetStringRef>::decode(r)?.as_bytes();
        Ok((key, r.context_specific::<ObjectIdentifier>(TagNumber(0), TagMode::Explicit)?))
    })
    .map_err(unreadable)?;
    if curve.map_or(alone, |curve| curve != P384) {
        let found = curve.map_or_else(|| "a curve without a name".to_owned(), |curve| curve.to_string());
        return Err(SignatureError::KeyKind { found });
    }
    SigningKey::from_slice(key).map_err(|_| SignatureError::KeyNumber { length: key.len() })
}

fn unreadable(source: der::Error) -> SignatureError {
    SignatureError::Der { file: "key", source }
}
