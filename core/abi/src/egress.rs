//! Egress: which destinations outside the enclave an app may reach, and the network it does that over.
//!
//! Rules are part of the boot plan and enforced inside the enclave (`caution-egress`); what carries
//! the packets outside is the host's and trusted with nothing. `specs/egress.md` is the text.

use crate::network::Ipv4Network;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The most rules a plan has.
pub const MAX_RULES: usize = 256;

/// The enclave's address. The network is the one of RFC 7335, which routers never forward, so it
/// collides with no destination an app could mean.
pub const ENCLAVE: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);
/// The parent's user-mode network stack, the enclave's default route.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 1);
/// Where that stack takes questions for the parent's own resolver.
pub const PARENT_RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 3);
/// Bits of the network all three are in.
pub const PREFIX: u8 = 29;
/// The enclave's Ethernet address, locally administered.
pub const ENCLAVE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// The gateway's.
pub const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The largest IPv4 packet. Nothing is put on a wire before the parent's kernel takes it apart, so
/// few large packets serve better than many small ones; with its Ethernet header it stays below 2^16.
pub const MTU: u16 = 65_520;
/// UDP port EnclaveOS' own resolver asks from; of [`crate::ports::RESERVED`], and taken before the app starts.
pub const RESOLVER_PORT: u16 = 49_531;
/// Where the app finds EnclaveOS' resolver, on loopback. An app with egress cannot declare it.
pub const DNS_PORT: u16 = 53;

/// What an app may reach: destinations in a network, on some ports, by some protocol.
///
/// Field order is the order of the canonical form and of [`Ord`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRule {
    /// The destinations. Special networks inside a wider one are not meant: see [`EgressRule::allows`].
    pub network: Ipv4Network,
    /// First and last destination port; 1 and 65535 for all.
    pub ports: (u16, u16),
    /// By which protocol.
    pub protocol: Protocol,
}

/// What carries the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP and UDP.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Why a rule cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EgressRuleError {
    /// Every destination of it is one that no enclave reaches.
    #[error("{network} is {name}, which no enclave reaches")]
    Unreachable {
        /// The network it lies in.
        network: Ipv4Network,
        /// What that is.
        name: &'static str,
    },
    /// The range ends before it begins, or begins at 0.
    #[error("ports are a first and a last one, from 1 to 65535")]
    Ports,
}

impl EgressRule {
    /// First and last of all ports.
    pub const ALL_PORTS: (u16, u16) = (1, u16::MAX);

    /// Whether traffic to this destination is allowed by this rule.
    ///
    /// A rule means the public internet unless it lies wholly inside a [`PRIVATE`] network: `0.0.0.0/0`
    /// does not open `10.0.0.0/8`, `10.1.0.0/16` opens just that. Destinations of [`NEVER`] are not opened by
    /// any rule.
    pub fn allows(&self, destination: Ipv4Addr, port: u16, protocol: Protocol) -> bool {
        let (first, last) = self.ports;
        self.reaches(destination)
            && (first..=last).contains(&port)
            && (self.protocol == Protocol::Any || self.protocol == protocol)
    }

    /// Whether some port of this destination is allowed.
    pub fn reaches(&self, destination: Ipv4Addr) -> bool {
        let in_list = |list: &[Special]| list.iter().find(|s| s.network.contains(destination)).copied();
        self.network.contains(destination)
            && in_list(&NEVER).is_none()
            && in_list(&PRIVATE).is_none_or(|special| self.network.is_within(special.network))
    }

