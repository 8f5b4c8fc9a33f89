//! Where apps are reached: git by this server, requests by this machine's host agent.

use crate::store::AppId;
use caution_host::Dirs;
use caution_host::agent::{AgentClient, Reached};
use std::net::SocketAddr;

/// Knows where apps are reached.
#[derive(Debug, Clone)]
pub struct Reach {
    git: SocketAddr,
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
        Self { git, host }
    }

    /// Where an app is pushed to. Its id stands there, so that a new name changes no remote.
    pub fn git_url(&self, app: AppId) -> String {
        format!("ssh://git@{}/{app}.git", self.git)
    }

    /// Where the app of this label is reached, as its host agent says at this moment.
    pub async fn of(&self, label: &str) -> Option<Address> {
        let (host, label) = (self.host.clone(), label.to_owned());
        tokio::task::spawn_blocking(move || of(&host, &label)).await.ok()
    }
}

/// An agent that cannot be asked knows no address: the app's state says whether it should have one.
fn of(host: &Dirs, label: &str) -> Address {
    let records = caution_host::list(host).unwrap_or_default();
    let newest =
        records.into_iter().filter(|record| record.name == label).max_by_key(|record| record.generation);
    let Some(record) = newest else { return Address::default() };
    let url = match AgentClient::new(host).ingress() {
        Ok(Reached::By(state)) => {
            let of_app = state.addresses.into_iter().find(|(name, _)| name == label);
            of_app.and_then(|(_, urls)| urls.into_iter().next())
        }
        _ => record.app_url,
    };
    Address { url, attestation_url: Some(record.attestation_url) }
}
