//! Key encapsulation: X25519 as HPKE does it, and X-Wing. Randomness is an argument.

use crate::kdf::{Labelled, Secret, array};
use crate::suite::Suite;
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use ml_kem::{Decapsulate as _, KeyExport as _};
use sha3::Digest as _;
use shake::Shake256;
use shake::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use zeroize::Zeroizing;

/// Bytes of ML-KEM-768 in front of those of X25519.
const ML_KEM_PUBLIC_KEY: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;
/// `\./` over `/^\` (X-Wing, section 5.3).
const X_WING_LABEL: &[u8] = b"\\.//^\\";

/// A key or an encapsulation that no honest side makes: wrong length, a value outside its field, or
/// a point whose shared secret is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the {0} is none of this suite")]
pub struct InvalidKey(pub(crate) &'static str);

/// A private key, made from a seed of 32 random bytes.
pub(crate) struct SecretKey {
    halves: Halves,
    public: Vec<u8>,
}

enum Halves {
    X25519(PrivateKey),
    XWing { ml_kem: Box<DecapsulationKey>, x25519: PrivateKey },
}

impl SecretKey {
    /// The key of a seed: X25519's private scalar itself; X-Wing's 32 bytes (section 5.2).
    pub(crate) fn from_seed(suite: Suite, seed: &[u8; 32]) -> Self {
        match suite {
            Suite::X25519 => {
                let private = x25519(seed);
                let public = x25519_public(&private).to_vec();
                Self { halves: Halves::X25519(private), public }
            }
            Suite::XWing => {
                let mut expanded = Zeroizing::new([0; 96]);
                Shake256::default().chain(seed).finalize_xof().read(expanded.as_mut());
                let ml_kem = Box::new(DecapsulationKey::from_seed(array::<64>(&expanded[..64]).into()));
                let x25519 = x25519(&Zeroizing::new(array(&expanded[64..])));
                let public = [&ml_kem.encapsulation_key().to_bytes()[..], &x25519_public(&x25519)].concat();
                Self { halves: Halves::XWing { ml_kem, x25519 }, public }
            }
        }
    }

    /// The public key, [`Suite::public_key_len`] bytes.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The shared secret of what a sender encapsulated to this key.
    pub(crate) fn decapsulate(&self, encapsulated: &[u8]) -> Result<Secret, InvalidKey> {
        match &self.halves {
            Halves::X25519(private) => {
                let shared = agree(private, encapsulated, "encapsulated key")?;
                Ok(dhkem(&shared, encapsulated, &self.public))
            }
            Halves::XWing { ml_kem, x25519 } => {
                if encapsulated.len() != Suite::XWing.encapsulated_len() {
                    return Err(InvalidKey("encapsulated key"));
                }
                let (ct_m, ct_x) = encapsulated.split_at(ML_KEM_CIPHERTEXT);
                let ct_m = Ciphertext::try_from(ct_m).map_err(|_| InvalidKey("encapsulated key"))?;
                let shared_m = Zeroizing::new(array::<32>(&ml_kem.decapsulate(&ct_m)));
                let shared_x = agree(x25519, ct_x, "encapsulated key")?;
                Ok(x_wing(&shared_m, &shared_x, ct_x, &self.public[ML_KEM_PUBLIC_KEY..]))
            }
        }
    }
}

/// Encapsulates to a public key: the shared secret, and what its owner needs to have it, too.
///
/// X25519 uses the first 32 bytes of `random` as its ephemeral private key; X-Wing uses them for
/// ML-KEM and the others for X25519 (section 5.4, `EncapsulateDerand`).
pub(crate) fn encapsulate(
    suite: Suite,
    public: &[u8],
    random: &[u8; 64],
) -> Result<(Secret, Vec<u8>), InvalidKey> {
    if public.len() != suite.public_key_len() {
        return Err(InvalidKey("public key"));
    }
    match suite {
        Suite::X25519 => {
            let ephemeral = x25519(&Zeroizing::new(array(&random[..32])));
            let encapsulated = x25519_public(&ephemeral);
            let shared = agree(&ephemeral, public, "public key")?;
            Ok((dhkem(&shared, &encapsulated, public), encapsulated.to_vec()))
        }
        Suite::XWing => {
            let (pk_m, pk_x) = public.split_at(ML_KEM_PUBLIC_KEY);
            let pk_m = pk_m.try_into().map_err(|_| InvalidKey("public key"))?;
            // Refuses coefficients outside the field (FIPS 203, section 7.2).
            let pk_m = EncapsulationKey::new(pk_m).map_err(|_| InvalidKey("public key"))?;
            let (ct_m, shared_m) = pk_m.encapsulate_deterministic(&array::<32>(&random[..32]).into());
            let shared_m = Zeroizing::new(array::<32>(&shared_m));
            let ephemeral = x25519(&Zeroizing::new(array(&random[32..])));
            let ct_x = x25519_public(&ephemeral);
            let shared_x = agree(&ephemeral, pk_x, "public key")?;
            let shared = x_wing(&shared_m, &shared_x, &ct_x, pk_x);
            Ok((shared, [&ct_m[..], &ct_x].concat()))
        }
    }
}

/// `ExtractAndExpand` of DHKEM (RFC 9180, section 4.1).
fn dhkem(shared: &[u8; 32], encapsulated: &[u8], public: &[u8]) -> Secret {
    let kem = [&b"KEM"[..], &Suite::X25519.kem_id().to_be_bytes()].concat();
    let labelled = Labelled(&kem);
    let prk = labelled.extract(b"", "eae_prk", shared);
    labelled.expand(&prk, "shared_secret", &[encapsulated, public].concat())
}

/// X-Wing's combiner (section 5.3).
fn x_wing(shared_m: &[u8; 32], shared_x: &[u8; 32], ct_x: &[u8], pk_x: &[u8]) -> Secret {
    let mut hash = sha3::Sha3_256::new();
    for part in [&shared_m[..], shared_x, ct_x, pk_x, X_WING_LABEL] {
        sha3::Digest::update(&mut hash, part);
    }
    Zeroizing::new(array(&hash.finalize()))
}

pub(crate) fn x25519(scalar: &[u8; 32]) -> PrivateKey {
    PrivateKey::from_private_key(&X25519, scalar).expect("any 32 bytes are a private key of X25519")
}

pub(crate) fn x25519_public(private: &PrivateKey) -> [u8; 32] {
    array(private.compute_public_key().expect("every private key of X25519 has a public one").as_ref())
}

/// X25519; refuses points that give zero (RFC 7748, section 6.1), as AWS-LC does.
pub(crate) fn agree(private: &PrivateKey, peer: &[u8], what: &'static str) -> Result<Secret, InvalidKey> {
    agreement::agree(private, UnparsedPublicKey::new(&X25519, peer), InvalidKey(what), |shared| {
        Ok(Zeroizing::new(array(shared)))
    })
}
