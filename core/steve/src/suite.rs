//! The two suites. A deployment has one; nothing is negotiated.

/// Which algorithms a deployment uses: a KEM with HKDF-SHA256 and AES-256-GCM (RFC 9180).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// DHKEM(X25519, HKDF-SHA256), RFC 9180 section 4.1.
    X25519,
    /// X-Wing: ML-KEM-768 and X25519 together (draft-connolly-cfrg-xwing-kem-10).
    XWing,
}

/// HPKE's number of HKDF-SHA256 (RFC 9180, table 3).
pub(crate) const KDF_ID: u16 = 0x0001;
/// HPKE's number of AES-256-GCM (RFC 9180, table 5).
pub(crate) const AEAD_ID: u16 = 0x0002;

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 2] = [Self::X25519, Self::XWing];

    /// Its name in configuration, receipts and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "x25519",
            Self::XWing => "xwing",
        }
    }

    /// HPKE's number of the KEM.
    pub const fn kem_id(self) -> u16 {
        match self {
            Self::X25519 => 0x0020,
            Self::XWing => 0x647a,
        }
    }

    /// The suite with this KEM.
    pub const fn from_kem_id(id: u16) -> Option<Self> {
        match id {
            0x0020 => Some(Self::X25519),
            0x647a => Some(Self::XWing),
            _ => None,
        }
    }

    /// Length of a public key, in bytes.
    pub const fn public_key_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1216,
        }
    }

    /// Length of what a sender encapsulates, in bytes.
    pub const fn encapsulated_len(self) -> usize {
        match self {
            Self::X25519 => 32,
            Self::XWing => 1120,
        }
    }
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
