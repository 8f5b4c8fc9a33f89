//! IPv4 networks, as rules name them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network, `address/prefix`, no bits set after its prefix. It has one way to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Network {
    address: u32,
    prefix: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotANetwork {
    /// Another form.
    #[error("an IPv4 network is written address/prefix, such as 10.0.0.0/8")]
    Malformed,
    /// The address of something inside a network.
    #[error("an IPv4 network has no bits set after its prefix; this one is {0}")]
    HostBits(Ipv4Network),
}

impl Ipv4Network {
    /// `0.0.0.0/0`.
    pub const ALL: Self = Self { address: 0, prefix: 0 };

    pub(crate) const fn new(a: u8, b: u8, prefix: u8) -> Self {
        Self { address: u32::from_be_bytes([a, b, 0, 0]), prefix }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == self.address
    }

    /// Whether it is this one address.
    pub fn is_only(self, address: Ipv4Addr) -> bool {
        self.prefix == 32 && self.contains(address)
    }

    /// Whether all of it is in `other`.
    pub fn is_within(self, other: Self) -> bool {
        self.prefix >= other.prefix && other.contains(self.address.into())
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32_u32.saturating_sub(self.prefix.into())).unwrap_or(0)
    }
}

impl fmt::Display for Ipv4Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.address), self.prefix)
    }
}

impl FromStr for Ipv4Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = NotANetwork::Malformed;
        let (address, prefix) = text.split_once('/').ok_or(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong)?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong)?;
        let written = Self { address: address.into(), prefix };
        if prefix > 32 || written.to_string() != text {
            return Err(wrong);
        }
        let network = Self { address: written.address & written.mask(), prefix };
        if network == written { Ok(network) } else { Err(NotANetwork::HostBits(network)) }
    }
}

impl TryFrom<String> for Ipv4Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Ipv4Network> for String {
    fn from(network: Ipv4Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Ipv4Network, NotANetwork> {
        text.parse()
    }

    #[test]
    fn a_network_has_one_form() {
        for text in ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.1/32", "128.0.0.0/1"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let wrong = [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.0/08",
            "10.0.0.0/+8",
            "010.0.0.0/8",
            "10.0.0/8",
            "::/0",
            "10.0.0.0/8 ",
        ];
        for text in wrong {
            assert_eq!(parse(text), Err(NotANetwork::Malformed), "{text}");
        }
        for (text, network) in [("10.0.0.1/8", "10.0.0.0/8"), ("1.0.0.0/0", "0.0.0.0/0")] {
            assert_eq!(parse(text), Err(NotANetwork::HostBits(parse(network).unwrap())), "{text}");
        }
    }

    #[test]
    fn networks_hold_addresses_and_narrower_networks() {
        let network = parse("10.128.0.0/9").unwrap();
        for (address, inside) in [("10.128.0.0", true), ("10.255.255.255", true), ("10.127.255.255", false)] {
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(Ipv4Network::ALL.contains(Ipv4Addr::BROADCAST));
        assert!(network.is_within(Ipv4Network::ALL) && !Ipv4Network::ALL.is_within(network));
        let one = parse("192.0.2.1/32").unwrap();
        assert!(one.is_only(Ipv4Addr::new(192, 0, 2, 1)) && !one.is_only(Ipv4Addr::new(192, 0, 2, 2)));
        assert!(!network.is_only(Ipv4Addr::new(10, 128, 0, 0)));
    }
}
