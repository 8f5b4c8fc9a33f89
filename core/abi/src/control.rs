//! Control events: what the enclave tells its host, one JSON object a line on port
//! [`CONTROL`](crate::ports::CONTROL).
//!
//! The host connects once, after the heartbeat, and reads until end of file. After
//! [`Event::Stopping`] the enclave waits for the host to close before it powers off, so that the
//! reason is never lost.

use serde::{Deserialize, Serialize};

/// The longest line, in bytes, newline included. Longer log lines are split by the sender.
pub const MAX_LINE: usize = 16 * 1024;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The first line of every stream.
    Hello {
        /// EnclaveOS version.
        enclaveos: String,
        /// Whether the NSM says PCR0 is zero: console and logs are open and nothing can verify.
        debug: bool,
    },
    /// A new phase was entered. The current phase is also sent after [`Event::Hello`].
    Phase {
        /// Which.
        phase: Phase,
        /// Milliseconds since the kernel started.
        uptime_ms: u64,
    },
    /// The app's process ended.
    AppExit {
        /// How.
        exit: Exit,
        /// Restarts so far in a row.
        restarts: u32,
    },
    /// The clock was found to be wrong by more than drift explains.
    Clock {
        /// What says so.
        source: ClockSource,
        /// Source minus clock, in milliseconds, before anything was done.
        offset_ms: i64,
        /// What was done.
        action: ClockAction,
    },
    /// A line the app wrote; only where the boot plan says `logs`, or in debug mode.
    Log {
        /// Where it was written.
        stream: LogStream,
        /// When, in milliseconds since the Unix epoch, by the enclave's clock.
        unix_ms: u64,
        /// The text, lossily UTF-8, without its newline.
        line: String,
    },
    /// Lines of the app were dropped here, because the host did not take them fast enough.
    LogDropped {
        /// How many.
        lines: u64,
    },
    /// The last line: the enclave powers off.
    Stopping {
        /// Why, as a sentence.
        reason: String,
    },
}

/// How far the enclave is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// PID 1 runs; mounts, entropy, loopback, boot plan.
    Booting,
    /// attestd answers and the app's process runs.
    Starting,
    /// The boot plan's readiness condition held.
    Ready,
    /// The app ended and waits for its restart.
    BackingOff,
    /// Powering off.
    Stopping,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Exit {
    /// It returned this status.
    Status {
        /// 0 to 255.
        code: u8,
    },
    /// This signal ended it.
    Signal {
        /// Signal number.
        signal: i32,
    },
    /// It could not be started.
    NotStarted {
        /// Why, as a sentence.
        reason: String,
    },
}

/// What the enclave's clock is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// The hypervisor's clock, `/dev/ptp0`.
    Ptp,
    /// The time that the security module puts into documents.
    SecurityModule,
}

/// What was done about a clock that was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockAction {
    /// Set, once, before the app was started.
    Set,
    /// Set forwards while the app runs.
    Stepped,
    /// It is ahead, and is not set back: it runs slower.
    Refused,
}

/// Where a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status { code } => write!(f, "exited with status {code}"),
            Self::Signal { signal } => write!(f, "was ended by signal {signal}"),
            Self::NotStarted { reason } => write!(f, "could not be started: {reason}"),
        }
    }
}
