//! What a verifier asks of a document beyond being authentic.

use crate::UnixMillis;
use caution_measure::{Measurements, Pcr, PcrIndex};

/// The questions a document must answer. Start from [`Policy::at`] and set what applies.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// The time at which certificates must be valid: the clock for live evidence, a past time for
    /// archived evidence.
    pub now: UnixMillis,
    /// The challenge the document must carry, byte for byte. `None` accepts any, so it proves no
    /// freshness. An empty challenge is refused as misuse.
    pub nonce: Option<&'a [u8]>,
    /// How many milliseconds before `now` the document may have been signed. `None`: any age while
    /// its certificates are valid.
    pub max_age_ms: Option<u64>,
    /// What to do with a debug enclave's document.
    pub debug: DebugPolicy,
    /// PCR0, PCR1 and PCR2 the document must show.
    pub expected: Option<&'a Measurements>,
    /// Further registers the document must show: PCR3 (role), PCR4 (instance), PCR8 (image signer) ….
    pub registers: &'a [(PcrIndex, Pcr)],
}

impl Policy<'_> {
    /// Authentic, of any age and content, no debug enclave; certificates valid at `now`.
    pub const fn at(now: UnixMillis) -> Self {
        Self {
            now,
            nonce: None,
            max_age_ms: None,
            debug: DebugPolicy::Refuse,
            expected: None,
            registers: &[],
        }
    }
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
