//! Lists from elsewhere count only with a signature under a key that was known before.

use super::{KnownError, KnownReleases};
use p384::ecdsa::signature::Verifier as _;
use p384::ecdsa::{Signature, VerifyingKey};

/// Public keys that may sign lists; one that signed is enough.
#[derive(Debug, Clone)]
pub struct ListKeys(Vec<VerifyingKey>);

/// Why a list from elsewhere does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignedListError {
    /// The signature is none.
    #[error("The signature of the list of EnclaveOS releases is not an ECDSA signature of P-384 in DER.")]
    Malformed,
    /// None of the keys made it.
    #[error(
        "The list of EnclaveOS releases is not signed by a key that this program knows, or was changed afterwards."
    )]
    Untrusted,
    /// It is signed and no list.
    #[error(transparent)]
    List(#[from] KnownError),
}

impl SignedListError {
    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::List(error) => error.fix(),
            _ => Some("fetch the list and its .sig again, both, from where Caution is published".into()),
        }
    }
}

impl ListKeys {
    /// Keys as uncompressed points: `04`, x and y, 97 bytes each.
    ///
    /// # Errors
    /// The number of the first that is no point of P-384.
    pub fn new<'k>(points: impl IntoIterator<Item = &'k [u8]>) -> Result<Self, usize> {
        let keys = points.into_iter().enumerate();
        keys.map(|(number, point)| VerifyingKey::from_sec1_bytes(point).map_err(|_| number))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The list in `bytes`, if `signature` (ECDSA over SHA-384 of them, DER) is one of these keys'. Nothing of a list is read
    /// before that.
    pub fn open(&self, bytes: &[u8], signature: &[u8]) -> Result<KnownReleases, SignedListError> {
        let signature = Signature::from_der(signature).map_err(|_| SignedListError::Malformed)?;
        if !self.0.iter().any(|key| key.verify(bytes, &signature).is_ok()) {
            return Err(SignedListError::Untrusted);
        }
        Ok(KnownReleases::parse(bytes)?)
    }
}
