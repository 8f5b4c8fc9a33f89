//! What a remote manifest claims, against what the reviewed source says.

use crate::boot::configured_argv;
use crate::manifest::app_urls;
use crate::ways::{Ways, e2e_in_words};
use caution_abi::boot_plan::BootPlan;
use caution_abi::e2e::{AppProtocol, E2e, Origin};
use caution_abi::manifest::{EnclaveOsRef, Manifest};
use caution_abi::ports::AppPort;
use caution_appspec::{AppSpec, printable, shell_join};
use std::collections::BTreeSet;

/// What the reviewer knows.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The reviewed commit, lower-case hex.
    pub commit: &'a str,
    /// The configuration of that commit.
    pub spec: &'a AppSpec,
    /// The EnclaveOS release the reviewer accepts.
    pub enclaveos: &'a EnclaveOsRef,
    /// The plan; `None` before the image is rebuilt. Then the plan's digest is not compared, and
    /// the command only where the configuration names one.
    pub plan: Option<&'a BootPlan>,
}

/// A statement of the remote manifest that the reviewed source does not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// The manifest's field.
    pub field: &'static str,
    /// What the reviewed source says, printable.
    pub reviewed: String,
    /// What the manifest says, printable: control characters are escaped.
    pub remote: String,
}

/// Every disagreement, in the manifest's field order.
///
/// | field | compared |
/// |---|---|
/// | `app_source.commit` | exactly; an absent `app_source` disagrees |
/// | `app_source.urls` | as a set: order is taste, another URL points readers at other code, a missing one hides some |
/// | `enclave_source` | as a set, for the same reasons |
/// | `run_command`, `ports`, `http_port`, `e2e`, `logs`, `metadata` | exactly |
/// | `boot_plan_sha256` | exactly, once the plan is known |
/// | `enclaveos.pcr1` | exactly |
/// | `app_source.branch`, `enclaveos.version` | not: names for people, bound to nothing |
/// | `version` | not: reading a manifest checks it |
pub fn disagreements(expected: &Expected<'_>, remote: &Manifest) -> Vec<Disagreement> {
    let spec = expected.spec;
    let mut found = Found::default();
    let source = remote.app_source.as_ref();
    found.compare(
        "app_source.commit",
        &Some(expected.commit),
        &source.map(|source| source.commit.as_str()),
        |commit| commit.unwrap_or("(none)").to_owned(),
    );
    let remote_urls = source.map_or(&[][..], |source| &source.urls);
    found.compare("app_source.urls", &set(&app_urls(spec, expected.commit)), &set(remote_urls), listed);
    found.compare("enclave_source", &set(&spec.build.enclave_sources), &set(&remote.enclave_source), listed);

    let argv = expected.plan.map(|plan| plan.app.argv.clone()).or_else(|| configured_argv(spec));
    if let Some(argv) = argv {
        found.compare("run_command", &argv, &remote.run_command, |argv| shell_join(argv));
    }
    let ways = Ways::of(&spec.network);
    let ports: Vec<u16> = ways.ports.iter().map(|port| port.get()).collect();
    found.compare("ports", &ports, &remote.ports, |ports| {
        or_none(ports.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    });
    let http_port = ways.http_port.map(AppPort::get);
    found.compare("http_port", &http_port, &remote.http_port, |port| {
        or_none(port.map(|port| port.to_string()).unwrap_or_default())
    });
    found
        .compare("e2e", &ways.e2e, &remote.e2e, |e2e| or_none(e2e.as_ref().map(written).unwrap_or_default()));
    found.compare("logs", &spec.logs, &remote.logs, |logs| logs_in_words(*logs).to_owned());
    if let Some(plan) = expected.plan {
        found.compare("boot_plan_sha256", &plan.digest(), &remote.boot_plan_sha256, ToString::to_string);
    }
    found.compare("enclaveos.pcr1", &expected.enclaveos.pcr1, &remote.enclaveos.pcr1, ToString::to_string);
    found.compare("metadata", &spec.metadata, &remote.metadata, |text| {
        text.clone().unwrap_or_else(|| or_none(String::new()))
    });
    found.list
}

/// What becomes of the app's output, where a plan, a configuration or a manifest says `logs`.
pub fn logs_in_words(logs: bool) -> &'static str {
    if logs { "leave the enclave, the host reads them" } else { "none leave the enclave" }
}

/// Encryption with everything that can disagree.
fn written(e2e: &E2e) -> String {
    let protocol = match e2e.app_protocol {
        AppProtocol::Http => "HTTP/1.1",
        AppProtocol::H2c => "HTTP/2",
    };
    let origins: Vec<&str> = e2e.origins.iter().map(Origin::as_str).collect();
    let (words, port) = (e2e_in_words(e2e), e2e.app_port);
    format!("{words}; in front of port {port} ({protocol}), for pages of {}", or_none(origins.join(", ")))
}

#[derive(Default)]
struct Found {
    list: Vec<Disagreement>,
}

impl Found {
    fn compare<T: PartialEq>(
        &mut self,
        field: &'static str,
        reviewed: &T,
        remote: &T,
        text: impl Fn(&T) -> String,
    ) {
        if reviewed != remote {
            // A manifest comes from whoever runs the server: nothing in it may steer a terminal.
            let (reviewed, remote) = (printable(&text(reviewed)), printable(&text(remote)));
            self.list.push(Disagreement { field, reviewed, remote });
        }
    }
}

fn set(urls: &[String]) -> BTreeSet<&str> {
    urls.iter().map(String::as_str).collect()
}

fn listed(urls: &BTreeSet<&str>) -> String {
    or_none(urls.iter().copied().collect::<Vec<_>>().join(", "))
}

fn or_none(text: String) -> String {
    if text.is_empty() { "(none)".to_owned() } else { text }
}
