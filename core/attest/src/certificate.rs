//! X.509 certificates (RFC 5280), as far as a Nitro chain uses them.
//!
//! The reader keeps the signed bytes as they came: a signature is checked over the original, never
//! over a re-encoding.

use crate::names::{self, common_name, object_identifier};
use crate::signature::{Key, Point, Signature};
use crate::{CertificateError, UnixMillis, excerpt};
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use caution_measure::Sha256Digest;
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, OctetStringRef, UintRef, UtcTime};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagMode, TagNumber};

/// What a certificate of a verified chain says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The subject's common name; empty when it has none, control characters replaced.
    pub common_name: String,
    /// First moment of validity.
    pub not_before: UnixMillis,
    /// Last moment of validity.
    pub not_after: UnixMillis,
    /// SHA-256 of the DER form.
    pub sha256: Sha256Digest,
}

/// A certificate whose structure is read and whose claims are not yet checked.
pub(crate) struct Certificate<'a> {
    /// SHA-256 of the DER form.
    pub(crate) sha256: Sha256Digest,
    signed: &'a [u8],
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    common_name: &'a [u8],
    pub(crate) not_before: UnixMillis,
    pub(crate) not_after: UnixMillis,
    key_algorithm: &'a [u8],
    key: &'a [u8],
    pub(crate) extensions: Extensions,
}

/// The extensions a path check looks at.
#[derive(Default)]
pub(crate) struct Extensions {
    pub(crate) is_ca: bool,
    /// How many CA certificates may stand between this one and the leaf.
    pub(crate) path_length: Option<u8>,
    pub(crate) may_sign_certificates: bool,
    pub(crate) may_sign_data: bool,
    /// The first critical extension that is none of the above.
    pub(crate) unknown_critical: Option<ObjectIdentifier>,
}

impl<'a> Certificate<'a> {
    /// Reads exactly one DER certificate of version 3.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, CertificateError> {
        let mut reader = SliceReader::new(der)?;
        let (signed, outer_algorithm, signature) = reader.sequence(|r| {
            let signed = r.tlv_bytes()?;
            let algorithm = r.tlv_bytes()?;
            Ok::<_, der::Error>((signed, algorithm, octets(r)?))
        })?;
        reader.finish()?;
        let certificate = SliceReader::new(signed)?.sequence(|r| Self::body(der, signed, signature, r))?;
        if certificate.signature_algorithm != outer_algorithm {
            let (inside, outside) =
                (names::algorithm(certificate.signature_algorithm), names::algorithm(outer_algorithm));
            return Err(CertificateError::AlgorithmsDiffer { inside, outside });
        }
        Ok(certificate)
    }

    fn body(
        der: &'a [u8],
        signed: &'a [u8],
        signature: &'a [u8],
        r: &mut SliceReader<'a>,
    ) -> Result<Self, CertificateError> {
        // Version 1 is the default and absent; extensions need version 3, which is encoded as 2.
        match r.context_specific::<u8>(TagNumber(0), TagMode::Explicit)?.unwrap_or(0) {
            2 => {}
            found => return Err(CertificateError::Version { found: found.saturating_add(1) }),
        }
        let serial = UintRef::decode(r)?.as_bytes();
        if serial == [0] {
            return Err(r.error(Tag::Integer.value_error()).into());
        }
        if serial.len() > MAX_SERIAL {
            return Err(CertificateError::Serial { found: excerpt::hex(serial) });
        }
        let signature_algorithm = r.tlv_bytes()?;
        let issuer = r.tlv_bytes()?;
        let (not_before, not_after) = r.sequence(|r| Ok::<_, der::Error>((time(r)?, time(r)?)))?;
        let subject = r.tlv_bytes()?;
        common_name(issuer)?;
        let common_name = common_name(subject)?.unwrap_or_default();
        let (key_algorithm, key) = r.sequence(|r| Ok::<_, der::Error>((r.tlv_bytes()?, octets(r)?)))?;
        let extensions = extensions(r)?;
        Ok(Self {
            sha256: Sha256Digest::of(der),
            signed,
            signature_algorithm,
            signature,
            issuer,
            subject,
            common_name,
            not_before,
            not_after,
            key_algorithm,
            key,
            extensions,
        })
    }

    /// The subject's P-384 key.
    pub(crate) fn public_key(&self) -> Result<Key, CertificateError> {
        if self.key_algorithm != EC_P384 {
            return Err(CertificateError::KeyAlgorithm { found: names::algorithm(self.key_algorithm) });
        }
        let point = <&Point>::try_from(self.key).ok();
        point.and_then(Key::new).ok_or(CertificateError::KeyPoint)
    }

    /// Whether it is signed with ECDSA and SHA-384; says nothing about the signature.
    pub(crate) fn check_algorithm(&self) -> Result<(), CertificateError> {
        if self.signature_algorithm == ECDSA_SHA384 {
            Ok(())
        } else {
            Err(CertificateError::SignatureAlgorithm { found: names::algorithm(self.signature_algorithm) })
        }
    }

    /// Whether `issuer`'s key signed it.
    pub(crate) fn check_signature(&self, issuer: &Key) -> Result<(), CertificateError> {
        match ecdsa_signature(self.signature) {
            Some(signature) if issuer.signed(self.signed, &signature) => Ok(()),
            _ => Err(CertificateError::Signature),
        }
    }

    pub(crate) fn summary(&self) -> CertificateSummary {
        let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        CertificateSummary {
            common_name: String::from_utf8_lossy(self.common_name).chars().map(printable).collect(),
            not_before: self.not_before,
            not_after: self.not_after,
            sha256: self.sha256,
        }
    }
}

