//! The rules, applied to packets of both directions.

use crate::packet::{HEADER, Packet, Refusal};
use caution_abi::egress::{DNS_PORT, ENCLAVE, EgressRule, GATEWAY, PARENT_RESOLVER, Protocol, RESOLVER_PORT};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// UDP conversations that are remembered at a time.
pub const MAX_FLOWS: usize = 4096;
/// A UDP conversation is over when nothing was said for this long; RFC 4787 asks for two minutes.
const FLOW_ENDS_AFTER: Duration = Duration::from_mins(3);

/// Decides about every packet of one enclave. `now` is the time since any fixed moment.
#[derive(Debug)]
pub struct Filter {
    rules: Vec<EgressRule>,
    /// Our port, and address and port outside, with when something was said last.
    flows: BTreeMap<(u16, Ipv4Addr, u16), Duration>,
    /// The parent's own addresses, as it says.
    host: Vec<Ipv4Addr>,
}

impl Filter {
    /// A filter for the rules of a boot plan.
    pub fn new(rules: Vec<EgressRule>) -> Self {
        Self { rules, flows: BTreeMap::new(), host: Vec::new() }
    }

    /// From now on these are the parent's own addresses, which only a rule for just that address opens.
    ///
    /// The parent says which, for its own sake: a service of a machine is reached past its firewall from
    /// the machine itself. All it can do with a lie is to close what it could keep back anyway.
    pub fn set_host(&mut self, addresses: Vec<Ipv4Addr>) {
        self.host = addresses;
    }

    /// Whether a packet may leave. It must be nothing but the packet.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn outbound(&mut self, bytes: &[u8], now: Duration) -> Result<(), Refusal> {
        let packet = Packet::parse(bytes)?;
        if packet.bytes.len() != bytes.len() {
            return Err(Refusal::Malformed);
        }
        if packet.source != ENCLAVE {
            return Err(Refusal::NotOurs(packet.source));
        }
        let asks_resolver = packet.source_port == RESOLVER_PORT
            && is_resolver(packet.destination, packet.destination_port, packet.protocol);
        if !asks_resolver {
            self.allowed(packet.destination, packet.destination_port, packet.protocol)?;
        }
        if packet.protocol == Protocol::Udp {
            self.remember((packet.source_port, packet.destination, packet.destination_port), now)?;
        }
        Ok(())
    }

    /// The packet, where it may come in: an answer to something that was let out.
    ///
    /// TCP needs no memory for that: what opens a connection does not come in, and the enclave's kernel
    /// answers everything else that belongs to no connection with a reset.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn inbound<'p>(&mut self, bytes: &'p [u8], now: Duration) -> Result<&'p [u8], Refusal> {
        let packet = Packet::parse(bytes)?;
        if packet.destination != ENCLAVE {
            return Err(Refusal::NotOurs(packet.destination));
        }
        let answers_resolver = packet.destination_port == RESOLVER_PORT
            && is_resolver(packet.source, packet.source_port, packet.protocol);
        if !answers_resolver {
            self.allowed(packet.source, packet.source_port, packet.protocol)?;
        }
        let asked = match packet.protocol {
            Protocol::Udp => self.answers((packet.destination_port, packet.source, packet.source_port), now),
            Protocol::Tcp | Protocol::Any => !packet.opens,
        };
        if asked { Ok(packet.bytes) } else { Err(Refusal::Unasked(packet.source)) }
    }

    fn allowed(&self, address: Ipv4Addr, port: u16, protocol: Protocol) -> Result<(), Refusal> {
        let named = |rule: &EgressRule| !self.host.contains(&address) || rule.network.is_only(address);
        if self.rules.iter().any(|rule| named(rule) && rule.allows(address, port, protocol)) {
            Ok(())
        } else {
            Err(Refusal::Denied { address, port, protocol })
        }
    }

    fn remember(&mut self, flow: (u16, Ipv4Addr, u16), now: Duration) -> Result<(), Refusal> {
        if !self.flows.contains_key(&flow) && self.flows.len() >= MAX_FLOWS {
            self.flows.retain(|_, last| is_open(*last, now));
            if self.flows.len() >= MAX_FLOWS {
                return Err(Refusal::TooManyFlows);
            }
        }
        self.flows.insert(flow, now);
        Ok(())
    }

    fn answers(&mut self, flow: (u16, Ipv4Addr, u16), now: Duration) -> bool {
        match self.flows.get_mut(&flow) {
            Some(last) if is_open(*last, now) => {
                *last = now;
                true
            }
            _ => false,
        }
    }
}

fn is_open(last: Duration, now: Duration) -> bool {
    now.saturating_sub(last) < FLOW_ENDS_AFTER
}

/// The one destination besides the rules; only EnclaveOS holds the port it is asked from.
fn is_resolver(address: Ipv4Addr, port: u16, protocol: Protocol) -> bool {
    address == PARENT_RESOLVER && port == DNS_PORT && protocol == Protocol::Udp
}

/// The answer to a packet of the enclave that was refused, so that its sender learns of it at once:
/// ICMP "communication administratively prohibited" from the gateway (RFC 1812 §5.2.7.1). None
/// where there is no such packet to speak of.
pub fn prohibited(refused: &[u8]) -> Option<[u8; 56]> {
    let quoted = refused.first_chunk::<{ HEADER + 8 }>()?;
    if quoted[0] != 0x45 || quoted[12..16] != ENCLAVE.octets() || quoted[9] == ICMP {
        return None;
    }
    let mut answer = [0; 56];
    answer[0] = 0x45;
    answer[3] = 56;
    answer[8] = 64;
    answer[9] = ICMP;
    answer[12..16].copy_from_slice(&GATEWAY.octets());
    answer[16..20].copy_from_slice(&ENCLAVE.octets());
    answer[20] = UNREACHABLE;
    answer[21] = PROHIBITED;
    answer[28..].copy_from_slice(quoted);
    let sum = checksum(&answer[..HEADER]);
    answer[10..12].copy_from_slice(&sum);
    let sum = checksum(&answer[HEADER..]);
    answer[22..24].copy_from_slice(&sum);
    Some(answer)
}

/// RFC 1071, over an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let (words, _) = bytes.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [.., high, low] = (!sum).to_be_bytes();
    [high, low]
}

const ICMP: u8 = 1;
const UNREACHABLE: u8 = 3;
const PROHIBITED: u8 = 13;
