//! Who may connect: the ingress rules an app declares, decided for one peer at a time.

use caution_abi::network::Ipv4Network;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// One ingress rule: who may connect to which ports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// From where.
    pub from: Ipv4Network,
    /// The app's ports, first and last.
    pub ports: RangeInclusive<u16>,
}

/// Whether `peer` may connect to the app's `port`.
///
/// An app without rules (a Procfile has none) lets everybody in; with rules, one of those for the
/// port has to name the peer.
pub fn admitted(peer: IpAddr, port: u16, rules: &[Rule]) -> bool {
    rules.is_empty() || networks(port, rules).any(|network| holds(network, peer))
}

/// Whether a network holds a peer. One over IPv6 is in no network but `0.0.0.0/0`, which means everybody; a client over
/// IPv4 of a socket for both is one over IPv4.
fn holds(network: Ipv4Network, peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(peer) => network.contains(peer),
        IpAddr::V6(_) => network == Ipv4Network::ALL,
    }
}

/// The networks that may connect to `port`.
pub(crate) fn networks(port: u16, rules: &[Rule]) -> impl Iterator<Item = Ipv4Network> + '_ {
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
}
