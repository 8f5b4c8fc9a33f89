//! What the host agent tells its caller, and the lines of the event log.

use caution_abi::control::{Event, Exit, Phase};
use caution_measure::Measurements;
use serde::{Deserialize, Serialize};

/// Something that happened while an enclave runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostEvent {
    /// How the virtual machine executes.
    Accelerator(Accelerator),
    /// The image was measured; exactly these bytes boot.
    Measured(Measurements),
    /// The enclave's machine was started.
    Booting,
    /// The enclave sent its heartbeat: its PID 1 runs.
    Heartbeat,
    /// What the enclave itself said.
    Enclave(Event),
    /// A port of the enclave is reachable on 127.0.0.1.
    Published {
        /// The port inside.
        enclave: u16,
        /// The TCP port on 127.0.0.1.
        host: u16,
    },
    /// The boot plan's readiness condition held, as seen from inside.
    Ready {
        /// Milliseconds since the guest's kernel started.
        uptime_ms: u64,
        /// Milliseconds since [`crate::run`] was called.
        wall_ms: u64,
    },
    /// The enclave's network failed, or works again; a sentence.
    Egress(String),
    /// Connections to the app were reset because too many were open; told less and less often.
    Refused {
        /// Since the enclave was started.
        so_far: u64,
    },
    /// A line of the console; only in debug mode.
    Console(String),
    /// It ended as it should, or was asked to.
    Ended(Ending),
    /// It ended because something failed; what [`crate::run`] returns as an error.
    Failed {
        /// The error, as a sentence.
        message: String,
        /// What to do about it.
        fix: Option<String>,
    },
}

/// How the virtual machine executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Accelerator {
    /// AWS Nitro hardware.
    Nitro,
    /// QEMU with hardware virtualisation; a probe boot proved that it works.
    Kvm,
    /// QEMU without, several times slower.
    Tcg {
        /// Why not KVM, as a sentence.
        why: String,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// Someone asked for it: a signal, [`crate::stop`] or [`crate::StopHandle::stop`].
    Stopped,
    /// The enclave powered off and said why.
    PoweredOff {
        /// The enclave's own reason, as a sentence.
        reason: String,
        /// How the app last ended, where it did.
        last_exit: Option<Exit>,
    },
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped => f.write_str("The enclave was stopped."),
            Self::PoweredOff { reason, .. } => write!(f, "The enclave powered off: {reason}"),
        }
    }
}

/// How far a boot came, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The machine runs; the enclave said nothing yet.
    Powered,
    /// The heartbeat came.
    Heartbeat,
    /// The enclave reported this phase.
    Phase(Phase),
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Powered => "the kernel started but EnclaveOS sent no heartbeat",
            Self::Heartbeat => "EnclaveOS sent its heartbeat but reported no phase",
            Self::Phase(Phase::Booting) => "EnclaveOS was preparing the system (phase `booting`)",
            Self::Phase(Phase::Starting) => "the app was started but not ready (phase `starting`)",
            Self::Phase(Phase::Ready) => "the app was ready",
            Self::Phase(Phase::BackingOff) => "the app had ended and waited for its restart",
            Self::Phase(Phase::Stopping) => "the enclave was powering off",
        })
    }
}

/// One line of an event log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// When, in milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// What.
    #[serde(flatten)]
    pub event: HostEvent,
}
