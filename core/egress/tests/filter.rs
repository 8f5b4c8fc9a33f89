//! What passes in which direction, case by case.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

use caution_abi::egress::{EgressRule, Protocol};
use caution_egress::{Filter, MAX_FLOWS, Refusal, prohibited};
use std::net::Ipv4Addr;
use std::time::Duration;

const ENCLAVE: [u8; 4] = [192, 0, 0, 2];
const SERVER: [u8; 4] = [203, 0, 113, 5];
const NOW: Duration = Duration::from_secs(1);

fn filter(network: &str, ports: (u16, u16), protocol: Protocol) -> Filter {
    Filter::new(vec![EgressRule { network: network.parse().unwrap(), ports, protocol }])
}

fn ip(protocol: u8, source: [u8; 4], destination: [u8; 4], rest: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + rest.len()).unwrap().to_be_bytes();
    let header = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    [&header[..], &source, &destination, rest].concat()
}

fn tcp(from: ([u8; 4], u16), to: ([u8; 4], u16), flags: u8) -> Vec<u8> {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    ip(6, from.0, to.0, &[&ports[..], &[0; 8], &[0x50, flags, 0, 0, 0, 0, 0, 0]].concat())
}

fn udp(from: ([u8; 4], u16), to: ([u8; 4], u16)) -> Vec<u8> {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    ip(17, from.0, to.0, &[&ports[..], &[0, 10, 0, 0, b'h', b'i']].concat())
}

const SYN: u8 = 2;
const SYN_ACK: u8 = 0x12;

#[test]
fn a_connection_is_opened_from_inside_only() {
    let mut filter = filter("203.0.113.0/24", (443, 443), Protocol::Tcp);
    let (inside, outside) = ((ENCLAVE, 40_000), (SERVER, 443));
    assert_eq!(filter.outbound(&tcp(inside, outside, SYN), NOW), Ok(()));
    assert!(filter.inbound(&tcp(outside, inside, SYN_ACK), NOW).is_ok());
    let asked = Refusal::Unasked(SERVER.into());
    assert_eq!(filter.inbound(&tcp(outside, inside, SYN), NOW), Err(asked));
    // With the flags that make a SYN odd it stays one.
    assert_eq!(filter.inbound(&tcp(outside, inside, SYN | 0xc1), NOW), Err(asked));
    let denied =
        |address: [u8; 4], port| Refusal::Denied { address: address.into(), port, protocol: Protocol::Tcp };
    assert_eq!(filter.outbound(&tcp(inside, (SERVER, 80), SYN), NOW), Err(denied(SERVER, 80)));
    let other = [203, 0, 114, 5];
    assert_eq!(filter.outbound(&tcp(inside, (other, 443), SYN), NOW), Err(denied(other, 443)));
    assert_eq!(filter.inbound(&tcp((other, 443), inside, SYN_ACK), NOW), Err(denied(other, 443)));
    assert!(filter.outbound(&udp(inside, outside), NOW).is_err());
}

#[test]
fn a_datagram_comes_in_only_as_an_answer_and_not_for_ever() {
    let mut filter = filter("203.0.113.0/24", (1, 65_535), Protocol::Udp);
    let (inside, outside) = ((ENCLAVE, 40_000), (SERVER, 443));
    let answer = udp(outside, inside);
    assert_eq!(filter.inbound(&answer, NOW), Err(Refusal::Unasked(SERVER.into())));
    filter.outbound(&udp(inside, outside), NOW).unwrap();
    assert_eq!(filter.inbound(&answer, NOW), Ok(&answer[..]));
    assert!(filter.inbound(&udp((SERVER, 444), inside), NOW).is_err());
    assert!(filter.inbound(&udp(outside, (ENCLAVE, 40_001)), NOW).is_err());
    assert!(filter.inbound(&answer, NOW + Duration::from_secs(179)).is_ok());
    assert!(filter.inbound(&answer, NOW + Duration::from_secs(179 + 180)).is_err());
}

#[test]
fn conversations_are_bounded_and_old_ones_make_room() {
    let mut filter = filter("0.0.0.0/0", (1, 65_535), Protocol::Any);
    for port in 0..u16::try_from(MAX_FLOWS).unwrap() {
        filter.outbound(&udp((ENCLAVE, port), (SERVER, 443)), NOW).unwrap();
    }
    let more = udp((ENCLAVE, 50_000), (SERVER, 443));
    assert_eq!(filter.outbound(&more, NOW), Err(Refusal::TooManyFlows));
    assert_eq!(filter.outbound(&udp((ENCLAVE, 7), (SERVER, 443)), NOW), Ok(()));
    assert_eq!(filter.outbound(&more, NOW + Duration::from_mins(3)), Ok(()));
}

#[test]
fn what_is_not_named_narrowly_is_not_meant() {
    let mut wide = filter("0.0.0.0/0", (1, 65_535), Protocol::Any);
    let inside = (ENCLAVE, 40_000);
    let hosts = [
        [169, 254, 169, 254],
        [10, 0, 0, 1],
        [172, 17, 0, 1],
        [192, 168, 0, 1],
        [100, 100, 100, 200],
        [127, 0, 0, 1],
        [192, 0, 0, 1],
        [192, 0, 0, 3],
        [224, 0, 0, 251],
        [255, 255, 255, 255],
        [0, 0, 0, 0],
    ];
    for host in hosts {
        assert!(wide.outbound(&tcp(inside, (host, 80), SYN), NOW).is_err(), "{host:?}");
        assert!(wide.outbound(&udp(inside, (host, 53)), NOW).is_err(), "{host:?}");
    }
    let mut metadata = filter("169.254.169.254/32", (80, 80), Protocol::Tcp);
    assert_eq!(metadata.outbound(&tcp(inside, ([169, 254, 169, 254], 80), SYN), NOW), Ok(()));
}

