//! HKDF-SHA256 (RFC 5869) and HPKE's labelled form of it (RFC 9180, section 4).

use aws_lc_rs::{digest, hkdf, hmac};
use zeroize::Zeroizing;

/// A secret of 32 bytes that leaves memory when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// SHA-256 of the parts in a row.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    array(context.finish().as_ref())
}

/// HKDF-Extract; `ikm` is the parts in a row.
pub(crate) fn extract(salt: &[u8], ikm: &[&[u8]]) -> Secret {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    for part in ikm {
        context.update(part);
    }
    Zeroizing::new(array(context.sign().as_ref()))
}

/// HKDF-Expand of a pseudorandom key; `info` is the parts in a row. At most 255 · 32 bytes.
pub(crate) fn expand<const N: usize>(prk: &[u8; 32], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = Zeroizing::new([0; N]);
    let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, prk);
    prk.expand(info, Length(N))
        .and_then(|okm| okm.fill(out.as_mut()))
        .expect("lengths here are constants below the limit of HKDF");
    out
}

/// Extract and expand in one: the only form that browsers have.
pub(crate) fn hkdf<const N: usize>(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    expand(&extract(salt, &[ikm]), info)
}

/// HPKE's labelled functions for one of its identifiers: `KEM…` or `HPKE…`.
pub(crate) struct Labelled<'a>(pub(crate) &'a [u8]);

impl Labelled<'_> {
    /// `LabeledExtract(salt, label, ikm)`.
    pub(crate) fn extract(&self, salt: &[u8], label: &str, ikm: &[u8]) -> Secret {
        extract(salt, &[b"HPKE-v1", self.0, label.as_bytes(), ikm])
    }

    /// `LabeledExpand(prk, label, info, N)`.
    pub(crate) fn expand<const N: usize>(
        &self,
        prk: &[u8; 32],
        label: &str,
        info: &[u8],
    ) -> Zeroizing<[u8; N]> {
        let length = u16::try_from(N).expect("a constant below 65536").to_be_bytes();
        expand(prk, &[&length, b"HPKE-v1", self.0, label.as_bytes(), info])
    }
}

/// The bytes of a slice whose length is known.
pub(crate) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("digests and keys have the length of their algorithm")
}
