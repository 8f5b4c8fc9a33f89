//! The keys of a stream, and their ratchet.

use crate::hpke::aead_key;
use crate::kdf::{Secret, expand, extract};
use aws_lc_rs::aead::{LessSafeKey, Nonce};
use zeroize::Zeroizing;

/// After how many chunks the key changes.
pub(super) const RATCHET_INTERVAL: u64 = 1 << 20;

/// The keys of one direction of one exchange.
pub(crate) struct Block {
    th: [u8; 32],
    key: LessSafeKey,
    iv: Zeroizing<[u8; 12]>,
    following: Zeroizing<[u8; 32]>,
    counter: u64,
    interval: u64,
}

impl Block {
    /// Of what was extracted with `th`.
    pub(crate) fn new(th: [u8; 32], extracted: &Secret, info: &[&[u8]]) -> Self {
        let block = expand::<76>(extracted, info);
        let mut iv = Zeroizing::new([0; 12]);
        iv.copy_from_slice(&block[32..44]);
        let mut following = Zeroizing::new([0; 32]);
        following.copy_from_slice(&block[44..]);
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(&block[..32]);
        Self { th, key: aead_key(&key), iv, following, counter: 0, interval: RATCHET_INTERVAL }
    }

    /// Does `f` with the key and the nonce of the next chunk.
    pub(super) fn next<T>(&mut self, f: impl FnOnce(&LessSafeKey, Nonce) -> T) -> T {
        let nonce = self.nonce();
        f(&self.key, nonce)
    }

    /// The nonce of the next chunk; the key changes when its chunks are used up.
    fn nonce(&mut self) -> Nonce {
        if self.counter == self.interval {
            let interval = self.interval;
            *self = Self::new(self.th, &extract(&self.th, &[&self.following[..]]), &[b"steve3 ku"]);
            self.interval = interval;
        }
        let mut nonce = *self.iv;
        for (byte, counted) in nonce[4..].iter_mut().zip(self.counter.to_be_bytes()) {
            *byte ^= counted;
        }
        self.counter += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    /// A key that changes sooner, so that a test can see it.
    #[cfg(test)]
    pub(super) fn set_interval(&mut self, interval: u64) {
        self.interval = interval;
    }
}