#[test]
fn the_parents_own_addresses_are_opened_one_by_one_only() {
    let inside = (ENCLAVE, 40_000);
    let to = |address| tcp(inside, (address, 443), SYN);
    for (network, open) in [("0.0.0.0/0", false), ("203.0.113.4/31", false), ("203.0.113.5/32", true)] {
        let mut filter = filter(network, (1, 65_535), Protocol::Any);
        assert_eq!(filter.outbound(&to(SERVER), NOW), Ok(()));
        filter.set_host(vec![SERVER.into(), [10, 0, 0, 1].into()]);
        assert_eq!(filter.outbound(&to(SERVER), NOW).is_ok(), open, "{network}");
        assert!(filter.outbound(&to([10, 0, 0, 1]), NOW).is_err());
        let neighbour = [203, 0, 113, 4];
        assert_eq!(filter.outbound(&to(neighbour), NOW).is_ok(), !open, "{network}");
    }
}

#[test]
fn the_parents_resolver_is_asked_from_one_port_only() {
    let mut filter = Filter::new(Vec::new());
    let resolver = ([192, 0, 0, 3], 53);
    assert_eq!(filter.outbound(&udp((ENCLAVE, 49_531), resolver), NOW), Ok(()));
    assert!(filter.inbound(&udp(resolver, (ENCLAVE, 49_531)), NOW).is_ok());
    assert!(filter.outbound(&udp((ENCLAVE, 49_532), resolver), NOW).is_err());
    assert!(filter.outbound(&udp((ENCLAVE, 49_531), ([192, 0, 0, 3], 54)), NOW).is_err());
    assert!(filter.outbound(&tcp((ENCLAVE, 49_531), resolver, SYN), NOW).is_err());
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let mut filter = filter("0.0.0.0/0", (1, 65_535), Protocol::Any);
    let good = tcp((ENCLAVE, 40_000), (SERVER, 443), SYN);
    let mut changed = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        filter.outbound(&packet, NOW)
    };
    assert_eq!(changed(0, 0x45), Ok(()));
    assert_eq!(changed(0, 0x65), Err(Refusal::NotIpv4));
    assert_eq!(changed(0, 0x46), Err(Refusal::Options));
    assert_eq!(changed(3, 39), Err(Refusal::Malformed));
    assert_eq!(changed(3, 41), Err(Refusal::Malformed));
    assert_eq!(changed(6, 0x20), Err(Refusal::Fragment));
    assert_eq!(changed(7, 1), Err(Refusal::Fragment));
    assert_eq!(changed(6, 0x80), Err(Refusal::Fragment));
    assert_eq!(changed(9, 1), Err(Refusal::Protocol(1)));
    assert_eq!(changed(15, 3), Err(Refusal::NotOurs(Ipv4Addr::new(192, 0, 0, 3))));
    assert_eq!(changed(32, 0x40), Err(Refusal::Malformed));
    assert_eq!(changed(32, 0x60), Err(Refusal::Malformed));
    assert_eq!(filter.outbound(&[], NOW), Err(Refusal::Malformed));
}

#[test]
fn what_a_link_appended_is_cut_off_inside() {
    let mut filter = filter("0.0.0.0/0", (1, 65_535), Protocol::Any);
    let answer = tcp((SERVER, 443), (ENCLAVE, 40_000), SYN_ACK);
    let padded = [&answer[..], &[0; 6]].concat();
    assert_eq!(filter.inbound(&padded, NOW), Ok(&answer[..]));
    let elsewhere = tcp((SERVER, 443), ([192, 0, 0, 4], 40_000), SYN_ACK);
    assert_eq!(filter.inbound(&elsewhere, NOW), Err(Refusal::NotOurs(Ipv4Addr::new(192, 0, 0, 4))));
}

#[test]
fn a_refused_sender_is_told() {
    let refused = tcp((ENCLAVE, 40_000), ([10, 0, 0, 1], 443), SYN);
    let answer = prohibited(&refused).unwrap();
    assert_eq!(answer[..4], [0x45, 0, 0, 56]);
    assert_eq!(answer[9..20], [1, answer[10], answer[11], 192, 0, 0, 1, 192, 0, 0, 2]);
    assert_eq!(answer[20..22], [3, 13]);
    assert_eq!(answer[28..], refused[..28]);
    for part in [&answer[..20], &answer[20..]] {
        let words = part.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum::<u32>();
        assert_eq!((words & 0xffff) + (words >> 16), 0xffff);
    }
    // Never about ICMP itself (RFC 1122 §3.2.2), nor for anybody else's packet.
    assert_eq!(prohibited(&ip(1, ENCLAVE, SERVER, &[0; 8])), None);
    assert_eq!(prohibited(&tcp((SERVER, 1), (SERVER, 443), SYN)), None);
    assert_eq!(prohibited(&refused[..27]), None);
}
