//! What can be wrong with a signature, or with what one is made from.

use caution_measure::Pcr;

/// Why an image cannot be signed, or why its signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    // ── what a signature is made from ───────────────────────────────────────────────────────────
    /// A file is too long to be what it should be.
    #[error("the {file} has {found} bytes, the limit is {limit}")]
    TooLong {
        /// `key` or `certificate`.
        file: &'static str,
        /// Its length.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A file is not PEM.
    #[error(
        "the {file} is not PEM: text with `-----BEGIN …-----`, base64 and `-----END …-----`, each on lines of their own"
    )]
    Pem {
        /// `key` or `certificate`.
        file: &'static str,
    },
    /// What the PEM form holds is not what its label says.
    #[error("the {file} is PEM, but what it holds cannot be read")]
    Der {
        /// `key` or `certificate`.
        file: &'static str,
        /// Where and why.
        source: der::Error,
    },
    /// The key file holds no private key.
    #[error("the key file holds no private key")]
    NoKey,
    /// The key file holds several private keys.
    #[error("the key file holds more than one private key")]
    SeveralKeys,
    /// The key is protected by a passphrase.
    #[error("the key is encrypted with a passphrase, which is not supported")]
    KeyEncrypted,
    /// The key file holds something else.
    #[error("the key file holds `{found}`, and not a private key of the curve P-384")]
    KeyLabel {
        /// The label in the PEM form.
        found: String,
    },
    /// The key is of another kind.
    #[error("the key is of another kind ({found}), and not of the curve P-384 (secp384r1)")]
    KeyKind {
        /// Its algorithm or curve, an object identifier.
        found: String,
    },
    /// The key's number is none.
    #[error("the key's number, of {length} bytes, is not a private key of the curve P-384")]
    KeyNumber {
        /// Its length in bytes.
        length: usize,
    },
    /// The certificate file holds no certificate.
    #[error("the certificate file holds no certificate")]
    NoCertificate,
    /// The certificate file holds more than one certificate.
    #[error(
        "the certificate file holds {found} blocks, it must be one certificate: PCR8 measures one, and readers differ in which"
    )]
    SeveralCertificates {
        /// Blocks of any kind.
        found: usize,
    },
    /// The certificate's key is of another kind.
    #[error("the certificate's key is of another kind ({found}), and not of the curve P-384 (secp384r1)")]
    CertificateKind {
        /// Its algorithm or curve, an object identifier.
        found: String,
    },
    /// The certificate's key is not a point of the curve.
    #[error("the certificate's key is not a point of the curve P-384")]
    CertificatePoint,
    /// The certificate is another key's.
    #[error("the certificate is not for this key: it holds the public key of another one")]
    OtherKey,

    // ── what stands in an image ─────────────────────────────────────────────────────────────────
    /// The section is not what the AWS tools write.
    #[error(
        "the signature section is not a list of one certificate and one signature, as the AWS tools write it"
    )]
    Section,
    /// The signature is not COSE of the expected form.
    #[error("the signature is not a COSE_Sign1 structure of four parts")]
    Cose,
    /// It was made in another way.
    #[error("the signature's algorithm is not ES384 alone (protected header {}, not {})", hex(.found), hex(super::PROTECTED))]
    Algorithm {
        /// The protected header's bytes.
        found: Vec<u8>,
    },
    /// It vouches for something else.
    #[error("the signature vouches for something else than this image, whose PCR0 is {pcr0}")]
    OtherImage {
        /// What the image measures.
        pcr0: Pcr,
    },
    /// The certificate's key did not make it.
    #[error("the signature was not made with the certificate's key")]
    Signature,
}

impl SignatureError {
    /// What the user can do, most often a command.
    pub const fn fix(&self) -> Option<&'static str> {
        match self {
            Self::KeyEncrypted => Some("openssl pkcs8 -topk8 -nocrypt -in KEY -out PLAIN-KEY"),
            Self::NoKey | Self::KeyLabel { .. } | Self::KeyKind { .. } => {
                Some("openssl ecparam -name secp384r1 -genkey -noout -out KEY")
            }
            Self::NoCertificate | Self::CertificateKind { .. } | Self::OtherKey => {
                Some("openssl req -new -x509 -sha384 -key KEY -subj /CN=NAME -days 365 -out CERTIFICATE")
            }
            Self::SeveralCertificates { .. } => Some("keep the signing certificate alone, without its chain"),
            _ => None,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