/// `ECDSA-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }` (RFC 5480), strict DER.
pub(crate) fn ecdsa_signature(der: &[u8]) -> Option<Signature> {
    let mut reader = SliceReader::new(der).ok()?;
    let (r, s) = reader
        .sequence(|inner| Ok::<_, der::Error>((UintRef::decode(inner)?, UintRef::decode(inner)?)))
        .ok()?;
    reader.finish().ok()?;
    let mut signature = [0; 96];
    for (number, place) in [r, s].iter().zip(signature.chunks_exact_mut(48)) {
        let start = place.len().checked_sub(number.as_bytes().len())?;
        place[start..].copy_from_slice(number.as_bytes());
    }
    Some(signature)
}

/// A bit string of whole bytes.
fn octets<'a>(r: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    BitStringRef::decode(r)?.as_bytes().ok_or_else(|| r.error(Tag::BitString.value_error()))
}

fn time(r: &mut SliceReader<'_>) -> der::Result<UnixMillis> {
    let since_1970 = match Tag::peek(r)? {
        Tag::UtcTime => UtcTime::decode(r)?.to_unix_duration(),
        _ => GeneralizedTime::decode(r)?.to_unix_duration(),
    };
    Ok(UnixMillis::from_seconds(since_1970.as_secs()))
}

/// `extensions [3] EXPLICIT SEQUENCE OF Extension`, absent or last.
fn extensions(r: &mut SliceReader<'_>) -> Result<Extensions, CertificateError> {
    let mut found = Extensions::default();
    if r.is_finished() {
        return Ok(found);
    }
    let tag = r.peek_byte().unwrap_or_default();
    let wrapper = AnyRef::decode(r)?;
    if der::Tagged::tag(&wrapper) != (Tag::ContextSpecific { constructed: true, number: TagNumber(3) }) {
        return Err(CertificateError::UniqueIdentifier { tag });
    }
    let mut seen = Vec::new();
    let mut inside = SliceReader::new(wrapper.value())?;
    inside.sequence(|list| {
        while !list.is_finished() {
            let (id, critical, value) = list.sequence(|r| {
                let id = object_identifier(r)?;
                // DER: a value equal to its default (FALSE) is left out.
                let critical = true_or_absent(r)?;
                Ok::<_, der::Error>((id, critical, <&OctetStringRef>::decode(r)?.as_bytes()))
            })?;
            if seen.contains(&id) {
                return Err(CertificateError::DuplicateExtension { oid: id.to_string() });
            }
            seen.push(id);
            found.read(id, critical, value)?;
        }
        Ok(())
    })?;
    inside.finish()?;
    Ok(found)
}

impl Extensions {
    fn read(&mut self, id: ObjectIdentifier, critical: bool, value: &[u8]) -> der::Result<()> {
        let mut reader = SliceReader::new(value)?;
        match id {
            BASIC_CONSTRAINTS => {
                reader.sequence(|r| {
                    self.is_ca = true_or_absent(r)?;
                    self.path_length = if r.is_finished() { None } else { Some(u8::decode(r)?) };
                    Ok::<_, der::Error>(())
                })?;
                reader.finish()?;
            }
            KEY_USAGE => {
                let bits = BitStringRef::decode(&mut reader)?;
                let unused = (1_u8 << bits.unused_bits()) - 1;
                if bits.raw_bytes().last().is_some_and(|last| last & unused != 0) {
                    return Err(reader.error(Tag::BitString.non_canonical_error()));
                }
                // RFC 5280 section 4.2.1.3: digitalSignature is bit 0, keyCertSign bit 5.
                self.may_sign_data = bits.get(0).unwrap_or(false);
                self.may_sign_certificates = bits.get(5).unwrap_or(false);
                reader.finish()?;
            }
            other if critical && self.unknown_critical.is_none() => self.unknown_critical = Some(other),
            _ => {}
        }
        Ok(())
    }
}

/// `BOOLEAN DEFAULT FALSE` in DER.
fn true_or_absent(r: &mut SliceReader<'_>) -> der::Result<bool> {
    if r.is_finished() || Tag::peek(r)? != Tag::Boolean {
        return Ok(false);
    }
    if bool::decode(r)? { Ok(true) } else { Err(r.error(Tag::Boolean.non_canonical_error())) }
}

/// RFC 5280 section 4.1.2.2: at most 20 octets.
const MAX_SERIAL: usize = 20;

/// `AlgorithmIdentifier { ecdsa-with-SHA384 }`, RFC 5758.
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// `AlgorithmIdentifier { id-ecPublicKey, secp384r1 }`, RFC 5480.
const EC_P384: &[u8] = &[
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22,
];

const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
