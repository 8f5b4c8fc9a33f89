//! IPv4 packets with TCP or UDP inside; everything else is a refusal.

use caution_abi::egress::Protocol;
use std::net::Ipv4Addr;

/// Why a packet does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Another version than 4.
    NotIpv4,
    /// Lengths that contradict each other.
    Malformed,
    /// IPv4 options: source routes are among them.
    Options,
    /// A part of a packet. Ports stand in the first part only, and the link is wide enough for any whole one.
    Fragment,
    /// Neither TCP nor UDP.
    Protocol(u8),
    /// From another address than the enclave's, or to another one.
    NotOurs(Ipv4Addr),
    /// No rule allows it.
    Denied {
        /// The address outside.
        address: Ipv4Addr,
        /// The port outside.
        port: u16,
        /// By which protocol.
        protocol: Protocol,
    },
    /// From outside, and nothing inside has asked for it.
    Unasked(Ipv4Addr),
    /// More UDP conversations at a time than are kept.
    TooManyFlows,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotIpv4 => write!(f, "it is not IPv4"),
            Self::Malformed => write!(f, "it is malformed"),
            Self::Options => write!(f, "it has IPv4 options"),
            Self::Fragment => write!(f, "it is a fragment"),
            Self::Protocol(number) => write!(f, "IP protocol {number} is neither TCP nor UDP"),
            Self::NotOurs(address) => write!(f, "{address} is not the enclave's address"),
            Self::Denied { address, port, protocol } => {
                let protocol = if *protocol == Protocol::Udp { "udp" } else { "tcp" };
                write!(f, "no egress rule allows {address} {protocol} {port}")
            }
            Self::Unasked(address) => write!(f, "nothing inside asked {address} for it"),
            Self::TooManyFlows => write!(f, "too many UDP conversations are open"),
        }
    }
}

/// What the filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'p> {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: Protocol,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    /// A TCP segment that opens a connection.
    pub(crate) opens: bool,
    /// The packet without what a link appended to it.
    pub(crate) bytes: &'p [u8],
}

impl<'p> Packet<'p> {
    pub(crate) fn parse(bytes: &'p [u8]) -> Result<Self, Refusal> {
        match bytes.first() {
            None => return Err(Refusal::Malformed),
            Some(first) if first >> 4 != 4 => return Err(Refusal::NotIpv4),
            Some(_) => {}
        }
        let header = bytes.first_chunk::<HEADER>().ok_or(Refusal::Malformed)?;
        if header[0] & 0x0f != 5 {
            return Err(Refusal::Options);
        }
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let bytes = bytes.get(..total).filter(|_| total >= HEADER).ok_or(Refusal::Malformed)?;
        // Reserved bit, "more fragments" and offset; "don't fragment" may stand.
        if u16::from_be_bytes([header[6], header[7]]) & !0x4000 != 0 {
            return Err(Refusal::Fragment);
        }
        let (protocol, opens) = match header[9] {
            6 => (Protocol::Tcp, tcp(&bytes[HEADER..])?),
            17 => (Protocol::Udp, udp(&bytes[HEADER..])?),
            other => return Err(Refusal::Protocol(other)),
        };
        let [a, b, c, d, ..] = bytes[HEADER..] else { return Err(Refusal::Malformed) };
        Ok(Self {
            source: Ipv4Addr::new(header[12], header[13], header[14], header[15]),
            destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]),
            protocol,
            source_port: u16::from_be_bytes([a, b]),
            destination_port: u16::from_be_bytes([c, d]),
            opens,
            bytes,
        })
    }
}

/// Whether a whole TCP segment opens a connection: SYN without ACK.
fn tcp(segment: &[u8]) -> Result<bool, Refusal> {
    let header = segment.first_chunk::<20>().ok_or(Refusal::Malformed)?;
    let offset = usize::from(header[12] >> 4) * 4;
    if !(20..=segment.len()).contains(&offset) {
        return Err(Refusal::Malformed);
    }
    Ok(header[13] & (SYN | ACK) == SYN)
}

/// A datagram that fills its packet exactly; it opens nothing.
fn udp(datagram: &[u8]) -> Result<bool, Refusal> {
    let header = datagram.first_chunk::<8>().ok_or(Refusal::Malformed)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if length == datagram.len() { Ok(false) } else { Err(Refusal::Malformed) }
}

/// Bytes of an IPv4 header without options.
pub(crate) const HEADER: usize = 20;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
