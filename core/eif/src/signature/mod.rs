//! The signature section: who answers for an image, and the register that names them.
//!
//! ```text
//! section    = [{"signing_certificate": PEM file, "signature": COSE_Sign1}]
//! COSE_Sign1 = [{1: -35}, {}, payload, ECDSA P-384 with SHA-384]
//! payload    = {"register_index": 0, "register_value": PCR0}
//! PCR8       = extend(0, SHA-384 of the certificate's DER form)
//! ```
//!
//! Outside of COSE's own byte strings bytes are arrays of numbers: so the AWS tools write them. The
//! signature is deterministic (RFC 6979), so the same parts and the same key give the same file.

mod certificate;
mod error;
mod key;
mod pem;

pub use error::SignatureError;

use caution_measure::{Pcr, PcrHasher};
use minicbor::{Decoder, Encoder};
use p384::ecdsa::signature::{Signer as _, Verifier as _};
use p384::ecdsa::{Signature, SigningKey, VerifyingKey};

/// Whoever answers for an image: what is known of a signing certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningCertificate {
    /// The register that names it.
    pub pcr8: Pcr,
    /// First second of its validity, since 1970.
    pub valid_from: u64,
    /// Last second of its validity, since 1970.
    pub valid_until: u64,
}

/// A private key and its certificate. Dropping it wipes the key from memory.
pub struct Signer {
    key: SigningKey,
    /// The certificate's file, which stands in the image as it is.
    pem: Vec<u8>,
    certificate: SigningCertificate,
}

impl Signer {
    /// The longest file read, in bytes.
    pub const MAX_FILE: usize = pem::MAX_FILE;

    /// A signer from the bytes of two PEM files: a P-384 key (PKCS #8 or SEC 1) and one X.509
    /// certificate for it.
    ///
    /// Whether the certificate is valid now is for the caller to see: here is no clock, and an image's
    /// bytes must not depend on the day they are made.
    ///
    /// # Errors
    /// A [`SignatureError`] that names the file and what is wrong with it.
    pub fn from_pem(key: &[u8], certificate: &[u8]) -> Result<Self, SignatureError> {
        let key = key::read(key)?;
        let (public, known) = certificate::read(certificate)?;
        if *key.verifying_key() != public {
            return Err(SignatureError::OtherKey);
        }
        Ok(Self { key, pem: certificate.to_vec(), certificate: known })
    }

    /// What is known of the certificate.
    pub const fn certificate(&self) -> SigningCertificate {
        self.certificate
    }

    /// The content of the signature section of an image with this PCR0.
    pub(crate) fn section(&self, pcr0: &Pcr) -> Vec<u8> {
        let payload = payload(pcr0);
        let signature: Signature = self.key.sign(&to_be_signed(&payload));
        let cose = encoded(|e| {
            e.array(4)?.bytes(PROTECTED)?.map(0)?.bytes(&payload)?.bytes(&signature.to_bytes())?;
            Ok(())
        });
        section(&self.pem, &cose)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Whose signature the content of a signature section is, when it is one over this PCR0.
///
/// It says who answers for the image, not whether that is anyone to rely on.
pub(crate) fn verify(content: &[u8], pcr0: &Pcr) -> Result<SigningCertificate, SignatureError> {
    let (pem, cose) = read_section(content)?;
    let (key, certificate) = certificate::read(&pem)?;
    check_cose(&cose, pcr0, &key)?;
    Ok(certificate)
}

/// The register of the certificate in a signature section; nothing else in it is looked at.
pub(crate) fn pcr8_unverified(content: &[u8]) -> Result<Pcr, SignatureError> {
    let (pem, _cose) = read_section(content)?;
    Ok(pcr8(&certificate::der(&pem)?))
}

fn check_cose(cose: &[u8], pcr0: &Pcr, key: &VerifyingKey) -> Result<(), SignatureError> {
    let mut decoder = Decoder::new(cose);
    let mut parts = || {
        let four = decoder.array()? == Some(4);
        let protected = decoder.bytes()?;
        let nothing = decoder.map()? == Some(0);
        let (payload, signature) = (decoder.bytes()?, decoder.bytes()?);
        let whole = four && nothing && decoder.position() == cose.len();
        Ok::<_, minicbor::decode::Error>(whole.then_some((protected, payload, signature)))
    };
    let (protected, signed, signature) = parts().ok().flatten().ok_or(SignatureError::Cose)?;
    if protected != PROTECTED {
        return Err(SignatureError::Algorithm { found: protected.to_vec() });
    }
    if signed != payload(pcr0) {
        return Err(SignatureError::OtherImage { pcr0: *pcr0 });
    }
    let signature = Signature::from_slice(signature).map_err(|_| SignatureError::Signature)?;
    key.verify(&to_be_signed(signed), &signature).map_err(|_| SignatureError::Signature)
}

/// The register of a certificate.
fn pcr8(der: &[u8]) -> Pcr {
    let mut pcr8 = PcrHasher::new();
    pcr8.update(der);
    pcr8.finish()
}

fn payload(pcr0: &Pcr) -> Vec<u8> {
    encoded(|e| {
        e.map(2)?.str("register_index")?.u8(0)?.str("register_value")?;
        numbers(e, pcr0.as_bytes())
    })
}

/// `Sig_structure` (RFC 9052 section 4.4).
fn to_be_signed(payload: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.array(4)?.str("Signature1")?.bytes(PROTECTED)?.bytes(&[])?.bytes(payload)?;
        Ok(())
    })
}

fn section(pem: &[u8], cose: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.array(1)?.map(2)?.str("signing_certificate")?;
        numbers(e, pem)?;
        e.str("signature")?;
        numbers(e, cose)
    })
}

/// Certificate file and `COSE_Sign1` of a section.
fn read_section(content: &[u8]) -> Result<(Vec<u8>, Vec<u8>), SignatureError> {
    let mut decoder = Decoder::new(content);
    let mut parts = || {
        decoder.array()?;
        decoder.map()?;
        decoder.str()?;
        let pem = read_numbers(&mut decoder)?;
        decoder.str()?;
        Ok::<_, minicbor::decode::Error>((pem, read_numbers(&mut decoder)?))
    };
    let (pem, cose) = parts().map_err(|_| SignatureError::Section)?;
    // One form only, the one we write: shortest numbers, nothing more in a map, nothing behind it.
    if section(&pem, &cose) == content { Ok((pem, cose)) } else { Err(SignatureError::Section) }
}

type Encoding = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// What `write` writes; into memory, so it cannot fail.
fn encoded(write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Encoder::new(&mut out)).expect("memory takes what is written");
    out
}

fn numbers(e: &mut Encoder<&mut Vec<u8>>, bytes: &[u8]) -> Encoding {
    e.array(bytes.len() as u64)?;
    bytes.iter().try_for_each(|byte| e.u8(*byte).map(drop))
}

/// Grows with what is there, whatever length is announced.
fn read_numbers(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, minicbor::decode::Error> {
    decoder.array_iter::<u8>()?.collect()
}

/// `{1: -35}`: the algorithm is ES384.
const PROTECTED: &[u8] = &[0xa1, 0x01, 0x38, 0x22];
