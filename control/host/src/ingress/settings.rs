//! Where and how one machine, or one user of it, is reached.

use super::routes::App;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

/// How one machine, or one user of it, is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Sockets and links; short, and this user's alone. For example `<runtime>/ingress`.
    pub folder: PathBuf,
    /// Certificates, the local authority and Caddy's log; survives reboots.
    pub state: PathBuf,
    /// Where to listen; nothing: on every address of the machine.
    pub listen: Vec<IpAddr>,
    /// The port of HTTPS, over TCP and UDP.
    pub https_port: u16,
    /// The port that redirects to it, and answers ACME's http-01.
    pub http_port: u16,
    /// Who certifies declared domains; without it the local authority does.
    pub acme: Option<Acme>,
    /// The addresses that declared domains have to lead to, where this machine does not have them
    /// itself (behind a NAT or a load balancer).
    pub public_addresses: Vec<IpAddr>,
    /// How long a client may take for its TLS handshake, and for the head of a request.
    pub header_limit: Duration,
}

/// A certificate authority that speaks ACME (RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// The URL of its directory.
    pub directory: String,
    /// A PEM file with the root that its own HTTPS is trusted by, where the system's do not do.
    pub root: Option<PathBuf>,
    /// Where it may write to about certificates.
    pub email: Option<String>,
}

impl Acme {
    /// Let's Encrypt.
    pub fn lets_encrypt() -> Self {
        let directory = "https://acme-v02.api.letsencrypt.org/directory".to_owned();
        Self { directory, root: None, email: None }
    }
}

impl Settings {
    /// For a user without privileges: loopback alone, ports 8443 and 8880, the local authority.
    pub fn for_user(folder: PathBuf, state: PathBuf) -> Self {
        let v6 = IpAddr::from(Ipv6Addr::LOCALHOST);
        let mut listen = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        // Machines without IPv6 exist; Caddy refuses to listen on half of what it is told.
        listen.extend(UdpSocket::bind((v6, 0)).is_ok().then_some(v6));
        Self {
            folder,
            state,
            listen,
            https_port: 8443,
            http_port: 8880,
            acme: None,
            public_addresses: Vec::new(),
            header_limit: Duration::from_secs(10),
        }
    }

    /// For a machine that serves the internet: every address, ports 443 and 80, Let's Encrypt.
    pub fn for_machine(folder: PathBuf, state: PathBuf) -> Self {
        Self {
            listen: Vec::new(),
            https_port: 443,
            http_port: 80,
            acme: Some(Acme::lets_encrypt()),
            ..Self::for_user(folder, state)
        }
    }

    /// The certificate of the local authority's root, PEM: what `curl --cacert` takes. It exists once
    /// an app has been routed, and stays.
    pub fn local_root(&self) -> PathBuf {
        self.storage().join("pki/authorities/local/root.crt")
    }

    /// The address of an app on this machine.
    pub fn local_url(&self, app: &App) -> String {
        self.url(&app.local_name())
    }

    pub(super) fn url(&self, host: &str) -> String {
        let port = if self.https_port == 443 { String::new() } else { format!(":{}", self.https_port) };
        format!("https://{host}{port}/")
    }

    pub(super) fn admin(&self) -> PathBuf {
        self.folder.join("admin")
    }

    pub(super) fn storage(&self) -> PathBuf {
        self.state.join("certificates")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.state.join("caddy.log")
    }

    pub(super) fn stderr(&self) -> PathBuf {
        self.state.join("caddy.stderr")
    }
}
