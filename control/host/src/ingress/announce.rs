//! PROXY protocol version 2: who the client is, before its first byte.
//!
//! Format: HAProxy's `proxy-protocol.txt`, section 2.2.

use std::net::{IpAddr, SocketAddr};

/// `\r\n\r\n\0\r\nQUIT\n`, which no other protocol begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_AND_COMMAND: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The header for a connection from `peer` to `local`.
pub(crate) fn header(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    // An IPv4 client of a socket for both is an IPv4 client.
    let (family, addresses) = match (peer.ip().to_canonical(), local.ip().to_canonical()) {
        (IpAddr::V4(peer), IpAddr::V4(local)) => (TCP_OVER_IPV4, [peer.octets(), local.octets()].concat()),
        (peer, local) => (TCP_OVER_IPV6, [v6(peer), v6(local)].concat()),
    };
    let ports = [peer.port().to_be_bytes(), local.port().to_be_bytes()].concat();
    let length = u16::try_from(addresses.len() + ports.len()).expect("two addresses and two ports");
    let fixed = [VERSION_AND_COMMAND, family];
    [&SIGNATURE[..], &fixed, &length.to_be_bytes(), &addresses, &ports].concat()
}

fn v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(peer: &str, local: &str) -> Vec<u8> {
        header(peer.parse().unwrap(), local.parse().unwrap())
    }

    #[test]
    fn headers_are_those_of_the_published_format() {
        let signature = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
        let v4 = [0x21, 0x11, 0, 12, 192, 0, 2, 1, 203, 0, 113, 7, 0xd4, 0x31, 0x20, 0x28];
        let wanted = [&signature[..], &v4].concat();
        assert_eq!(bytes("192.0.2.1:54321", "203.0.113.7:8232"), wanted);
        assert_eq!(bytes("[::ffff:192.0.2.1]:54321", "[::ffff:203.0.113.7]:8232"), wanted);
        let v6 = bytes("[2001:db8::1]:54321", "[2001:db8::2]:8232");
        assert_eq!(v6[..16], [&signature[..], &[0x21, 0x21, 0, 36]].concat());
        assert_eq!(v6[16..32], [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!((v6[47], &v6[48..]), (2, &[0xd4, 0x31, 0x20, 0x28][..]));
    }
}
