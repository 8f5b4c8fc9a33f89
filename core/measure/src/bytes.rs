//! Fixed-size byte strings with a hex edge.

use subtle::ConstantTimeEq as _;

/// Why a text is not the hex form of a fixed-size value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HexError {
    /// The text has another length than the value.
    #[error("expected {expected} hex digits, found {found}")]
    Length {
        /// Digits the value needs.
        expected: usize,
        /// Characters given.
        found: usize,
    },
    /// A character is not a hex digit.
    #[error("`{found}` at position {position} is not a hex digit")]
    Digit {
        /// The character.
        found: char,
        /// Its zero-based position, in characters.
        position: usize,
    },
}

/// Decodes exactly `N` bytes from `2·N` hex digits of either case.
pub(crate) fn decode_hex<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    if let Some((position, found)) = text.chars().enumerate().find(|(_, c)| !c.is_ascii_hexdigit()) {
        return Err(HexError::Digit { found, position });
    }
    let length = HexError::Length { expected: 2 * N, found: text.len() };
    if text.len() != 2 * N {
        return Err(length);
    }
    let mut out = [0u8; N];
    data_encoding::HEXLOWER_PERMISSIVE.decode_mut(text.as_bytes(), &mut out).map_err(|_| length)?;
    Ok(out)
}

/// Gives a byte-array newtype its hex `Display`, `Debug`, `FromStr` and serde forms.
macro_rules! hex_newtype {
    ($name:ident, $len:literal) => {
        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl core::str::FromStr for $name {
            type Err = $crate::bytes::HexError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::bytes::decode_hex(text).map(Self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = alloc::string::String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl $name {
            /// The value of these bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = core::array::TryFromSliceError;

            fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
                bytes.try_into().map(Self)
            }
        }
    };
}
pub(crate) use hex_newtype;

/// A SHA-256 digest: 32 bytes, 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest([u8; 32]);
hex_newtype!(Sha256Digest, 32);

impl Sha256Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

/// A verifier's fresh random challenge: 32 bytes. Equality takes constant time.
#[derive(Clone, Copy)]
pub struct Nonce([u8; 32]);
hex_newtype!(Nonce, 32);

impl Nonce {
    /// Whether `other` holds exactly this nonce's bytes, in time that depends on lengths only.
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl PartialEq for Nonce {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Nonce {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_names_what_is_wrong() {
        let digest = Sha256Digest::of(b"");
        assert_eq!(digest.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().to_uppercase().parse::<Sha256Digest>(), Ok(digest));
        assert_eq!("ab".parse::<Sha256Digest>(), Err(HexError::Length { expected: 64, found: 2 }));
        assert_eq!("abc".parse::<Sha256Digest>(), Err(HexError::Length { expected: 64, found: 3 }));
        assert_eq!(
            "00".repeat(33).parse::<Sha256Digest>(),
            Err(HexError::Length { expected: 64, found: 66 })
        );
        assert_eq!("0g".parse::<Sha256Digest>(), Err(HexError::Digit { found: 'g', position: 1 }));
        assert_eq!("é".repeat(32).parse::<Sha256Digest>(), Err(HexError::Digit { found: 'é', position: 0 }));
    }

    #[test]
    fn nonce_matches_only_its_own_bytes() {
        let nonce = Nonce::new([7; 32]);
        assert!(nonce.matches(&[7; 32]));
        assert!(!nonce.matches(&[7; 31]));
        assert!(!nonce.matches(&[8; 32]));
        assert!(!nonce.matches(&[]));
    }
}
