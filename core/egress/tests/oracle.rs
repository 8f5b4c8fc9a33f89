//! The filter against a slow reading of the same text by other means: bits, tables and no early ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

use caution_abi::egress::{EgressRule, Protocol};
use caution_egress::{Filter, prohibited};
use proptest::prelude::*;
use std::time::Duration;

/// A packet as a row of `0` and `1`.
struct Bits(String);

impl Bits {
    fn of(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| format!("{byte:08b}")).collect())
    }

    /// A field by its first bit and width.
    fn field(&self, first: usize, width: usize) -> Option<usize> {
        usize::from_str_radix(self.0.get(first..first + width)?, 2).ok()
    }

    fn text(&self, first: usize, width: usize) -> &str {
        self.0.get(first..first + width).unwrap_or("")
    }
}

/// Beginnings of addresses, in bits, as `specs/egress.md` lists them.
const NEVER: [&str; 5] = ["00000000", "01111111", "110000000000000000000000", "1110", "1111"];
const PRIVATE: [&str; 6] =
    ["00001010", "0110010001", "1010100111111110", "101011000001", "1100000010101000", "110001100001001"];
const ENCLAVE: &str = "11000000000000000000000000000010";
const RESOLVER: &str = "11000000000000000000000000000011";

fn prefix_of(rule: &EgressRule) -> String {
    let text = rule.network.to_string();
    let (address, bits) = text.split_once('/').unwrap();
    let row: String = address.split('.').map(|part| format!("{:08b}", part.parse::<u8>().unwrap())).collect();
    row[..bits.parse::<usize>().unwrap()].to_owned()
}

fn rules_allow(rules: &[EgressRule], address: &str, port: usize, protocol: Protocol) -> bool {
    rules.iter().any(|rule| {
        let prefix = prefix_of(rule);
        let named =
            PRIVATE.iter().all(|private| !address.starts_with(private) || prefix.starts_with(private));
        address.starts_with(&prefix)
            && named
            && NEVER.iter().all(|never| !address.starts_with(never))
            && usize::from(rule.ports.0) <= port
            && port <= usize::from(rule.ports.1)
            && [Protocol::Any, protocol].contains(&rule.protocol)
    })
}

/// Whether a packet may leave.
fn oracle(rules: &[EgressRule], bytes: &[u8]) -> bool {
    let bits = Bits::of(bytes);
    let whole = || -> Option<bool> {
        let header = bits.field(0, 4)? == 4
            && bits.field(4, 4)? == 5
            && bits.field(16, 16)? == bytes.len()
            && bits.field(48, 1)? == 0
            && bits.field(50, 14)? == 0
            && bits.text(96, 32) == ENCLAVE;
        let (source_port, port) = (bits.field(160, 16)?, bits.field(176, 16)?);
        let destination = bits.text(128, 32);
        let (protocol, fits) = match bits.field(72, 8)? {
            6 => {
                let words = bits.field(256, 4)?;
                (Protocol::Tcp, bytes.len() >= 40 && words >= 5 && 20 + words * 4 <= bytes.len())
            }
            17 => (Protocol::Udp, bytes.len() >= 28 && bits.field(192, 16)? == bytes.len() - 20),
            _ => return Some(false),
        };
        let to_resolver =
            protocol == Protocol::Udp && destination == RESOLVER && port == 53 && source_port == 49_531;
        Some(header && fits && (to_resolver || rules_allow(rules, destination, port, protocol)))
    };
    whole().unwrap_or(false)
}

fn rules() -> impl Strategy<Value = Vec<EgressRule>> {
    let network = prop::sample::select(vec![
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/7",
        "10.1.0.0/16",
        "192.0.2.0/24",
        "192.0.2.7/32",
        "192.0.0.0/8",
        "169.254.169.254/32",
        "172.16.0.0/12",
        "128.0.0.0/1",
        "100.0.0.0/9",
        "198.18.0.0/15",
    ]);
    let ports = prop::sample::select(vec![(1, 65_535), (443, 443), (53, 53), (1, 1023)]);
    let protocol = prop::sample::select(vec![Protocol::Any, Protocol::Tcp, Protocol::Udp]);
    let rule = (network, ports, protocol).prop_map(|(network, ports, protocol)| EgressRule {
        network: network.parse().unwrap(),
        ports,
        protocol,
    });
    prop::collection::vec(rule, 0..5)
}

fn address() -> impl Strategy<Value = [u8; 4]> {
    prop_oneof![
        4 => prop::sample::select(vec![
            [10, 0, 0, 1], [10, 1, 2, 3], [11, 0, 0, 1], [192, 0, 2, 7], [192, 0, 2, 8], [192, 0, 0, 1],
            [192, 0, 0, 3], [169, 254, 169, 254], [172, 31, 0, 1], [172, 32, 0, 1], [127, 0, 0, 1],
            [224, 0, 0, 1], [255; 4], [0; 4], [1, 1, 1, 1], [100, 64, 0, 1], [100, 0, 0, 1], [198, 19, 0, 1],
        ]),
        1 => any::<[u8; 4]>(),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![4 => prop::sample::select(vec![0, 1, 53, 443, 1023, 1024, 49_531, 65_535]), 1 => any::<u16>()]
}

/// A packet that could be, from `source` to `destination`, with up to three bytes changed and cut or extended.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    let source = prop_oneof![6 => Just([192, 0, 0, 2]), 1 => address()];
    let protocol = prop::sample::select(vec![6_u8, 6, 17, 17, 1, 47]);
    let payload = prop::collection::vec(any::<u8>(), 0..24);
    let good = (source, address(), port(), port(), protocol, payload).prop_map(
        |(source, destination, source_port, port, protocol, payload)| {
            let mut rest = [source_port.to_be_bytes(), port.to_be_bytes()].concat();
            if protocol == 6 {
                rest.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
            } else {
                let length = u16::try_from(8 + payload.len()).unwrap();
                rest.extend(length.to_be_bytes());
                rest.extend([0, 0]);
            }
            rest.extend(payload);
            let total = u16::try_from(20 + rest.len()).unwrap().to_be_bytes();
            let header = [0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
            [&header[..], &source, &destination, &rest].concat()
        },
    );
    let changes =
        prop_oneof![3 => Just(vec![]), 2 => prop::collection::vec((0_usize..48, any::<u8>()), 1..4)];
    let length = prop_oneof![4 => Just(None), 1 => (0_usize..64).prop_map(Some)];
    (good, changes, length).prop_map(|(mut packet, changes, length)| {
        for (at, byte) in changes {
            if let Some(target) = packet.get_mut(at) {
                *target = byte;
            }
        }
        if let Some(length) = length {
            packet.resize(length, 0);
        }
        packet
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn what_leaves_is_what_the_text_allows(rules in rules(), packet in packet()) {
        let passed = Filter::new(rules.clone()).outbound(&packet, Duration::ZERO).is_ok();
        prop_assert_eq!(passed, oracle(&rules, &packet));
    }

    #[test]
    fn noise_never_passes_either_way(
        rules in rules(),
        noise in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut filter = Filter::new(rules.clone());
        prop_assert_eq!(filter.outbound(&noise, Duration::ZERO).is_ok(), oracle(&rules, &noise));
        prop_assert!(filter.inbound(&noise, Duration::ZERO).is_err());
        let _ = prohibited(&noise);
    }
}
