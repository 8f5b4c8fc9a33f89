//! The boot plan: what EnclaveOS does with the application, measured into PCR2.
//!
//! It holds everything that decides behaviour and nothing that only says where source came from, so
//! the same tree mirrored elsewhere, or rebased, measures the same.

use crate::egress::{self, EgressRule, EgressRuleError};
use crate::ports::AppPort;
use caution_measure::Sha256Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where the plan lies in ramdisk 1.
pub const PATH: &str = "boot.json";
/// The directory of ramdisk 1 that becomes the app's root.
pub const ROOTFS_DIR: &str = "rootfs";
/// The longest plan EnclaveOS reads, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

/// A boot plan. Field order is the order of the canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootPlan {
    /// Always [`BootPlan::VERSION`].
    pub version: u32,
    /// The process to run.
    pub app: App,
    /// TCP ports of the app, ascending, each forwarded from the vsock port of the same number.
    pub ports: Vec<AppPort>,
    /// Which of `ports` speaks HTTP, where one does.
    pub http_port: Option<AppPort>,
    /// What the app may reach outside, ascending, none twice. Without any there is no network at all,
    /// and the field is absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<EgressRule>,
    /// When the app counts as ready.
    pub readiness: Readiness,
    /// What happens when the app ends.
    pub restart: Restart,
    /// Whether the host reads what the app writes to its standard output and error.
    pub logs: bool,
}

/// The app's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// Program and arguments; the program is looked up in the app's root by `PATH` when it has no `/`.
    pub argv: Vec<String>,
    /// Environment of the process; `/etc/environment` of the app's root is read first, these win.
    pub env: BTreeMap<String, String>,
    /// Working directory inside the app's root, absolute.
    pub cwd: String,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary group ids, ascending.
    pub groups: Vec<u32>,
}

/// When the app counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Readiness {
    /// As soon as the process runs: an app without ports.
    Started,
    /// When a TCP connection to this port of loopback succeeds.
    Tcp {
        /// The port.
        port: AppPort,
        /// After this many seconds without success the enclave gives up and says so.
        timeout_s: u32,
    },
}

/// What happens when the app ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// Which endings start it again.
    pub policy: RestartPolicy,
    /// After this many restarts in a row the enclave powers off.
    pub max_restarts: u32,
    /// First pause before a restart, in milliseconds; doubles each time.
    pub backoff_ms: u32,
    /// The longest pause, in milliseconds.
    pub backoff_max_ms: u32,
}

/// Which endings start the app again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// None: the enclave powers off with the app.
    Never,
    /// A signal or an exit status other than 0.
    OnFailure,
    /// Every ending.
    Always,
}

/// Why bytes are not a boot plan.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootPlanError {
    /// More bytes than any plan.
    #[error("the boot plan has {0} bytes (at most {MAX_BYTES})")]
    TooLong(usize),
    /// Not JSON of this shape.
    #[error("the boot plan is malformed")]
    Json(#[from] serde_json::Error),
    /// Another format version.
    #[error("boot plan version {0} is not supported (this EnclaveOS reads version 1)")]
    Version(u32),
    /// The bytes say the same as the canonical form but differ from it.
    #[error("the boot plan is not in canonical form")]
    NotCanonical,
    /// A value that cannot be.
    #[error("the boot plan is inconsistent: {0}")]
    Inconsistent(&'static str),
    /// An egress rule that cannot be.
    #[error("an egress rule of the boot plan cannot be")]
    Egress(#[source] EgressRuleError),
}

impl BootPlan {
    /// The version this code writes and reads.
    pub const VERSION: u32 = 1;

    /// The canonical bytes: JSON, two-space indent, fields in declared order, one final newline.
    pub fn to_bytes(&self) -> Vec<u8> {
        crate::manifest::canonical_json(self)
    }

    /// Reads canonical bytes and nothing else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BootPlanError> {
        if bytes.len() > MAX_BYTES {
            return Err(BootPlanError::TooLong(bytes.len()));
        }
        let plan: Self = serde_json::from_slice(bytes)?;
        if plan.version != Self::VERSION {
            return Err(BootPlanError::Version(plan.version));
        }
        plan.check()?;
        if plan.to_bytes() == bytes { Ok(plan) } else { Err(BootPlanError::NotCanonical) }
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.to_bytes())
    }

    /// The rules that types cannot carry.
    pub fn check(&self) -> Result<(), BootPlanError> {
        let wrong = |what| Err(BootPlanError::Inconsistent(what));
        let nul = |s: &String| s.contains('\0');
        if self.app.argv.first().is_none_or(String::is_empty) {
            return wrong("argv names no program");
        }
        if self.app.argv.iter().any(nul) || self.app.env.iter().any(|(k, v)| nul(k) || nul(v)) {
            return wrong("an argument or environment value holds a NUL byte");
        }
        if self.app.env.keys().any(|k| k.is_empty() || k.contains('=')) {
            return wrong("an environment name is empty or holds `=`");
        }
        if !self.app.cwd.starts_with('/') || nul(&self.app.cwd) {
            return wrong("cwd is not an absolute path");
        }
        if !self.ports.is_sorted_by(|a, b| a < b) {
            return wrong("ports are not ascending");
        }
        if !self.app.groups.is_sorted_by(|a, b| a < b) {
            return wrong("groups are not ascending");
        }
        if self.http_port.is_some_and(|p| !self.ports.contains(&p)) {
            return wrong("http_port is not one of the ports");
        }
        if let Readiness::Tcp { port, .. } = self.readiness
            && !self.ports.contains(&port)
        {
            return wrong("the readiness port is not one of the ports");
        }
        self.check_egress()
    }

    fn check_egress(&self) -> Result<(), BootPlanError> {
        let wrong = |what| Err(BootPlanError::Inconsistent(what));
        if self.egress.len() > egress::MAX_RULES {
            return wrong("there are more than 256 egress rules");
        }
        if !self.egress.is_sorted_by(|a, b| a < b) {
            return wrong("egress rules are not ascending");
        }
        if !self.egress.is_empty() && self.ports.iter().any(|port| port.get() == egress::DNS_PORT) {
            return wrong("with egress, port 53 is the resolver's");
        }
        self.egress.iter().try_for_each(EgressRule::check).map_err(BootPlanError::Egress)
    }
}
