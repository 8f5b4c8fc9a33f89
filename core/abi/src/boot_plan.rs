//! The boot plan: what EnclaveOS does with the application, measured into PCR2.
//!
//! It holds everything that decides behaviour and nothing that only says where source came from, so
//! the same tree mirrored elsewhere, or rebased, measures the same.

use crate::e2e::{E2e, E2eError};
use crate::egress::{self, EgressRule, EgressRuleError};
use crate::ports::AppPort;
use caution_measure::Sha256Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

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
    /// What encrypts in front of the app. Without it the field is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2e: Option<E2e>,
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

/// What follows an ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterEnding {
    /// Another start, after this pause.
    Again(Duration),
    /// Nothing: the policy says that this was the end.
    Final,
    /// Nothing: there were as many starts in a row as are allowed.
    GivenUp,
}

impl Restart {
    /// What follows an ending after `in_a_row` restarts. EnclaveOS asks this of the app, and the host agent of the enclave.
    pub fn after(&self, succeeded: bool, in_a_row: u32) -> AfterEnding {
        let again = match self.policy {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !succeeded,
            RestartPolicy::Always => true,
        };
        if !again {
            return AfterEnding::Final;
        }
        if in_a_row >= self.max_restarts {
            return AfterEnding::GivenUp;
        }
        let doubled = u64::from(self.backoff_ms).saturating_mul(1 << in_a_row.min(32));
        AfterEnding::Again(Duration::from_millis(doubled.min(self.backoff_max_ms.into())))
    }
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

impl std::fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Never => "never",
            Self::OnFailure => "on_failure",
            Self::Always => "always",
        })
    }
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
    /// End-to-end encryption that cannot be.
    #[error("the end-to-end encryption of the boot plan cannot be")]
    E2e(#[source] E2eError),
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
        let behind = self.e2e.as_ref().map(|e2e| e2e.app_port);
        if let Readiness::Tcp { port, .. } = self.readiness
            && !self.ports.contains(&port)
            && behind != Some(port)
        {
            return wrong("the readiness port is not one of the ports");
        }
        if let Some(e2e) = &self.e2e {
            e2e.check(&self.ports, self.http_port).map_err(BootPlanError::E2e)?;
        }
        self.check_egress(behind)
    }

    fn check_egress(&self, behind: Option<AppPort>) -> Result<(), BootPlanError> {
        let wrong = |what| Err(BootPlanError::Inconsistent(what));
        if self.egress.len() > egress::MAX_RULES {
            return wrong("there are more than 256 egress rules");
        }
        if !self.egress.is_sorted_by(|a, b| a < b) {
            return wrong("egress rules are not ascending");
        }
        let mut ports = self.ports.iter().copied().chain(behind);
        if !self.egress.is_empty() && ports.any(|port| port.get() == egress::DNS_PORT) {
            return wrong("with egress, port 53 is the resolver's");
        }
        self.egress.iter().try_for_each(EgressRule::check).map_err(BootPlanError::Egress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(policy: RestartPolicy) -> Restart {
        Restart { policy, max_restarts: 6, backoff_ms: 100, backoff_max_ms: 1000 }
    }

    #[test]
    fn the_policy_decides_which_endings_are_final() {
        for (policy, [success, failure]) in [
            (RestartPolicy::Never, [false, false]),
            (RestartPolicy::OnFailure, [false, true]),
            (RestartPolicy::Always, [true, true]),
        ] {
            let again = |succeeded| rules(policy).after(succeeded, 0) != AfterEnding::Final;
            assert_eq!([again(true), again(false)], [success, failure], "{policy}");
            assert_eq!(serde_json::to_value(policy).unwrap(), policy.to_string());
        }
    }

    #[test]
    fn pauses_double_up_to_their_limit_and_restarts_end() {
        let rules = rules(RestartPolicy::Always);
        let again = |ms| AfterEnding::Again(Duration::from_millis(ms));
        for (in_a_row, pause) in (0..).zip([100, 200, 400, 800, 1000, 1000]) {
            assert_eq!(rules.after(false, in_a_row), again(pause));
        }
        assert_eq!(rules.after(false, 6), AfterEnding::GivenUp);
        let extreme =
            Restart { max_restarts: u32::MAX, backoff_ms: u32::MAX, backoff_max_ms: u32::MAX, ..rules };
        assert_eq!(extreme.after(false, 90), again(u32::MAX.into()));
    }
}
