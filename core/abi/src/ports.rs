//! Port numbers inside the enclave and on its parent.

use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// Reserved for the platform; an app may not declare one of these.
pub const RESERVED: RangeInclusive<u16> = 49500..=49600;

/// End-to-end encrypted requests (vsock), where the boot plan has it.
pub const E2E: u16 = 49500;
/// Where they are taken inside the enclave, on loopback.
pub const STEVED: u16 = 8080;
/// attestd, `POST /attestation` (vsock, and TCP on loopback inside the enclave).
pub const ATTESTATION: u16 = 49502;
/// Control events: phases, readiness, exit reasons (vsock, enclave listens).
pub const CONTROL: u16 = 49510;

/// The heartbeat Nitro expects: the enclave connects to its parent, sends [`HEARTBEAT_BYTE`], and
/// the parent echoes it. Source: AWS Nitro Enclaves CLI and its init.
pub const PARENT_HEARTBEAT: u32 = 9000;
/// The byte of the heartbeat.
pub const HEARTBEAT_BYTE: u8 = 0xB7;
/// NSM emulation on the parent; only where the machine has no `/dev/nsm`.
pub const PARENT_NSM: u32 = 49520;
/// The parent sends the manifest and closes; an absent listener means "no manifest".
pub const PARENT_MANIFEST: u32 = 49521;
/// Ethernet frames to and from the parent's network stack, each behind its length (`u32`, big-endian);
/// only where the boot plan has egress.
pub const PARENT_EGRESS: u32 = 49530;

/// The parent's context id on Nitro.
pub const PARENT_CID_NITRO: u32 = 3;
/// The parent's context id under QEMU (`VMADDR_CID_HOST`).
pub const PARENT_CID_QEMU: u32 = 2;

/// Whether a vsock port of an enclave leads to its app, by itself or behind end-to-end encryption.
pub fn leads_to_the_app(port: u16) -> bool {
    port == E2E || !RESERVED.contains(&port)
}

/// A TCP port an app may listen on: 1 to 65535, outside [`RESERVED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct AppPort(u16);

/// Why a number is not an [`AppPort`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppPortError {
    /// Port 0 means "any" to the socket calls.
    #[error("0 is not a port")]
    Zero,
    /// The platform listens there.
    #[error("port {0} is reserved: 49500 to 49600 belong to the platform")]
    Reserved(u16),
}

impl AppPort {
    /// The port number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for AppPort {
    type Error = AppPortError;

    fn try_from(port: u16) -> Result<Self, AppPortError> {
        match port {
            0 => Err(AppPortError::Zero),
            p if RESERVED.contains(&p) => Err(AppPortError::Reserved(p)),
            p => Ok(Self(p)),
        }
    }
}

impl From<AppPort> for u16 {
    fn from(port: AppPort) -> Self {
        port.0
    }
}

impl std::fmt::Display for AppPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserved_range_and_zero_are_refused() {
        assert_eq!(AppPort::try_from(0), Err(AppPortError::Zero));
        for port in [49500, 49550, 49600] {
            assert_eq!(AppPort::try_from(port), Err(AppPortError::Reserved(port)));
        }
        for port in [1, 8080, 49499, 49601, 65535] {
            assert_eq!(AppPort::try_from(port).map(AppPort::get), Ok(port));
            assert!(leads_to_the_app(port));
        }
        assert!(leads_to_the_app(E2E) && !leads_to_the_app(ATTESTATION) && !leads_to_the_app(CONTROL));
    }
}
