//! Where and how one machine, or one user of it, is reached.

use crate::config::Dirs;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::num::NonZeroU16;
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

/// Machines without IPv6 exist.
fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
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
        let mut listen = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        // Caddy refuses to listen on half of what it is told.
        listen.extend(has_ipv6().then_some(IpAddr::from(Ipv6Addr::LOCALHOST)));
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

    /// The addresses to listen on; an unspecified one where that is every address.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        match self.listen.as_slice() {
            [] if has_ipv6() => vec![Ipv6Addr::UNSPECIFIED.into()],
            [] => vec![Ipv4Addr::UNSPECIFIED.into()],
            some => some.to_vec(),
        }
    }

    /// The certificate of the local authority's root, PEM: what `curl --cacert` takes. It exists once
    /// an app has been routed, and stays.
    pub fn local_root(&self) -> PathBuf {
        self.storage().join("pki/authorities/local/root.crt")
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

/// What a configuration file says instead of the defaults: the table `[ingress]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overrides {
    enabled: Option<bool>,
    listen: Option<Vec<IpAddr>>,
    https_port: Option<NonZeroU16>,
    http_port: Option<NonZeroU16>,
    certificates: Option<Certifier>,
    acme_directory: Option<String>,
    acme_root: Option<PathBuf>,
    acme_email: Option<String>,
    public_addresses: Option<Vec<IpAddr>>,
}

/// Who certifies declared domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Certifier {
    Acme,
    Local,
}

impl Overrides {
    /// These instead of what `base` says; nothing where the ingress is switched off.
    pub fn over(self, base: Settings) -> Option<Settings> {
        if self.enabled == Some(false) {
            return None;
        }
        let named = self.acme_directory.is_some();
        let acme = match self.certificates {
            Some(Certifier::Local) => None,
            Some(Certifier::Acme) => Some(base.acme.unwrap_or_else(Acme::lets_encrypt)),
            None if named => Some(Acme::lets_encrypt()),
            None => base.acme,
        };
        let acme = acme.map(|acme| Acme {
            directory: self.acme_directory.unwrap_or(acme.directory),
            root: self.acme_root.or(acme.root),
            email: self.acme_email.or(acme.email),
        });
        Some(Settings {
            listen: self.listen.unwrap_or(base.listen),
            https_port: self.https_port.map_or(base.https_port, NonZeroU16::get),
            http_port: self.http_port.map_or(base.http_port, NonZeroU16::get),
            public_addresses: self.public_addresses.unwrap_or(base.public_addresses),
            acme,
            ..base
        })
    }
}

/// How the apps of a user's agent, which is started on demand, are reached: as the user's settings say.
pub(crate) fn of_user(dirs: &Dirs, overrides: Overrides) -> Option<Settings> {
    overrides.over(Settings::for_user(dirs.runtime.join(".ingress"), dirs.state.join("ingress")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_changes_what_the_file_names() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let dirs = Dirs { state: root.path().to_owned(), runtime: at("r"), cache: at("c") };
        let of_user = |dirs: &Dirs| crate::settings::of_user(dirs).map(|file| of_user(dirs, file.ingress));
        let base = of_user(&dirs).unwrap().unwrap();
        assert_eq!((base.https_port, base.http_port, &base.acme), (8443, 8880, &None));
        std::fs::write(at("host.toml"), "[ingress]\nhttps_port = 9443\ncertificates = \"acme\"").unwrap();
        let changed = of_user(&dirs).unwrap().unwrap();
        assert_eq!(changed, Settings { https_port: 9443, acme: Some(Acme::lets_encrypt()), ..base });
        std::fs::write(at("host.toml"), "[ingress]\nenabled = false").unwrap();
        assert_eq!(of_user(&dirs).unwrap(), None);
        for wrong in
            ["[ingress]\nport = 1", "[ingress]\nhttps_port = 0", "ingres = 1", "[ingress]\nlisten = [\"x\"]"]
        {
            std::fs::write(at("host.toml"), wrong).unwrap();
            assert!(matches!(of_user(&dirs), Err(crate::HostError::Settings { .. })), "{wrong}");
        }
    }
}
