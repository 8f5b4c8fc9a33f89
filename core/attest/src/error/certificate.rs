//! What can be wrong with a certificate.

use super::Blame;
use alloc::string::String;

/// Where in a document a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// `cabundle[n]`: 0 is the root.
    Bundle(u8),
    /// `certificate`, whose key signs the document.
    Leaf,
}

impl core::fmt::Display for Position {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Bundle(0) => f.write_str("the root certificate (cabundle[0])"),
            Self::Bundle(index) => write!(f, "the issuing certificate cabundle[{index}]"),
            Self::Leaf => f.write_str("the enclave's certificate"),
        }
    }
}

/// What is wrong with one certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not the DER form of a certificate.
    #[error("it is not valid DER (at byte {at} of the part being read)")]
    Der {
        /// Where reading stopped.
        at: u32,
    },
    /// Not X.509 version 3.
    #[error("it has X.509 version {found}, not 3")]
    Version {
        /// Its version.
        found: u8,
    },
    /// A serial number above 20 bytes.
    #[error("its serial number is longer than 20 bytes: {found}")]
    Serial {
        /// The number in hex: 64 bytes at most, and where it is longer how long it is.
        found: String,
    },
    /// The algorithm stated inside the signature is not the one stated outside.
    #[error(
        "it names two different signature algorithms, {inside} where it is signed and {outside} beside the signature"
    )]
    AlgorithmsDiffer {
        /// The algorithm that is signed: object identifiers, or hex of at most 64 bytes of what is none.
        inside: String,
        /// The one beside the signature, in the same form.
        outside: String,
    },
    /// A unique identifier, which RFC 5280 forbids, or something else that is not the extensions.
    #[error("it has a field that RFC 5280 forbids (a unique identifier, tag {tag:#04x})")]
    UniqueIdentifier {
        /// The first byte of the field's tag: 0x81 is an issuer's, 0x82 a subject's.
        tag: u8,
    },
    /// An extension stands in it twice.
    #[error("its extension {oid} stands in it twice")]
    DuplicateExtension {
        /// The extension's object identifier.
        oid: String,
    },
    /// Not signed with ECDSA and SHA-384.
    #[error("it is signed with {found}, not with ECDSA and SHA-384 (1.2.840.10045.4.3.3)")]
    SignatureAlgorithm {
        /// The algorithm and its parameters: object identifiers, or hex of at most 64 bytes of what is none.
        found: String,
    },
    /// Its key is not one on P-384.
    #[error(
        "its key is one of {found}, not an elliptic-curve key on P-384 (1.2.840.10045.2.1 with 1.3.132.0.34)"
    )]
    KeyAlgorithm {
        /// The algorithm and its parameters: object identifiers, or hex of at most 64 bytes of what is none.
        found: String,
    },
    /// Its key is not a point on the curve, in uncompressed form.
    #[error("its key is not an uncompressed point of P-384")]
    KeyPoint,
    /// An extension marked critical that no Nitro chain uses.
    #[error("it has the critical extension {oid}, which is not understood")]
    UnknownCriticalExtension {
        /// The extension's object identifier.
        oid: String,
    },
    /// It signs another certificate and is no certificate authority.
    #[error("it issued a certificate and is not a certificate authority")]
    NotCa,
    /// It signs another certificate and its key usage does not allow that.
    #[error("its key usage does not allow signing certificates")]
    NoCertSign,
    /// More certificate authorities follow than it allows.
    #[error("it allows {allowed} certificate authorities below it, {found} follow")]
    PathLength {
        /// Its path length constraint.
        allowed: u8,
        /// How many follow.
        found: u8,
    },
    /// The enclave's certificate is a certificate authority's.
    #[error("it is a certificate authority's")]
    LeafIsCa,
    /// The enclave's certificate may not sign data.
    #[error("its key usage does not allow signing documents")]
    NoDigitalSignature,
    /// Its issuer is not the subject of the certificate before it.
    #[error("its issuer is {found}, not the subject of the certificate before it, {expected}")]
    IssuerName {
        /// The issuer's common name in backticks, at most 64 characters and escaped. Where there is none, or both have
        /// the same, hex of at most 64 bytes of the name.
        found: String,
        /// The subject's in the same form.
        expected: String,
    },
    /// The certificate before it did not sign it.
    #[error("its signature is not by the certificate before it")]
    Signature,
}
names!(CertificateError: Der, Version, Serial, AlgorithmsDiffer, UniqueIdentifier, DuplicateExtension,
    SignatureAlgorithm, KeyAlgorithm, KeyPoint, UnknownCriticalExtension, NotCa, NoCertSign, PathLength,
    LeafIsCa, NoDigitalSignature, IssuerName, Signature);

impl CertificateError {
    pub(super) fn blame(&self) -> Blame {
        match self {
            Self::Der { .. }
            | Self::Version { .. }
            | Self::Serial { .. }
            | Self::AlgorithmsDiffer { .. }
            | Self::UniqueIdentifier { .. }
            | Self::DuplicateExtension { .. } => Blame::Malformed,
            _ => Blame::Untrusted,
        }
    }
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Der { at: error.position().map_or(0, u32::from) }
    }
}
