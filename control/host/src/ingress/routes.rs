//! What is reachable: apps, their names, their sockets.

use super::rules::Rule;
use crate::error::HostError;
use caution_appspec::{Network, TrafficRule, Upstream};
use caution_measure::Sha256Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an app declares about being reached. Nothing of it is measured: it is the host's business,
/// and a host may lie.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSpec {
    /// The port that speaks HTTP, where there is one.
    pub http: Option<HttpSpec>,
    /// Who may connect; without rules everybody.
    pub rules: Vec<Rule>,
    /// Raw ports that hear of the client's address by PROXY protocol version 2.
    pub proxy_protocol: Vec<u16>,
}

impl IngressSpec {
    /// What a configuration says about being reached.
    pub fn declared(network: &Network) -> Self {
        let rule = |rule: &TrafficRule| {
            let (first, last) = rule.ports?;
            Some(Rule { from: rule.cidr_ipv4, ports: first..=last })
        };
        let rules = network.ingress.iter().filter_map(rule).collect();
        let http = network.http.as_ref().map(|http| HttpSpec {
            port: http.port.get(),
            protocol: match http.upstream {
                // STEVE takes HTTP/1.1, whatever the app behind it speaks.
                _ if http.e2e.is_some() => Protocol::Http,
                Upstream::Http => Protocol::Http,
                Upstream::H2c => Protocol::H2c,
            },
            domain: http.domain.clone(),
        });
        let announced = network.ports.iter().filter(|port| network.announces(**port));
        Self { http, rules, proxy_protocol: announced.map(|port| port.get()).collect() }
    }
}

/// The HTTP port of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// The app's port.
    pub port: u16,
    /// What the app speaks on it.
    pub protocol: Protocol,
    /// The declared domain, lower case.
    pub domain: Option<String>,
}

/// What an app speaks on its HTTP port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 without TLS, for gRPC.
    H2c,
}

/// Everything that is reachable at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// The apps, each name once.
    pub apps: Vec<App>,
}

/// One app and where its enclave is to be found at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its name.
    pub name: String,
    /// What it declares.
    pub spec: IngressSpec,
    /// The Unix socket that leads to its HTTP port; `None` while it boots or is dead.
    pub upstream: Option<PathBuf>,
    /// The Unix socket that leads to EnclaveOS' attestd.
    pub attestation: Option<PathBuf>,
}

impl App {
    /// Its name on this machine, `<app>.localhost`: what in the app's name is no letter, digit or
    /// hyphen of a host name becomes a hyphen. Where nothing else is left it is the hash of the app's name.
    pub fn local_name(&self) -> String {
        let lower = self.name.to_ascii_lowercase();
        let label: String =
            lower.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(63).collect();
        match label.trim_matches('-') {
            "" => format!("{}.localhost", self.key()),
            label => format!("{label}.localhost"),
        }
    }

    /// The declared domain, where it is not the name that the app has anyway.
    pub fn domain(&self) -> Option<&str> {
        let declared = self.spec.http.as_ref()?.domain.as_deref();
        declared.filter(|name| *name != self.local_name())
    }

    /// Every host name it answers to.
    pub(crate) fn hosts(&self) -> Vec<String> {
        self.domain().map(str::to_owned).into_iter().chain([self.local_name()]).collect()
    }

    /// What files of this app begin with: short, because a socket's path has at most 107 bytes.
    pub(crate) fn key(&self) -> String {
        Sha256Digest::of(self.name.as_bytes()).to_string()[..16].to_owned()
    }
}

impl Routes {
    /// Refuses two apps of one host name.
    pub(crate) fn check(&self) -> Result<(), HostError> {
        let mut owners = BTreeMap::new();
        for app in &self.apps {
            for host in app.hosts() {
                if let Some(first) = owners.insert(host.clone(), app.name.clone()) {
                    return Err(HostError::HostTwice { host, first, second: app.name.clone() });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str, domain: Option<&str>) -> App {
        let http = HttpSpec { port: 8080, protocol: Protocol::Http, domain: domain.map(str::to_owned) };
        let spec = IngressSpec { http: Some(http), ..IngressSpec::default() };
        App { name: name.to_owned(), spec, upstream: None, attestation: None }
    }

    #[test]
    fn local_names_are_host_names() {
        for (name, host) in
            [("hello", "hello.localhost"), ("My_App.v2", "my-app-v2.localhost"), ("_a_", "a.localhost")]
        {
            assert_eq!(app(name, None).local_name(), host);
        }
        let nothing = app("_-_", None);
        assert_eq!(nothing.local_name(), format!("{}.localhost", nothing.key()));
    }

    #[test]
    fn one_host_name_leads_to_one_app() {
        let twice = [app("a", Some("example.com")), app("b", Some("example.com"))];
        let error = Routes { apps: twice.to_vec() }.check().unwrap_err();
        assert_eq!(error.to_string(), "`example.com` is the name of two apps: `a` and `b`.");
        assert!(error.fix().unwrap().contains("domain"));
        let same = [app("a.b", None), app("a_b", None)];
        assert!(Routes { apps: same.to_vec() }.check().is_err());
        assert!(Routes { apps: vec![app("a", Some("example.com")), app("b", None)] }.check().is_ok());
    }

    #[test]
    fn an_app_may_declare_the_name_that_it_has_anyway() {
        let own = app("a", Some("a.localhost"));
        assert_eq!((own.domain(), own.hosts()), (None, vec!["a.localhost".to_owned()]));
        assert!(Routes { apps: vec![own] }.check().is_ok());
    }
}
