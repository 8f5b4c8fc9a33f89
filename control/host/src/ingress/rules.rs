//! Who may connect: the ingress rules an app declares, decided for one peer at a time.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// An IPv4 network, `a.b.c.d/n` with the host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: Ipv4Addr,
    prefix: u8,
}

impl Cidr {
    /// `0.0.0.0/0`: everybody, over IPv6 too.
    pub const EVERYBODY: Self = Self { network: Ipv4Addr::UNSPECIFIED, prefix: 0 };

    /// Whether the peer is in it. An IPv6 peer is in no network but [`Cidr::EVERYBODY`], except one
    /// that is an IPv4 peer of a socket for both.
    fn contains(self, peer: IpAddr) -> bool {
        match peer.to_canonical() {
            _ if self == Self::EVERYBODY => true,
            IpAddr::V4(peer) => peer.to_bits() & self.mask() == self.network.to_bits(),
            IpAddr::V6(_) => false,
        }
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// The text is no IPv4 network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an IPv4 network like 10.0.0.0/8 with the host bits zero")]
pub struct NotANetwork(String);

impl FromStr for Cidr {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.chars().take(40).collect());
        let (network, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let network = network.parse().map_err(|_| wrong())?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32).ok_or_else(wrong)?;
        let cidr = Self { network, prefix };
        if network.to_bits() & !cidr.mask() == 0 { Ok(cidr) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Cidr {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

/// One ingress rule: who may connect to which ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// From where.
    pub from: Cidr,
    /// The app's ports, first and last.
    pub ports: RangeInclusive<u16>,
}

/// Whether `peer` may connect to the app's `port`.
///
/// An app without rules (a Procfile has none) lets everybody in; with rules, one of those for the
/// port has to name the peer.
pub fn admitted(peer: IpAddr, port: u16, rules: &[Rule]) -> bool {
    rules.is_empty() || networks(port, rules).any(|network| network.contains(peer))
}

/// The networks that may connect to `port`.
pub(crate) fn networks(port: u16, rules: &[Rule]) -> impl Iterator<Item = Cidr> + '_ {
    rules.iter().filter(move |rule| rule.ports.contains(&port)).map(|rule| rule.from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(from: &str, ports: RangeInclusive<u16>) -> Rule {
        Rule { from: from.parse().unwrap(), ports }
    }

    #[test]
    fn rules_admit_the_peers_they_name_and_no_others() {
        let rules = [rule("10.0.0.0/8", 80..=80), rule("192.0.2.7/32", 80..=90), rule("0.0.0.0/0", 22..=22)];
        for (peer, port, wanted) in [
            ("10.255.0.1", 80, true),
            ("11.0.0.0", 80, false),
            ("192.0.2.7", 80, true),
            ("192.0.2.7", 90, true),
            ("192.0.2.7", 91, false),
            ("192.0.2.6", 85, false),
            ("10.0.0.1", 85, false),
            ("203.0.113.1", 22, true),
            ("2001:db8::1", 22, true),
            ("2001:db8::1", 80, false),
            ("::ffff:10.0.0.1", 80, true),
            ("::ffff:11.0.0.1", 80, false),
        ] {
            assert_eq!(admitted(peer.parse().unwrap(), port, &rules), wanted, "{peer} to {port}");
        }
        assert!(admitted("203.0.113.1".parse().unwrap(), 80, &[]));
    }

    #[test]
    fn only_networks_are_networks() {
        for wrong in ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "::/0", "10.0.0.0/-1", "/", ""] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
        for right in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "128.0.0.0/1"] {
            assert_eq!(right.parse::<Cidr>().unwrap().to_string(), right);
        }
    }
}
