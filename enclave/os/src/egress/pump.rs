//! Packets between the app's interface and the parent, each past the filter.

use super::link::{Link, LinkError};
use crate::say;
use caution_abi::egress::{EgressRule, MTU};
use caution_egress::{Filter, Refusal, frame, prohibited};
use caution_enclave_sys::poll::{self, Interest};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

/// One interface with its filter.
pub(super) struct Pump {
    /// A packet a read, a packet a write; never blocks.
    packets: File,
    filter: Filter,
    began: Instant,
    packet: Box<[u8]>,
    refused: Refused,
}

/// What ended a link, or everything.
enum End {
    Link(LinkError),
    Interface(io::Error),
}

impl From<LinkError> for End {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl Pump {
    /// A pump for an interface.
    pub(super) fn new(packets: File, rules: Vec<EgressRule>) -> Self {
        Self {
            packets,
            filter: Filter::new(rules),
            began: Instant::now(),
            packet: vec![0; MTU.into()].into_boxed_slice(),
            refused: Refused::default(),
        }
    }

    /// Pumps for ever, over one link after another; returns only when the interface itself is broken.
    pub(super) fn run(mut self, mut link: Link, parent: u32) -> io::Error {
        loop {
            match self.pump(&mut link) {
                End::Interface(error) => return error,
                End::Link(error) => say(&format!("The way out broke: {error}. Connecting again.")),
            }
            link = reopen(parent);
            say("The way out is open again.");
        }
    }

    /// Pumps until something breaks.
    fn pump(&mut self, link: &mut Link) -> End {
        self.filter.set_host(link.host().to_vec());
        loop {
            let stream = Interest { read: true, write: link.wants_to_send() };
            let packets = Interest { read: link.has_room(), write: false };
            let ready =
                poll::wait_for([(link.stream().as_fd(), stream), (self.packets.as_fd(), packets)], None);
            let moved = ready.map_err(End::Interface).and_then(|()| {
                self.outward(link)?;
                self.inward(link)
            });
            if let Err(end) = moved {
                return end;
            }
        }
    }

    fn outward(&mut self, link: &mut Link) -> Result<(), End> {
        while link.has_room() {
            let length = match self.packets.read(&mut self.packet) {
                Ok(length) => length,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(End::Interface(e)),
            };
            let packet = &self.packet[..length];
            match self.filter.outbound(packet, self.began.elapsed()) {
                Ok(()) => link.add(packet),
                Err(refusal) => {
                    if let Some(answer) = prohibited(packet) {
                        hand_in(&self.packets, &answer);
                    }
                    self.refused.note("to leave", refusal);
                }
            }
        }
        Ok(link.send()?)
    }

    fn inward(&mut self, link: &mut Link) -> Result<(), End> {
        link.receive()?;
        while let Some(frame) = link.next_frame().map_err(LinkError::from)? {
            // Whatever else a link carries is of no use to a host with one address.
            let Some(packet) = frame::ipv4(frame) else { continue };
            match self.filter.inbound(packet, self.began.elapsed()) {
                Ok(packet) => hand_in(&self.packets, packet),
                Err(refusal) => self.refused.note("to come in", refusal),
            }
        }
        Ok(())
    }
}

/// Gives the kernel a packet. One it has no room for is lost, as on any network.
fn hand_in(mut packets: &File, packet: &[u8]) {
    let _ = packets.write(packet);
}

/// Opens a link as soon as the parent gives one. There is no end to that: what an app does without
/// a network is its own matter, and whether it still serves its health tells.
fn reopen(parent: u32) -> Link {
    let mut pause = FIRST_PAUSE;
    loop {
        #[expect(clippy::disallowed_methods, reason = "back-off")]
        thread::sleep(pause);
        match Link::open(parent) {
            Ok(link) => return link,
            Err(_) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// Counts what did not pass, and says so now and then.
#[derive(Default)]
struct Refused {
    said: Option<Instant>,
    since: u64,
}

impl Refused {
    fn note(&mut self, direction: &str, refusal: Refusal) {
        self.since += 1;
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            let more = match self.since {
                1 => String::new(),
                more => format!(" (and {} before it)", more - 1),
            };
            say(&format!("A packet was not allowed {direction}: {refusal}{more}."));
            *self = Self { said: Some(Instant::now()), since: 0 };
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SAY_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::super::link::tests::linked;
    use super::*;
    use caution_abi::egress::Protocol;
    use std::net::TcpStream;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    /// A pump at work: the kernel's side of its interface and the parent's end of its link.
    fn pumping() -> (UnixDatagram, TcpStream) {
        let network = "203.0.113.0/24".parse().unwrap();
        let rule = EgressRule { network, ports: (443, 443), protocol: Protocol::Any };
        let (ours, kernel) = UnixDatagram::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut pump = Pump::new(File::from(OwnedFd::from(ours)), vec![rule]);
        let (mut link, parent) = linked();
        thread::spawn(move || drop(pump.pump(&mut link)));
        kernel.set_read_timeout(Some(PATIENCE)).unwrap();
        parent.set_read_timeout(Some(PATIENCE)).unwrap();
        (kernel, parent)
    }

    fn datagram(from: [u8; 4], to: [u8; 4], ports: [u16; 2]) -> Vec<u8> {
        let ports = ports.map(u16::to_be_bytes).concat();
        [&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0][..], &from, &to, &ports, &[0, 8, 0, 0]].concat()
    }

    const PATIENCE: Duration = Duration::from_secs(10);
    const ENCLAVE: [u8; 4] = [192, 0, 0, 2];
    const SERVER: [u8; 4] = [203, 0, 113, 9];

    fn framed(to: u8, packet: &[u8]) -> Vec<u8> {
        let length = u8::try_from(14 + packet.len()).unwrap();
        [&[0, 0, 0, length, 2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, 3 - to, 8, 0], packet].concat()
    }

    #[test]
    fn what_is_allowed_leaves_and_what_is_refused_is_answered_inside() {
        let (kernel, mut parent) = pumping();
        let refused = datagram(ENCLAVE, [10, 0, 0, 1], [4000, 443]);
        kernel.send(&refused).unwrap();
        let mut answer = [0; 100];
        assert_eq!(kernel.recv(&mut answer).unwrap(), 56);
        assert_eq!(answer[28..56], refused[..28]);
        let allowed = datagram(ENCLAVE, SERVER, [4000, 443]);
        kernel.send(&allowed).unwrap();
        let mut frame = [0; 46];
        parent.read_exact(&mut frame).unwrap();
        assert_eq!(frame[..], framed(1, &allowed));
    }

    #[test]
    fn answers_come_in_and_everything_else_is_dropped() {
        let (kernel, mut parent) = pumping();
        kernel.send(&datagram(ENCLAVE, SERVER, [4000, 443])).unwrap();
        parent.read_exact(&mut [0; 46]).unwrap();
        let answer = datagram(SERVER, ENCLAVE, [443, 4000]);
        parent.write_all(&framed(2, &datagram(SERVER, ENCLAVE, [443, 4001]))).unwrap();
        parent.write_all(&framed(1, &answer)).unwrap();
        parent.write_all(&framed(2, b"noise")).unwrap();
        // In two parts, the second with the beginning of more.
        let whole = framed(2, &answer);
        parent.write_all(&whole[..20]).unwrap();
        parent.write_all(&[&whole[20..], &[0, 0]].concat()).unwrap();
        let mut packet = [0; 100];
        let length = kernel.recv(&mut packet).unwrap();
        assert_eq!(packet[..length], answer);
    }
}
