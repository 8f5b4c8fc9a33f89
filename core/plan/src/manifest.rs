//! The manifest of a build.

use caution_abi::boot_plan::BootPlan;
use caution_abi::manifest::{AppSource, EnclaveOsRef, Manifest};
use caution_appspec::AppSpec;

/// Which commit is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceIdentity {
    /// 40 (SHA-1) or 64 (SHA-256) lower-case hex digits.
    pub commit: String,
    /// The branch, where one was checked out.
    pub branch: Option<String>,
}

/// The manifest of `plan`, with the commit put into the URLs of `app_sources`. Without a `source`,
/// where the image came from nobody knows where, it names none.
pub fn manifest(
    spec: &AppSpec,
    source: Option<&SourceIdentity>,
    plan: &BootPlan,
    enclaveos: &EnclaveOsRef,
) -> Manifest {
    Manifest {
        version: Manifest::VERSION.to_owned(),
        app_source: source.map(|source| AppSource {
            urls: app_urls(spec, &source.commit),
            commit: source.commit.clone(),
            branch: source.branch.clone(),
        }),
        enclave_source: spec.build.enclave_sources.clone(),
        run_command: plan.app.argv.clone(),
        ports: plan.ports.iter().map(|port| port.get()).collect(),
        http_port: plan.http_port.map(caution_abi::ports::AppPort::get),
        e2e: plan.e2e.clone(),
        logs: plan.logs,
        boot_plan_sha256: plan.digest(),
        enclaveos: enclaveos.clone(),
        metadata: spec.metadata.clone(),
    }
}

/// The URLs of the application's source at one commit.
pub(crate) fn app_urls(spec: &AppSpec, commit: &str) -> Vec<String> {
    spec.build.app_sources.iter().map(|url| url.replace("${COMMIT}", commit)).collect()
}
