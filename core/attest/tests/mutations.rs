//! Nothing of a document can be changed unnoticed, and no bytes bring the reader down.

mod common;

use caution_attest::{
    Archived, DebugPolicy, Evidence, Expected, Intermediates, Roots, UnixMillis, VerifyError,
};

/// A real document of 2025, in debug mode or not, and a time at which it verifies.
struct Original {
    bytes: Vec<u8>,
    at: UnixMillis,
    /// Those of this document, checked before.
    intermediates: Intermediates,
}

impl Original {
    fn load() -> Option<Self> {
        let path = common::outside_vectors()?.join("nitro/valid/20250809T204558Z-2792d481.cose");
        let bytes = std::fs::read(path).expect("the index names files that exist");
        let mut original =
            Self { bytes, at: UnixMillis(1_754_772_358_546), intermediates: Intermediates::new(8) };
        let mut intermediates = Intermediates::new(8);
        assert_eq!(original.verdict(&original.bytes, &mut intermediates), Ok(()));
        original.intermediates = intermediates;
        Some(original)
    }

    fn verdict(&self, bytes: &[u8], known: &mut Intermediates) -> Result<(), VerifyError> {
        let archived = Archived { at: Some(self.at), nonce: None };
        let expected = Expected { debug: DebugPolicy::Allow, ..Expected::default() };
        known.verify_archived(Evidence::parse(bytes)?, &Roots::aws(), &archived, &expected).map(drop)
    }

    /// Flips one bit and insists on a refusal.
    fn flip(&self, bytes: &mut [u8], bit: usize) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let cold = self.verdict(bytes, &mut Intermediates::new(0));
        assert!(cold.is_err(), "bit {bit} of the document can be flipped");
        assert_eq!(self.verdict(bytes, &mut self.intermediates.clone()), cold, "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn flipped_bits_are_noticed() {
    let Some(original) = Original::load() else { return };
    let mut bytes = original.bytes.clone();
    let bits = bytes.len() * 8;
    // The whole structure in front, then a bit here and there, then the signature's end.
    for bit in (0..24 * 8).chain((24 * 8..bits).step_by(509)).chain(bits - 4..bits) {
        original.flip(&mut bytes, bit);
    }
}

/// `cargo test --release -p caution-attest -- --ignored`
#[test]
#[ignore = "35,000 verifications: minutes"]
fn every_flipped_bit_is_noticed() {
    let Some(original) = Original::load() else { return };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let original = &original;
            scope.spawn(move || {
                let mut bytes = original.bytes.clone();
                for bit in (first..bytes.len() * 8).step_by(threads) {
                    original.flip(&mut bytes, bit);
                }
            });
        }
    });
}

#[test]
fn no_bytes_bring_the_reader_down() {
    let Some(original) = Original::load() else { return };
    for length in 0..original.bytes.len() {
        assert!(Evidence::parse(&original.bytes[..length]).is_err());
    }
    // xorshift64: the same mutations in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or(0)
    };
    let mut read = 0;
    for _ in 0..20_000 {
        let mut bytes = original.bytes.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            match random(3) {
                0 => bytes[at] = u8::try_from(random(256)).unwrap_or(0),
                1 => drop(bytes.splice(at..at, [0xff, 0x5b])),
                _ => bytes.truncate(at.max(1)),
            }
        }
        read += usize::from(Evidence::parse(&bytes).is_ok());
    }
    assert!(read > 0, "some mutations keep the structure");
}
