//! Declared domains: whether they lead here, and whether they have a certificate.

use super::Settings;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{IpAddr, ToSocketAddrs as _};

/// A declared domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Its certificate.
    pub certificate: Certificate,
    /// What is wrong with its DNS records, and which would help.
    pub dns: Option<String>,
}

/// How far a domain's certificate is. Caddy renews it when a third of its time is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Certificate {
    /// It was asked for.
    Pending,
    /// It is there.
    Issued,
    /// The last attempt failed, as Caddy says; it goes on trying, with growing pauses.
    Failed(String),
}

/// How far the certificate of a declared domain is.
pub(crate) fn certificate(settings: &Settings, name: &str) -> Certificate {
    if has_certificate(settings, name) {
        Certificate::Issued
    } else {
        last_failure(settings, name).map_or(Certificate::Pending, Certificate::Failed)
    }
}

/// What is wrong with the domain's records, as a sentence with the record that would help.
pub(crate) fn problem(settings: &Settings, name: &str) -> Option<String> {
    let found: Vec<IpAddr> =
        (name, 0).to_socket_addrs().into_iter().flatten().map(|address| address.ip()).collect();
    let own = if settings.public_addresses.is_empty() {
        own_addresses()
    } else {
        settings.public_addresses.clone()
    };
    judge(name, &found, &own)
}

/// Compares where a domain leads with where this machine is.
fn judge(name: &str, found: &[IpAddr], own: &[IpAddr]) -> Option<String> {
    let public: Vec<IpAddr> = own.iter().copied().filter(|address| is_public(*address)).collect();
    let elsewhere: Vec<IpAddr> = found.iter().copied().filter(|address| !own.contains(address)).collect();
    let records = records(name, if public.is_empty() { own } else { &public });
    if found.is_empty() {
        return Some(format!("{name} has no address in DNS, so nobody certifies it. {records}"));
    }
    if elsewhere.is_empty() {
        return None;
    }
    let there = listed(&elsewhere);
    if elsewhere.len() < found.len() {
        let text = format!(
            "{name} leads to this machine and to {there} as well, where neither clients nor certificate \
             authorities find it. Remove that record."
        );
        return Some(text);
    }
    // Behind a NAT, only its owner knows by which address this machine is reached.
    (!public.is_empty()).then(|| format!("{name} leads to {there}, not to this machine. {records}"))
}

fn records(name: &str, own: &[IpAddr]) -> String {
    let record = |address: &IpAddr| {
        let kind = if address.is_ipv4() { "A" } else { "AAAA" };
        format!("`{name}. {kind} {address}`")
    };
    match own {
        [] => "Set an A record with this machine's public address.".to_owned(),
        own => format!("Set the record {}.", own.iter().map(record).collect::<Vec<_>>().join(" or ")),
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    let mut texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.dedup();
    texts.join(", ")
}

/// The addresses of this machine's interfaces that others could use.
fn own_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
    };
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    interfaces.filter_map(address).filter(usable).collect()
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || is_shared(ip.octets()))
        }
        IpAddr::V6(ip) => !(ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local()),
    }
}

/// 100.64.0.0/10, between a provider and its customers (RFC 6598).
fn is_shared(octets: [u8; 4]) -> bool {
    octets[0] == 100 && octets[1] & 0xc0 == 64
}

/// Whether Caddy's storage holds a certificate of the authority that is configured now.
fn has_certificate(settings: &Settings, name: &str) -> bool {
    let issuers = std::fs::read_dir(settings.storage().join("certificates"));
    let mut folders = issuers.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    folders.any(|folder| {
        let local = folder.file_name().is_some_and(|issuer| issuer == "local");
        local == settings.acme.is_none() && folder.join(name).join(format!("{name}.crt")).exists()
    })
}

/// What Caddy's log says last about the certificate of a domain.
fn last_failure(settings: &Settings, name: &str) -> Option<String> {
    let mut log = File::open(settings.log()).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(MAX_LOG))).ok()?;
    let mut text = Vec::new();
    log.take(MAX_LOG).read_to_end(&mut text).ok()?;
    failure_in(&String::from_utf8_lossy(&text), name)
}

/// The newest of: what the authority found when it looked, how an attempt ended.
fn failure_in(log: &str, name: &str) -> Option<String> {
    let lines = log.lines().rev().filter(|line| line.contains(name));
    let lines = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut errors = lines.filter(|line| line["level"] == "error" && line["identifier"] == name);
    let ended = errors.next()?;
    let text = match std::iter::once(&ended).chain(errors.next().as_ref()).find_map(found) {
        Some(found) => found,
        None => ended["error"].as_str()?.to_owned(),
    };
    Some(text.chars().filter(|c| !c.is_control()).take(400).collect())
}

/// What the authority found, in a line of the ACME client about a challenge.
fn found(line: &serde_json::Value) -> Option<String> {
    let challenge = line["challenge_type"].as_str()?;
    Some(format!("{challenge}: {}", line["problem"]["detail"].as_str()?))
}

/// How much of the log's end is looked at.
const MAX_LOG: u64 = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(found: &[&str], own: &[&str]) -> Option<String> {
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        judge("app.example.com", &parse(found), &parse(own))
    }

    #[test]
    fn a_wrong_record_is_told_with_the_right_one() {
        let own = ["203.0.113.7", "2001:db8::7", "10.0.0.4"];
        assert_eq!(said(&["203.0.113.7"], &own), None);
        assert_eq!(said(&["203.0.113.7", "2001:db8::7"], &own), None);
        assert_eq!(
            said(&[], &own).unwrap(),
            "app.example.com has no address in DNS, so nobody certifies it. \
             Set the record `app.example.com. A 203.0.113.7` or `app.example.com. AAAA 2001:db8::7`."
        );
        assert_eq!(
            said(&["198.51.100.1"], &own[..1]).unwrap(),
            "app.example.com leads to 198.51.100.1, not to this machine. \
             Set the record `app.example.com. A 203.0.113.7`."
        );
        assert_eq!(
            said(&["203.0.113.7", "2001:db8::1"], &own).unwrap(),
            "app.example.com leads to this machine and to 2001:db8::1 as well, where neither clients nor \
             certificate authorities find it. Remove that record."
        );
    }

    #[test]
    fn a_machine_that_does_not_know_its_public_address_says_only_what_it_knows() {
        assert_eq!(said(&["198.51.100.1"], &["10.0.0.4"]), None);
        assert_eq!(said(&["10.0.0.4"], &["10.0.0.4"]), None);
        assert!(said(&[], &[]).unwrap().ends_with("Set an A record with this machine's public address."));
    }
}
