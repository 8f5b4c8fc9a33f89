//! Every refusal, by name. `specs/attestation.md` lists them; each has a vector or a test.

use crate::UnixMillis;
use crate::excerpt::Hex;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use caution_measure::{Pcr, PcrIndex, Sha256Digest};

/// Gives an error its variants' names as data. The match is exhaustive, so no variant is forgotten.
macro_rules! names {
    ($error:ident: $($variant:ident),* $(; $($wrapper:ident => $inner:ty),* $(,)?)?) => {
        impl $error {
            /// The names of all refusals of this kind, in the order in which they are checked.
            /// Refusals that wrap another carry that one's name and are not repeated here.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($variant)),*];

            /// The stable name of this refusal, as in `specs/attestation.md`.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => stringify!($variant),)*
                    $($(Self::$wrapper { cause, .. } => cause.name(),)*)?
                }
            }
        }
    };
}

mod certificate;
mod malformed;

pub use certificate::{CertificateError, Position};
pub use malformed::Malformed;

/// Who is to blame for a refusal, which decides what a user can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The bytes: they are no attestation document.
    Malformed,
    /// The signer: nobody we trust vouches for it.
    Untrusted,
    /// Time: it is authentic and no answer to this question now.
    Stale,
    /// The content: it is authentic, fresh and about something else.
    Mismatch,
    /// The enclave runs in debug mode and proves nothing.
    Debug,
    /// The caller: the question makes no sense.
    Misuse,
}

impl core::fmt::Display for Blame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Untrusted => "untrusted",
            Self::Stale => "stale",
            Self::Mismatch => "mismatch",
            Self::Debug => "debug",
            Self::Misuse => "misuse",
        })
    }
}

/// One register that is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{register} is {}, expected {expected}", .actual.map_or_else(|| "absent".to_owned(), |pcr| pcr.to_string()))]
pub struct Mismatch {
    /// The register.
    pub register: PcrIndex,
    /// What it should be.
    pub expected: Pcr,
    /// What it is; `None` when the document does not have it.
    pub actual: Option<Pcr>,
}

/// All registers that are not what they should be; at least one, in order of the expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatches(pub(crate) Vec<Mismatch>);

impl Mismatches {
    /// The registers.
    pub fn iter(&self) -> impl Iterator<Item = &Mismatch> {
        self.0.iter()
    }
}

