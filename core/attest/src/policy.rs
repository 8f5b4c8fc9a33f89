//! What a verifier asks of a document.

use crate::UnixMillis;
use caution_measure::{ImagePcrs, Pcr, PcrIndex};

/// A question to a running enclave. All of it is answered now, or refused.
#[derive(Debug, Clone, Copy)]
pub struct Live<'a> {
    /// The clock: certificates must be valid at this time.
    pub now: UnixMillis,
    /// The challenge that was sent and that the document must carry, byte for byte. Empty is misuse.
    pub nonce: &'a [u8],
    /// How many milliseconds before `now` the document may have been signed.
    pub max_age_ms: u64,
}

/// A question to a document that was kept.
///
/// It was authentic when it was made; nothing tells whether the enclave still runs, and only the nonce,
/// where one was kept beside it, whether it answered anybody. Whoever got hold of an enclave's signing key after
/// its certificate expired could date documents back into its three hours.
#[derive(Debug, Clone, Copy, Default)]
pub struct Archived<'a> {
    /// The time at which certificates must have been valid; the document's own time when absent.
    pub at: Option<UnixMillis>,
    /// The challenge the document must carry. Empty is misuse.
    pub nonce: Option<&'a [u8]>,
}

/// Which enclave it must be. The default asks nothing but that it is no debug enclave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected<'a> {
    /// Images, each with all its registers. The document must show all registers of one of them: they
    /// are never mixed. Empty: any image.
    pub profiles: &'a [ImagePcrs],
    /// Registers it must show besides: PCR3 (the parent's IAM role), PCR4 (the parent instance), PCR8
    /// (the image's signer), or those of the application.
    pub registers: &'a [(PcrIndex, Pcr)],
    /// What to do with a debug enclave's document.
    pub debug: DebugPolicy,
}

/// Whether a debug enclave's document can verify. Its parent reads the enclave's console and its
/// registers say nothing about the image, so it proves nothing about what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DebugPolicy {
    /// It cannot.
    #[default]
    Refuse,
    /// It can; [`crate::Verified::is_debug`] tells.
    Allow,
}

/// When and how a document was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It answered a fresh challenge at this time.
    Live(UnixMillis),
    /// It was authentic at this time; it may be long ago.
    Archived(UnixMillis),
}

impl Checked {
    /// The time at which certificates had to be valid.
    pub const fn at(self) -> UnixMillis {
        match self {
            Self::Live(at) | Self::Archived(at) => at,
        }
    }
}
