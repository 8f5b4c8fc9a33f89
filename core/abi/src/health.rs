//! Health as EnclaveOS states it: the answer of `GET` [`PATH`], ready or not.
//!
//! A statement, no evidence: nothing signs it, and the connection it comes over ends at the host.

use crate::control::{ClockSource, Exit, Phase};
use serde::{Deserialize, Serialize};

/// Where it is answered, on attestd's port.
pub const PATH: &str = "/.well-known/caution/health";

/// The body, JSON. Readers ignore fields they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// EnclaveOS version.
    pub enclaveos: String,
    /// How far the enclave is.
    pub phase: Phase,
    /// Whether the boot plan's readiness holds: the phase is [`Phase::Ready`].
    pub ready: bool,
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
    /// How often the app was started again since the kernel started.
    pub restarts: u32,
    /// How its last run ended; none before the first end.
    pub last_exit: Option<Exit>,
    /// How right the clock is; none where no source has answered yet.
    pub clock: Option<Clock>,
    /// Memory of the enclave; none where the kernel did not say.
    pub memory: Option<Memory>,
}

/// The clock, when it was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Source minus clock, in milliseconds: positive for a clock that is behind.
    pub offset_ms: i64,
    /// What it was compared with.
    pub source: ClockSource,
    /// How long ago.
    pub checked_ms_ago: u64,
}

/// Memory, as the kernel counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// KiB that the kernel can use at all.
    pub total_kib: u64,
    /// KiB that processes could still take.
    pub available_kib: u64,
}