    /// The rules that types cannot carry.
    pub fn check(&self) -> Result<(), EgressRuleError> {
        let (first, last) = self.ports;
        if first == 0 || first > last {
            return Err(EgressRuleError::Ports);
        }
        match NEVER.iter().find(|special| self.network.is_within(special.network)) {
            Some(special) => {
                Err(EgressRuleError::Unreachable { network: special.network, name: special.name })
            }
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for EgressRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = match self.protocol {
            Protocol::Any => "tcp and udp",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{} ", self.network)?;
        match self.ports {
            Self::ALL_PORTS => write!(f, "{protocol}, all ports"),
            (first, last) if first == last => write!(f, "{protocol} {first}"),
            (first, last) => write!(f, "{protocol} {first}-{last}"),
        }
    }
}

/// A network with a meaning of its own (IANA IPv4 Special-Purpose Address Registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Special {
    /// Which.
    pub network: Ipv4Network,
    /// In words that follow "is".
    pub name: &'static str,
}

/// What no rule opens.
pub const NEVER: [Special; 5] = [
    Special { network: Ipv4Network::new(0, 0, 8), name: "no destination" },
    Special { network: Ipv4Network::new(127, 0, 8), name: "loopback, the enclave itself" },
    Special { network: Ipv4Network::new(192, 0, 24), name: "the link between the enclave and its host" },
    Special { network: Ipv4Network::new(224, 0, 4), name: "multicast" },
    Special { network: Ipv4Network::new(240, 0, 4), name: "reserved, or broadcast" },
];

/// What only a rule inside it opens: the networks hosts, their services and other enclaves are in.
pub const PRIVATE: [Special; 6] = [
    Special { network: Ipv4Network::new(10, 0, 8), name: "a private network" },
    Special { network: Ipv4Network::new(100, 64, 10), name: "a carrier's or overlay's network" },
    Special { network: Ipv4Network::new(169, 254, 16), name: "link-local; cloud metadata is there" },
    Special { network: Ipv4Network::new(172, 16, 12), name: "a private network" },
    Special { network: Ipv4Network::new(192, 168, 16), name: "a private network" },
    Special { network: Ipv4Network::new(198, 18, 15), name: "a network for measurements" },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(network: &str) -> EgressRule {
        EgressRule { network: network.parse().unwrap(), ports: (1, u16::MAX), protocol: Protocol::Any }
    }

    #[test]
    fn a_wide_rule_does_not_open_private_networks_and_a_narrow_one_does() {
        let cases = [
            ("0.0.0.0/0", "1.1.1.1", true),
            ("0.0.0.0/0", "10.1.2.3", false),
            ("10.0.0.0/7", "10.1.2.3", false),
            ("10.0.0.0/7", "11.1.2.3", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.1.2.3/32", "10.1.2.3", true),
            ("0.0.0.0/0", "169.254.169.254", false),
            ("169.254.0.0/16", "169.254.169.254", true),
            ("169.254.169.254/32", "169.254.169.254", true),
            ("0.0.0.0/0", "172.31.0.2", false),
            ("0.0.0.0/0", "172.32.0.2", true),
            ("0.0.0.0/0", "192.168.1.1", false),
            ("0.0.0.0/0", "100.64.0.1", false),
            ("0.0.0.0/0", "198.19.255.1", false),
            ("192.0.0.0/8", "192.0.0.1", false),
            ("192.0.0.0/8", "192.0.2.1", true),
            ("0.0.0.0/0", "127.0.0.1", false),
            ("0.0.0.0/0", "0.0.0.0", false),
            ("0.0.0.0/0", "224.0.0.251", false),
            ("0.0.0.0/0", "255.255.255.255", false),
        ];
        for (network, destination, expected) in cases {
            let destination = destination.parse().unwrap();
            assert_eq!(rule(network).reaches(destination), expected, "{network} {destination}");
        }
    }

    #[test]
    fn ports_and_protocols_narrow_a_rule() {
        let https = EgressRule { ports: (443, 444), protocol: Protocol::Tcp, ..rule("192.0.2.0/24") };
        let address = Ipv4Addr::new(192, 0, 2, 9);
        assert!(https.allows(address, 443, Protocol::Tcp) && https.allows(address, 444, Protocol::Tcp));
        assert!(!https.allows(address, 442, Protocol::Tcp) && !https.allows(address, 445, Protocol::Tcp));
        assert!(!https.allows(address, 443, Protocol::Udp));
        assert!(!https.allows(Ipv4Addr::new(192, 0, 3, 9), 443, Protocol::Tcp));
        assert!(rule("192.0.2.0/24").allows(address, 9, Protocol::Udp));
    }

    #[test]
    fn what_no_enclave_reaches_is_refused_by_name() {
        for network in ["127.0.0.1/32", "192.0.0.0/29", "224.0.0.0/4", "255.255.255.255/32", "0.0.0.0/8"] {
            assert!(matches!(rule(network).check(), Err(EgressRuleError::Unreachable { .. })), "{network}");
        }
        assert_eq!(rule("169.254.169.254/32").check(), Ok(()));
        for ports in [(0, 1), (2, 1)] {
            let rule = EgressRule { ports, ..rule("192.0.2.0/24") };
            assert_eq!(rule.check(), Err(EgressRuleError::Ports));
        }
    }

    #[test]
    fn a_rule_is_said_in_a_line() {
        assert_eq!(rule("0.0.0.0/0").to_string(), "0.0.0.0/0 tcp and udp, all ports");
        let one = EgressRule { ports: (443, 443), protocol: Protocol::Tcp, ..rule("192.0.2.0/24") };
        assert_eq!(one.to_string(), "192.0.2.0/24 tcp 443");
        let some = EgressRule { ports: (1, 9), protocol: Protocol::Udp, ..one };
        assert_eq!(some.to_string(), "192.0.2.0/24 udp 1-9");
    }
}
