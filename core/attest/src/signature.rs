//! ECDSA on P-384 with SHA-384, the only signatures of Nitro evidence, by one of two libraries.
//!
//! `p384` is pure Rust and the default. The feature `aws-lc` takes AWS-LC instead: C and assembler, about four times as
//! fast. Both are asked in the same form, and tests put the same questions to both.

#[cfg(feature = "aws-lc")]
pub(crate) use with_aws_lc::Key;
#[cfg(not(feature = "aws-lc"))]
pub(crate) use with_p384::Key;

/// r and s, 48 bytes each, big-endian; not known to be in range.
pub(crate) type Signature = [u8; 96];
/// An uncompressed point (SEC 1): 0x04, x, y; not known to be on the curve.
pub(crate) type Point = [u8; 97];

#[cfg(any(test, not(feature = "aws-lc")))]
mod with_p384 {
    use super::{Point, Signature};
    use p384::ecdsa::VerifyingKey;
    use p384::ecdsa::signature::Verifier as _;

    /// A point of the curve.
    pub(crate) struct Key(VerifyingKey);

    impl Key {
        /// `None` when the point is not on the curve.
        pub(crate) fn new(point: &Point) -> Option<Self> {
            // Another first byte would announce another form.
            (point[0] == 4).then(|| VerifyingKey::from_sec1_bytes(point).ok().map(Self))?
        }

        /// Whether it signed `message`.
        pub(crate) fn signed(&self, message: &[u8], signature: &Signature) -> bool {
            let signature = p384::ecdsa::Signature::from_slice(signature);
            signature.is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
        }
    }
}

#[cfg(feature = "aws-lc")]
mod with_aws_lc {
    use super::{Point, Signature};
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, ParsedPublicKey};

    /// A point of the curve.
    pub(crate) struct Key(ParsedPublicKey);

    impl Key {
        /// `None` when the point is not on the curve.
        pub(crate) fn new(point: &Point) -> Option<Self> {
            // Another first byte would announce another form.
            (point[0] == 4).then(|| ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).ok().map(Self))?
        }

        /// Whether it signed `message`.
        pub(crate) fn signed(&self, message: &[u8], signature: &Signature) -> bool {
            self.0.verify_sig(message, signature).is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::ecdsa_signature;
    use serde_json::Value;

    /// What each library that is built in says: `None` of a point that is not on the curve.
    fn answers(point: &Point, message: &[u8], signature: &Signature) -> Vec<Option<bool>> {
        vec![
            with_p384::Key::new(point).map(|key| key.signed(message, signature)),
            #[cfg(feature = "aws-lc")]
            with_aws_lc::Key::new(point).map(|key| key.signed(message, signature)),
        ]
    }

    fn all_say(expected: Option<bool>, point: &Point, message: &[u8], signature: &Signature) {
        let answers = answers(point, message, signature);
        assert!(answers.iter().all(|answer| *answer == expected), "{answers:?}, expected {expected:?}");
    }

    fn wycheproof() -> Option<Value> {
        #[expect(clippy::disallowed_methods, reason = "tests are told where the outside vectors are")]
        let folder = std::env::var("CAUTION_VECTORS")
            .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors").to_owned());
        let path = format!("{folder}/misc/wycheproof/ecdsa_secp384r1_sha384_test.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("SKIPPED: NO OUTSIDE VECTORS AT {path}; SIGNATURES WERE NOT TESTED");
            return None;
        };
        Some(serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn wycheproofs_signatures_verify_or_do_not_as_it_says() {
        let Some(suite) = wycheproof() else { return };
        let hex = |value: &Value| data_encoding::HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
        let mut checked = 0;
        for group in suite["testGroups"].as_array().unwrap() {
            let point = hex(&group["publicKey"]["uncompressed"]).try_into().unwrap();
            for test in group["tests"].as_array().unwrap() {
                let message = hex(&test["msg"]);
                let answers = ecdsa_signature(&hex(&test["sig"])).map(|s| answers(&point, &message, &s));
                let holds = answers.unwrap_or_else(|| vec![Some(false)]);
                assert!(holds.iter().all(|one| *one == Some(test["result"] == "valid")), "{holds:?}: {test}");
                checked += 1;
            }
        }
        assert!(checked > 400, "{checked}");
    }

    #[test]
    fn signatures_and_points_at_the_edge_of_their_range_are_refused() {
        use p384::ecdsa::signature::Signer as _;
        let signer = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
        let point: Point = signer.verifying_key().to_sec1_point(false).as_bytes().try_into().unwrap();
        let made: p384::ecdsa::Signature = signer.sign(b"message");
        let right: Signature = made.to_bytes().as_slice().try_into().unwrap();
        all_say(Some(true), &point, b"message", &right);
        all_say(Some(false), &point, b"massage", &right);

        // Zero, the group's order (SEC 2, secp384r1), and more than it, in the place of r or of s.
        let order = data_encoding::HEXLOWER
            .decode(b"ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973")
            .unwrap();
        for wrong in [vec![0; 48], order, vec![0xff; 48]] {
            for place in [0..48, 48..96] {
                let mut signature = right;
                signature[place].copy_from_slice(&wrong);
                all_say(Some(false), &point, b"message", &signature);
            }
        }
        // The other valid signature of the same content (specs/attestation.md).
        let other =
            p384::ecdsa::Signature::from_scalars(made.r().to_bytes(), (-*made.s()).to_bytes()).unwrap();
        all_say(Some(true), &point, b"message", &other.to_bytes().as_slice().try_into().unwrap());

        // Beside the curve, coordinates out of range, and other forms.
        let beside = |at: usize, value: u8| -> Point {
            std::array::from_fn(|i| if i == at { value } else { point[i] })
        };
        for wrong in
            [beside(96, point[96] ^ 1), beside(0, 0), beside(0, 2), beside(0, 6), [0xff; 97], [4; 97]]
        {
            all_say(None, &wrong, b"message", &right);
        }
        let out_of_range: Point = std::array::from_fn(|i| if i == 0 { 4 } else { 0xff });
        all_say(None, &out_of_range, b"message", &right);
    }
}