impl core::fmt::Display for Mismatches {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (index, mismatch) in self.0.iter().enumerate() {
            write!(f, "{}{mismatch}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl core::error::Error for Mismatches {}

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// An expected register is all zero, which a debug enclave would satisfy.
    #[error("the expected value of {register} is zero, which only a debug enclave has")]
    ZeroExpectation {
        /// The register.
        register: PcrIndex,
    },
    /// The challenge is empty, so that it challenges nothing.
    #[error("an empty nonce challenges nothing")]
    EmptyNonce,
    /// It is no document.
    #[error("{cause}")]
    Malformed {
        /// What is wrong with it.
        #[from]
        cause: Malformed,
    },
    /// QEMU's `nitro-enclave` machine made it: no algorithm in the header and 64 zero bytes for a signature.
    #[error("QEMU's nitro-enclave machine made this document and did not sign it, so it proves nothing")]
    UnsignedQemuDocument,
    /// The protected header is not that of ES384.
    #[error("the protected header is {}, not that of ES384 (a1013822)", Hex(.found))]
    ProtectedHeader {
        /// The header, at most 64 bytes.
        found: Vec<u8>,
    },
    /// The signature has not 96 bytes.
    #[error("the signature is {found} bytes long, one of ES384 has 96")]
    SignatureLength {
        /// Its length in bytes.
        found: usize,
    },
    /// The chain starts at a root nobody here trusts.
    #[error("the chain starts at a root that is not trusted (SHA-256 {sha256})")]
    UnknownRoot {
        /// The fingerprint of `cabundle[0]`.
        sha256: Sha256Digest,
    },
    /// A certificate is malformed or not entitled to its place.
    #[error("{position} is refused: {cause}")]
    Certificate {
        /// Which one.
        position: Position,
        /// What is wrong with it.
        cause: CertificateError,
    },
    /// The enclave's certificate did not sign the document.
    #[error("the document's signature is not by the enclave's certificate")]
    DocumentSignature,
    /// A certificate is not valid yet.
    #[error("{position} is valid from {from}, and the time of checking is {at}")]
    NotYetValid {
        /// Which one.
        position: Position,
        /// Its first moment.
        from: UnixMillis,
        /// The time of checking.
        at: UnixMillis,
    },
    /// A certificate is no longer valid.
    #[error("{position} expired at {until}, and the time of checking is {at}")]
    Expired {
        /// Which one.
        position: Position,
        /// Its last moment.
        until: UnixMillis,
        /// The time of checking.
        at: UnixMillis,
    },
    /// `digest` is not `SHA384`.
    #[error("the digest is `{}`, not `SHA384`", .found.escape_default())]
    Digest {
        /// The digest's name, at most 32 bytes.
        found: String,
    },
    /// `module_id` is empty.
    #[error("the module identifier is empty")]
    EmptyModuleId,
    /// The document's time lies outside the validity of the certificate that signs it.
    #[error("the document says {timestamp}, outside the validity of its certificate ({from} to {until})")]
    TimestampOutsideLeaf {
        /// The document's time.
        timestamp: UnixMillis,
        /// The certificate's first moment.
        from: UnixMillis,
        /// The certificate's last moment.
        until: UnixMillis,
    },
    /// PCR0, PCR1 or PCR2 is absent.
    #[error("the document lacks {register}")]
    MissingPcr {
        /// The register.
        register: PcrIndex,
    },
    /// The document's time is more than five minutes after the time of checking.
    #[error("the document says {timestamp}, which is after the time of checking, {at}")]
    FromTheFuture {
        /// The document's time.
        timestamp: UnixMillis,
        /// The time of checking.
        at: UnixMillis,
    },
    /// The document answers no challenge.
    #[error("the document carries no nonce, so it may be a replay")]
    NonceMissing,
    /// The document answers another challenge.
    #[error("the document carries the nonce {found}, not ours ({expected}), so it may be a replay")]
    NonceMismatch {
        /// Our challenge in hex: 64 bytes at most, and where it is longer how long it is.
        expected: String,
        /// The document's in the same form.
        found: String,
    },
    /// The document is older than the policy allows.
    #[error("the document is {age_ms} ms old, at most {limit_ms} are accepted")]
    TooOld {
        /// Its age in milliseconds.
        age_ms: u64,
        /// The policy's limit in milliseconds.
        limit_ms: u64,
    },
    /// PCR0, PCR1 and PCR2 are all zero: a debug enclave.
    #[error("the enclave runs in debug mode: its registers are zero and its console is open to its host")]
    DebugMode,
    /// Some of PCR0, PCR1 and PCR2 are zero and some are not, which no enclave has.
    #[error("{register} is zero and others of PCR0 to PCR2 are not, which no enclave shows")]
    PartlyZero {
        /// The first that is zero.
        register: PcrIndex,
    },
    /// Registers are not what they should be.
    #[error("{}{registers}", if *.profiles > 1 { format!("it is none of the {profiles} pinned images; closest: ") } else { String::new() })]
    PcrMismatch {
        /// Which, what they are and what they should be; of several images those of the closest.
        registers: Mismatches,
        /// How many images were expected; 0 where it is one of them, or where any may be.
        profiles: usize,
    },
}
names!(VerifyError: ZeroExpectation, EmptyNonce, UnsignedQemuDocument, ProtectedHeader, SignatureLength,
    UnknownRoot, DocumentSignature, NotYetValid, Expired, Digest, EmptyModuleId, TimestampOutsideLeaf,
    MissingPcr, FromTheFuture, NonceMissing, NonceMismatch, TooOld, DebugMode, PartlyZero, PcrMismatch;
    Malformed => Malformed, Certificate => CertificateError);

impl VerifyError {
    /// Who is to blame.
    pub fn kind(&self) -> Blame {
        match self {
            Self::ZeroExpectation { .. } | Self::EmptyNonce => Blame::Misuse,
            Self::Malformed { .. }
            | Self::SignatureLength { .. }
            | Self::Digest { .. }
            | Self::EmptyModuleId
            | Self::MissingPcr { .. } => Blame::Malformed,
            Self::Certificate { cause, .. } => cause.blame(),
            Self::UnsignedQemuDocument
            | Self::ProtectedHeader { .. }
            | Self::UnknownRoot { .. }
            | Self::DocumentSignature => Blame::Untrusted,
            Self::NotYetValid { .. }
            | Self::Expired { .. }
            | Self::TimestampOutsideLeaf { .. }
            | Self::FromTheFuture { .. }
            | Self::NonceMissing
            | Self::NonceMismatch { .. }
            | Self::TooOld { .. } => Blame::Stale,
            Self::DebugMode | Self::PartlyZero { .. } => Blame::Debug,
            Self::PcrMismatch { .. } => Blame::Mismatch,
        }
    }
}

/// Why a root cannot be trusted: it is no certificate at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The list of roots is empty.
    #[error("no root is given")]
    NoRoots,
    /// An entry is not a DER certificate.
    #[error("root number {} is not a DER certificate: {cause}", .index + 1)]
    Certificate {
        /// Zero-based position in the list.
        index: usize,
        /// What is wrong with it.
        cause: CertificateError,
    },
}
