//! Where apps are reached: git by this server, requests by this machine's host agent.

use crate::store::AppId;
use caution_api::GitServer;
use caution_host::agent::{AgentClient, Reached};
use caution_host::{Dirs, Logs, Record};
use std::collections::HashMap;
use std::net::SocketAddr;

/// Knows where apps are reached.
#[derive(Debug, Clone)]
pub struct Reach {
    git: GitServer,
    host: Dirs,
}

/// Where an app that runs is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Address {
    /// By HTTPS.
    pub url: Option<String>,
    /// Where its enclave answers for itself.
    pub attestation_url: Option<String>,
}

impl Reach {
    /// `git` is where the git server listens.
    pub fn new(git: SocketAddr, host: Dirs) -> Self {
        let name = match git {
            SocketAddr::V4(address) => address.ip().to_string(),
            SocketAddr::V6(address) => format!("[{}]", address.ip()),
        };
        Self { git: GitServer { host: name, port: git.port(), host_key: String::new() }, host }
    }

    /// The same, where others reach this machine by name and are told the git server's key.
    #[must_use]
    pub fn by_name(self, name: &str, host_key: &str) -> Self {
        let git = GitServer { host: name.to_owned(), port: self.git.port, host_key: host_key.to_owned() };
        Self { git, ..self }
    }

    /// The git server.
    pub fn git(&self) -> &GitServer {
        &self.git
    }

    /// Where an app is pushed to. Its id stands there, so that a new name changes no remote.
    pub fn git_url(&self, app: AppId) -> String {
        format!("ssh://git@{}:{}/{app}.git", self.git.host, self.git.port)
    }

    /// What the last enclave of the app of this label wrote; nothing where none ever ran here.
    pub async fn logs(&self, label: &str, follow: bool) -> Option<Logs> {
        let (host, label) = (self.host.clone(), label.to_owned());
        let found = tokio::task::spawn_blocking(move || caution_host::logs(&host, &label, follow).ok());
        found.await.ok().flatten()
    }

    /// Where apps are reached, as the host agent says at this moment. One that cannot be asked knows none: an app's state says
    /// whether it should be reached.
    pub async fn all(&self) -> Addresses {
        let host = self.host.clone();
        tokio::task::spawn_blocking(move || all(&host)).await.unwrap_or_default()
    }
}

/// Where the apps of a host are reached, by label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(HashMap<String, Address>);

impl Addresses {
    /// Where the app of this label is.
    pub fn of(&self, label: &str) -> Address {
        self.0.get(label).cloned().unwrap_or_default()
    }
}

fn all(host: &Dirs) -> Addresses {
    let mut records = caution_host::list(host).unwrap_or_default();
    if records.is_empty() {
        return Addresses::default();
    }
    // The newest enclave of an app is the last.
    records.sort_by_key(|record| record.generation);
    let ways = match AgentClient::new(host).ingress() {
        Ok(Reached::By(state)) => Some(state.addresses.into_iter().collect::<HashMap<_, _>>()),
        _ => None,
    };
    let address = |record: Record| {
        let url = match &ways {
            Some(ways) => ways.get(&record.name).and_then(|urls| urls.first().cloned()),
            None => record.app_url,
        };
        (record.name, Address { url, attestation_url: Some(record.attestation_url) })
    };
    Addresses(records.into_iter().map(address).collect())
}
