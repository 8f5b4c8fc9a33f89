//! Frames on the stream to the parent: `u32` big-endian length, then an Ethernet frame, as QEMU's
//! `-netdev stream` and passt have it.

use caution_abi::egress::{ENCLAVE, ENCLAVE_MAC, GATEWAY, GATEWAY_MAC, MTU};
use std::net::Ipv4Addr;

/// Bytes of an Ethernet header.
pub const HEADER: usize = 14;
/// The longest frame either side sends, without its length.
pub const MAX_FRAME: usize = HEADER + MTU as usize;
/// The most addresses a parent has.
pub const MAX_HOST: usize = 64;
/// Bytes of a length.
const LENGTH: usize = 4;

/// A stream that says a frame is longer than any, or too short to be one: nothing behind that can be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokenStream(
    /// What it says.
    pub u32,
);

impl std::fmt::Display for BrokenStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a frame of {} bytes was announced (at least {HEADER}, at most {MAX_FRAME})", self.0)
    }
}

impl std::error::Error for BrokenStream {}

/// Appends a packet to what is to be sent, as a frame from the enclave to its gateway.
pub fn wrap(packet: &[u8], stream: &mut Vec<u8>) {
    append(&[&GATEWAY_MAC, &ENCLAVE_MAC, &IPV4, packet], stream);
}

/// Appends the question who has the gateway's address. Any working network answers it, so it is
/// the probe of one.
pub fn ask_for_gateway(stream: &mut Vec<u8>) {
    let question = [&ARP_QUESTION[..], &ENCLAVE_MAC, &ENCLAVE.octets(), &[0; 6], &GATEWAY.octets()].concat();
    append(&[&[0xff; 6], &ENCLAVE_MAC, &ARP, &question], stream);
}

fn append(parts: &[&[u8]], stream: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    stream.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    for part in parts {
        stream.extend_from_slice(part);
    }
}

/// The first whole frame of what was received, and how many bytes it takes with its length.
///
/// # Errors
///
/// A length that no frame has.
pub fn split(received: &[u8]) -> Result<Option<(&[u8], usize)>, BrokenStream> {
    let Some((length, rest)) = received.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let announced = u32::from_be_bytes(*length);
    let length = usize::try_from(announced).unwrap_or(usize::MAX);
    if !(HEADER..=MAX_FRAME).contains(&length) {
        return Err(BrokenStream(announced));
    }
    Ok(rest.get(..length).map(|frame| (frame, LENGTH + length)))
}

/// The packet of a frame to the enclave; none where it holds anything but IPv4. More bytes than the
/// packet may follow: Ethernet fills short frames up.
pub fn ipv4(frame: &[u8]) -> Option<&[u8]> {
    let (header, packet) = frame.split_first_chunk::<HEADER>()?;
    (header[..6] == ENCLAVE_MAC && header[12..] == IPV4).then_some(packet)
}

/// The first frame of a parent: its own addresses, at most [`MAX_HOST`] of them.
pub fn announce_host(addresses: &[Ipv4Addr], stream: &mut Vec<u8>) {
    let addresses = addresses.iter().take(MAX_HOST).map(Ipv4Addr::octets).collect::<Vec<_>>().concat();
    append(&[&ENCLAVE_MAC, &GATEWAY_MAC, &HOST, &addresses], stream);
}

/// The addresses of [`announce_host`]; none where a frame is anything else.
pub fn host(frame: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let (header, addresses) = frame.split_first_chunk::<HEADER>()?;
    let (addresses, rest) = addresses.as_chunks::<4>();
    let whole = rest.is_empty() && addresses.len() <= MAX_HOST;
    (header[..6] == ENCLAVE_MAC && header[12..] == HOST && whole)
        .then(|| addresses.iter().copied().map(Ipv4Addr::from).collect())
}

/// Whether a frame answers [`ask_for_gateway`].
pub fn is_gateways_answer(frame: &[u8]) -> bool {
    let Some((header, answer)) = frame.split_first_chunk::<HEADER>() else { return false };
    header[..6] == ENCLAVE_MAC
        && header[12..] == ARP
        && answer.starts_with(&ARP_ANSWER)
        && answer.get(14..18) == Some(&GATEWAY.octets())
}

const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
/// For local use (IEEE 802); no network stack answers to it.
const HOST: [u8; 2] = [0x88, 0xb5];
/// Ethernet, IPv4, their address lengths, "request" (RFC 826).
const ARP_QUESTION: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
/// The same, "reply".
const ARP_ANSWER: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 2];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_packet_splits_off_again() {
        let mut stream = Vec::new();
        wrap(b"packet", &mut stream);
        assert_eq!(stream[..18], [0, 0, 0, 20, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
        for end in 0..stream.len() {
            assert_eq!(split(&stream[..end]), Ok(None));
        }
        let more = [&stream[..], b"more"].concat();
        assert_eq!(split(&more), Ok(Some((&stream[4..], 24))));
    }

    #[test]
    fn lengths_no_frame_has_break_the_stream() {
        let announced = |length: u32| split(&length.to_be_bytes()).unwrap_err();
        for length in [0, 13, 65_535, u32::MAX] {
            assert_eq!(announced(length), BrokenStream(length));
        }
        assert_eq!(split(&65_534_u32.to_be_bytes()), Ok(None));
    }

    #[test]
    fn only_ipv4_to_the_enclave_is_taken() {
        let frame = |to: [u8; 6], kind: [u8; 2]| [&to[..], &GATEWAY_MAC, &kind, b"packet"].concat();
        assert_eq!(ipv4(&frame(ENCLAVE_MAC, IPV4)), Some(&b"packet"[..]));
        assert_eq!(ipv4(&frame([0xff; 6], IPV4)), None);
        assert_eq!(ipv4(&frame(ENCLAVE_MAC, ARP)), None);
        assert_eq!(ipv4(&frame(ENCLAVE_MAC, [0x86, 0xdd])), None);
        assert_eq!(ipv4(&frame(ENCLAVE_MAC, IPV4)[..13]), None);
    }

    #[test]
    fn the_parents_addresses_are_read_as_they_were_written() {
        let addresses = [Ipv4Addr::new(198, 51, 100, 2), Ipv4Addr::new(10, 0, 0, 7)];
        let mut stream = Vec::new();
        announce_host(&addresses, &mut stream);
        assert_eq!(host(&stream[4..]), Some(addresses.to_vec()));
        assert_eq!(host(&stream[4..stream.len() - 1]), None);
        assert!(ipv4(&stream[4..]).is_none() && !is_gateways_answer(&stream[4..]));
        stream.clear();
        announce_host(&[Ipv4Addr::BROADCAST; MAX_HOST + 1], &mut stream);
        assert_eq!(host(&stream[4..]).map(|addresses| addresses.len()), Some(MAX_HOST));
        stream.extend([0; 4]);
        assert_eq!(host(&stream[4..]), None);
    }

    #[test]
    fn the_gateways_answer_is_known() {
        let mut question = Vec::new();
        ask_for_gateway(&mut question);
        assert_eq!(question.len(), 4 + 42);
        assert!(!is_gateways_answer(&question[4..]));
        let answer = [
            &ENCLAVE_MAC[..],
            &GATEWAY_MAC,
            &ARP,
            &ARP_ANSWER,
            &GATEWAY_MAC,
            &GATEWAY.octets(),
            &ENCLAVE_MAC,
            &ENCLAVE.octets(),
        ]
        .concat();
        assert!(is_gateways_answer(&answer));
        assert!(!is_gateways_answer(&answer[..20]));
    }
}
