//! HPKE's base mode (RFC 9180) as far as STEVE needs it: one message, and exports.

use crate::kdf::{Labelled, Secret};
use crate::kem::{InvalidKey, SecretKey, encapsulate};
use crate::suite::{AEAD_ID, KDF_ID, Suite};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// What AES-256-GCM adds to a message, in bytes.
pub(crate) const TAG: usize = 16;

/// Both sides' context after encapsulation.
pub(crate) struct Context {
    suite_id: [u8; 10],
    key: LessSafeKey,
    base_nonce: Zeroizing<[u8; 12]>,
    exporter: Secret,
}

/// `SetupBaseS`: the context, and what the receiver needs.
pub(crate) fn sender(
    suite: Suite,
    public: &[u8],
    info: &[u8],
    random: &[u8; 64],
) -> Result<(Context, Vec<u8>), InvalidKey> {
    let (shared, encapsulated) = encapsulate(suite, public, random)?;
    Ok((Context::new(suite, &shared, info), encapsulated))
}

/// `SetupBaseR`.
pub(crate) fn receiver(
    suite: Suite,
    secret: &SecretKey,
    encapsulated: &[u8],
    info: &[u8],
) -> Result<Context, InvalidKey> {
    Ok(Context::new(suite, &secret.decapsulate(encapsulated)?, info))
}

impl Context {
    /// `KeySchedule` with mode 0 and no pre-shared key (section 5.1).
    fn new(suite: Suite, shared: &Secret, info: &[u8]) -> Self {
        let mut suite_id = *b"HPKE\0\0\0\0\0\0";
        for (at, id) in [(4, suite.kem_id()), (6, KDF_ID), (8, AEAD_ID)] {
            suite_id[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
        let labelled = Labelled(&suite_id);
        let psk_id_hash = labelled.extract(b"", "psk_id_hash", b"");
        let info_hash = labelled.extract(b"", "info_hash", info);
        let context = [&[0][..], &*psk_id_hash, &*info_hash].concat();
        let secret = labelled.extract(&shared[..], "secret", b"");
        let key = labelled.expand::<32>(&secret, "key", &context);
        let base_nonce = labelled.expand(&secret, "base_nonce", &context);
        let exporter = labelled.expand(&secret, "exp", &context);
        Self { suite_id, key: aead_key(&key), base_nonce, exporter }
    }

    /// Seals the only message of this context.
    pub(crate) fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(plaintext.len() + TAG);
        sealed.extend_from_slice(plaintext);
        self.key
            .seal_in_place_append_tag(self.nonce(), Aad::from(aad), &mut sealed)
            .expect("messages here are far below the limit of AES-GCM");
        sealed
    }

    /// Opens the only message of this context; nothing where it was not sealed with it.
    pub(crate) fn open(&self, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut plaintext = sealed.to_vec();
        let length = self.key.open_in_place(self.nonce(), Aad::from(aad), &mut plaintext).ok()?.len();
        plaintext.truncate(length);
        Some(plaintext)
    }

    /// `Export(exporter_context, 32)`.
    pub(crate) fn export(&self, context: &[u8]) -> Secret {
        Labelled(&self.suite_id).expand(&self.exporter, "sec", context)
    }

    fn nonce(&self) -> Nonce {
        // Sequence number 0: the base nonce itself.
        Nonce::assume_unique_for_key(*self.base_nonce)
    }
}

/// A key of AES-256-GCM.
pub(crate) fn aead_key(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("a key of 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};

    const INFO: &[u8] = b"information";

    fn random(seed: u8) -> [u8; 64] {
        std::array::from_fn(|at| seed.wrapping_mul(31).wrapping_add(u8::try_from(at).unwrap()))
    }

    /// What we seal, another implementation opens; what it seals, we open; exports are the same.
    fn agrees_with<Kem: ::hpke::Kem>(suite: Suite) {
        type Aead = ::hpke::aead::AesGcm256;
        type Kdf = ::hpke::kdf::HkdfSha256;
        let exported = |context: &::hpke::aead::AeadCtxR<Aead, Kdf, Kem>| {
            let mut secret = [0; 32];
            context.export(b"exported", &mut secret).unwrap();
            secret
        };

        let (secret, public) = Kem::gen_keypair();
        let (ours, enc) = sender(suite, &public.to_bytes(), INFO, &random(1)).unwrap();
        assert_eq!(enc.len(), suite.encapsulated_len());
        let enc = Kem::EncappedKey::from_bytes(&enc).unwrap();
        let mut theirs =
            ::hpke::setup_receiver::<Aead, Kdf, Kem>(&OpModeR::Base, &secret, &enc, INFO).unwrap();
        assert_eq!(theirs.open(&ours.seal(b"aad", b"secret"), b"aad").unwrap(), b"secret");
        assert_eq!(exported(&theirs), *ours.export(b"exported"));

        let secret = SecretKey::from_seed(suite, &random(2)[..32].try_into().unwrap());
        let public = Kem::PublicKey::from_bytes(secret.public()).unwrap();
        let (enc, mut theirs) =
            ::hpke::setup_sender::<Aead, Kdf, Kem>(&OpModeS::Base, &public, INFO).unwrap();
        let ours = receiver(suite, &secret, &enc.to_bytes(), INFO).unwrap();
        assert_eq!(ours.open(b"aad", &theirs.seal(b"secret", b"aad").unwrap()).unwrap(), b"secret");
        assert_eq!(ours.open(b"other", &theirs.seal(b"secret", b"aad").unwrap()), None);
    }

    #[test]
    fn another_implementation_agrees() {
        agrees_with::<::hpke::kem::X25519HkdfSha256>(Suite::X25519);
        agrees_with::<::hpke::kem::XWing>(Suite::XWing);
    }

    #[test]
    fn keys_that_no_honest_side_makes_are_refused() {
        for suite in Suite::ALL {
            let secret = SecretKey::from_seed(suite, &[7; 32]);
            let (_, enc) = encapsulate(suite, secret.public(), &random(3)).unwrap();
            for wrong in [&enc[1..], &[&enc[..], &[0]].concat(), &[]] {
                assert_eq!(secret.decapsulate(wrong).err(), Some(InvalidKey("encapsulated key")));
            }
            // The point zero, whose shared secret is zero whoever holds the key.
            let mut zero = enc.clone();
            zero[suite.encapsulated_len() - 32..].fill(0);
            assert_eq!(secret.decapsulate(&zero).err(), Some(InvalidKey("encapsulated key")));
            let mut zero = secret.public().to_vec();
            zero[suite.public_key_len() - 32..].fill(0);
            assert_eq!(encapsulate(suite, &zero, &random(3)).err(), Some(InvalidKey("public key")));
        }
        // A coefficient outside ML-KEM's field.
        let mut outside = SecretKey::from_seed(Suite::XWing, &[7; 32]).public().to_vec();
        outside[..3].fill(0xff);
        assert_eq!(encapsulate(Suite::XWing, &outside, &random(3)).err(), Some(InvalidKey("public key")));
    }

    #[test]
    fn ml_kem_rejects_implicitly() {
        let secret = SecretKey::from_seed(Suite::XWing, &[9; 32]);
        let (shared, mut enc) = encapsulate(Suite::XWing, secret.public(), &random(4)).unwrap();
        assert_eq!(*secret.decapsulate(&enc).unwrap(), *shared);
        enc[0] ^= 1;
        assert_ne!(*secret.decapsulate(&enc).unwrap(), *shared);
    }
}
