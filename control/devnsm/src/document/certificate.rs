//! X.509 certificates (RFC 5280) of the kind Nitro's chain has.

use super::der::{bit_string, oid, sequence, tlv, unsigned};
use ::der::Encode as _;
use ::der::asn1::{GeneralizedTime, UtcTime};
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};
use std::time::Duration;

/// A certificate to be signed. All parts in DER where they are bytes.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The encoded version: 2 means version 3.
    pub version: u8,
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
    /// The issuer's [`name`].
    pub issuer: Vec<u8>,
    /// The subject's [`name`].
    pub subject: Vec<u8>,
    /// First second of validity, since 1970.
    pub not_before: u64,
    /// Last second of validity, since 1970.
    pub not_after: u64,
    /// The subject's [`spki`].
    pub key: Vec<u8>,
    /// Elements between key and extensions: none in a valid certificate.
    pub before_extensions: Vec<u8>,
    /// The extensions, in this order.
    pub extensions: Vec<Extension>,
    /// The `AlgorithmIdentifier` inside the signed part.
    pub inner_algorithm: Vec<u8>,
    /// The `AlgorithmIdentifier` outside of it.
    pub outer_algorithm: Vec<u8>,
}

/// An extension of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Content bytes of its object identifier.
    pub oid: Vec<u8>,
    /// Whether who does not understand it must refuse the certificate.
    pub critical: bool,
    /// Its value in DER.
    pub value: Vec<u8>,
}

impl Extension {
    /// `basicConstraints`, critical.
    pub fn basic_constraints(is_ca: bool, path_length: Option<u8>) -> Self {
        let ca: &[u8] = if is_ca { &[0x01, 0x01, 0xff] } else { &[] };
        let path_length = path_length.map(|length| unsigned(&[length])).unwrap_or_default();
        Self { oid: vec![0x55, 0x1d, 0x13], critical: true, value: sequence(&[ca, &path_length]) }
    }

    /// `keyUsage`, critical; see [`key_usage`].
    pub fn key_usage(bits: u8) -> Self {
        let unused = u8::try_from(bits.trailing_zeros().min(7)).expect("at most 7");
        let content: &[u8] = if bits == 0 { &[0] } else { &[unused, bits] };
        Self { oid: vec![0x55, 0x1d, 0x0f], critical: true, value: tlv(0x03, &[content]) }
    }
}

/// Bits of `keyUsage`, first bit highest (RFC 5280 section 4.2.1.3).
pub mod key_usage {
    /// May sign data other than certificates.
    pub const DIGITAL_SIGNATURE: u8 = 0x80;
    /// May sign certificates.
    pub const KEY_CERT_SIGN: u8 = 0x04;
    /// May sign revocation lists.
    pub const CRL_SIGN: u8 = 0x02;
}

impl Certificate {
    /// A certificate authority's, as in Nitro's chain. Issuer and subject are the same; see
    /// [`super::Chain`] for how they are linked.
    pub fn authority(common_name: &str, key: &VerifyingKey, path_length: Option<u8>) -> Self {
        use key_usage::{CRL_SIGN, DIGITAL_SIGNATURE, KEY_CERT_SIGN};
        let usage = Extension::key_usage(DIGITAL_SIGNATURE | KEY_CERT_SIGN | CRL_SIGN);
        Self::with(common_name, key, vec![Extension::basic_constraints(true, path_length), usage])
    }

    /// An enclave's, as in Nitro's chain.
    pub fn leaf(common_name: &str, key: &VerifyingKey) -> Self {
        let usage = Extension::key_usage(key_usage::DIGITAL_SIGNATURE);
        Self::with(common_name, key, vec![Extension::basic_constraints(false, None), usage])
    }

    fn with(common_name: &str, key: &VerifyingKey, extensions: Vec<Extension>) -> Self {
        use sha2::Digest as _;
        let key = spki(key);
        // 15 bytes of a hash: positive whatever the first, unique per key.
        let serial = sha2::Sha256::digest(&key)[..15].to_vec();
        Self {
            version: 2,
            serial,
            issuer: name(common_name),
            subject: name(common_name),
            not_before: 0,
            not_after: 0,
            key,
            before_extensions: Vec::new(),
            extensions,
            inner_algorithm: ECDSA_SHA384.to_vec(),
            outer_algorithm: ECDSA_SHA384.to_vec(),
        }
    }

    /// The DER certificate, signed by `issuer` with ECDSA and SHA-384, whatever it says.
    pub fn sign(&self, issuer: &SigningKey) -> Vec<u8> {
        let signed = self.to_be_signed();
        let signature: Signature = issuer.sign(&signed);
        let (r, s) = signature.split_bytes();
        let signature = sequence(&[&unsigned(&r), &unsigned(&s)]);
        sequence(&[&signed, &self.outer_algorithm, &bit_string(&signature)])
    }

    fn to_be_signed(&self) -> Vec<u8> {
        let version = tlv(0xa0, &[&unsigned(&[self.version])]);
        let validity = sequence(&[&time(self.not_before), &time(self.not_after)]);
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::to_der).collect();
        let extensions = match extensions.as_slice() {
            [] => Vec::new(),
            some => tlv(0xa3, &[&sequence(&[some])]),
        };
        sequence(&[
            // Version 1 is the default and left out.
            if self.version == 0 { &[] } else { &version },
            &unsigned(&self.serial),
            &self.inner_algorithm,
            &self.issuer,
            &validity,
            &self.subject,
            &self.key,
            &self.before_extensions,
            &extensions,
        ])
    }
}

impl Extension {
    fn to_der(&self) -> Vec<u8> {
        let critical: &[u8] = if self.critical { &[0x01, 0x01, 0xff] } else { &[] };
        sequence(&[&oid(&self.oid), critical, &tlv(0x04, &[&self.value])])
    }
}

/// A distinguished name: an organisation that says what this is, and the common name, cut to the 64
/// bytes that X.520 allows.
pub fn name(common_name: &str) -> Vec<u8> {
    let end = (0..=common_name.len().min(64)).rev().find(|end| common_name.is_char_boundary(*end));
    let common_name = &common_name[..end.unwrap_or(0)];
    let attribute =
        |id: &[u8], text: &str| tlv(0x31, &[&sequence(&[&oid(id), &tlv(0x0c, &[text.as_bytes()])])]);
    sequence(&[
        // organizationalUnitName, commonName (X.520).
        &attribute(&[0x55, 0x04, 0x0b], "DEVELOPMENT, not hardware"),
        &attribute(&[0x55, 0x04, 0x03], common_name),
    ])
}

/// `SubjectPublicKeyInfo` of a P-384 key, uncompressed.
pub fn spki(key: &VerifyingKey) -> Vec<u8> {
    sequence(&[EC_P384, &bit_string(key.to_sec1_point(false).as_bytes())])
}

/// `UTCTime` to the end of 2049, `GeneralizedTime` after (RFC 5280 section 4.1.2.5).
fn time(seconds: u64) -> Vec<u8> {
    let since_1970 = Duration::from_secs(seconds);
    UtcTime::from_unix_duration(since_1970)
        .and_then(|time| time.to_der())
        .or_else(|_| GeneralizedTime::from_unix_duration(since_1970).and_then(|time| time.to_der()))
        .expect("certificates are issued before the year 10000")
}

/// `AlgorithmIdentifier { ecdsa-with-SHA384 }`, RFC 5758.
const ECDSA_SHA384: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// `AlgorithmIdentifier { id-ecPublicKey, secp384r1 }`, RFC 5480.
const EC_P384: &[u8] = &[
    0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00,
    0x22,
];
