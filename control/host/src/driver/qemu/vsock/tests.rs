//! The device against a guest that is played by the test: packets in, packets out.

mod credit;
mod limits;

use super::connection::BUFFER;
use super::device::{Device, GUEST_CID};
use super::packet::{HOST_CID, Header, Op, SHUTDOWN_RECEIVE, SHUTDOWN_SEND, TYPE_STREAM};
use crate::driver::{HostStream, MAX_WAITING, Services};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

const SERVICE: u32 = 9000;
const GUEST_PORT: u32 = 1000;
const ROOM: u32 = 1000;

/// The guest's side of one connection.
struct Guest {
    device: Device,
    accepted: Receiver<UnixStream>,
    /// (host port, guest port)
    key: (u32, u32),
    taken: u32,
}

impl Guest {
    fn new() -> Self {
        Self::with_patience(Duration::from_hours(1))
    }

    fn with_patience(patience: Duration) -> Self {
        let (service, accepted) = sync_channel(MAX_WAITING);
        let device = Device::with_patience(Services::from([(SERVICE, service)]), patience).unwrap();
        Self { device, accepted, key: (SERVICE, GUEST_PORT), taken: 0 }
    }

    /// A connection from the guest, open, and the service's end of it.
    fn connected() -> (Self, UnixStream) {
        let mut guest = Self::new();
        guest.send(Op::Request, 0, b"");
        assert_eq!(guest.expect_packet().0.op, Op::Response);
        let service = guest.accepted.recv().unwrap();
        (guest, service)
    }

    /// A connection from the host to port 8080 of the guest that the guest has not answered yet.
    fn asked() -> (Self, UnixStream) {
        let mut guest = Self::new();
        let (ours, theirs) = HostStream::pair().unwrap();
        guest.device.connect(8080, ours);
        let (request, _) = guest.expect_packet();
        assert_eq!((request.op, request.dst_port), (Op::Request, 8080));
        guest.key = (request.src_port, 8080);
        (guest, theirs)
    }

    /// The same for a client that knows of resets.
    fn asked_by_tcp() -> (Self, TcpStream) {
        Self::new().ask_by_tcp()
    }

    fn ask_by_tcp(mut self) -> (Self, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        self.device.connect(8080, HostStream::tcp(listener.accept().unwrap().0).unwrap());
        self.key = (self.expect_op(Op::Request).src_port, 8080);
        (self, client)
    }

    fn header(&self, op: Op, flags: u32, len: usize) -> Header {
        Header {
            src_cid: GUEST_CID,
            dst_cid: HOST_CID,
            src_port: self.key.1,
            dst_port: self.key.0,
            len: u32::try_from(len).unwrap(),
            socket_type: TYPE_STREAM,
            op,
            flags,
            buf_alloc: ROOM,
            fwd_cnt: self.taken,
        }
    }

    fn send(&mut self, op: Op, flags: u32, data: &[u8]) {
        let header = self.header(op, flags, data.len());
        self.receive(&header, data);
    }

    fn receive(&mut self, header: &Header, data: &[u8]) {
        self.device.receive(header, data.to_vec().as_mut_slice().into());
    }

    fn packet(&mut self) -> Option<(Header, Vec<u8>)> {
        self.device.poll_streams();
        let mut space = vec![0; 4096];
        let (header, len) = self.device.next(&space.as_mut_slice().into())?;
        assert_eq!(header.len as usize, len);
        space.truncate(len);
        Some((header, space))
    }

    /// The next packet. A stream's end may come late: a process that another test forks has all descriptors of
    /// this one until it executes its program. `poll` leaves the event to the device, which hears of each once.
    #[track_caller]
    fn expect_packet(&mut self) -> (Header, Vec<u8>) {
        loop {
            if let Some(packet) = self.packet() {
                return packet;
            }
            let mut streams = [PollFd::new(self.device.epoll().0.as_fd(), PollFlags::POLLIN)];
            assert_ne!(poll(&mut streams, PollTimeout::from(10_000_u16)), Ok(0), "the device has a packet");
        }
    }

    #[track_caller]
    fn expect_op(&mut self, op: Op) -> Header {
        let (header, _) = self.expect_packet();
        assert_eq!(header.op, op);
        header
    }

    #[track_caller]
    fn expect_silence(&mut self) {
        assert_eq!(self.packet(), None);
    }
}

fn read_all(mut stream: &UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_port_nobody_serves_is_refused_at_once() {
    let mut guest = Guest::new();
    guest.key.0 = SERVICE + 1;
    guest.send(Op::Request, 0, b"");
    let reset = guest.expect_op(Op::Reset);
    assert_eq!((reset.src_port, reset.dst_port), (SERVICE + 1, GUEST_PORT));
    guest.expect_silence();
}

#[test]
fn a_connection_the_guest_refuses_ends() {
    let (mut guest, stream) = Guest::asked();
    guest.send(Op::Reset, 0, b"");
    assert_eq!(read_all(&stream), b"");
    guest.expect_silence();
}

#[test]
fn bytes_pass_both_ways() {
    let (mut guest, mut service) = Guest::connected();
    guest.send(Op::Data, 0, b"to the host");
    let mut bytes = [0; 11];
    service.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"to the host");
    service.write_all(b"to the guest").unwrap();
    let (header, data) = guest.expect_packet();
    assert_eq!((header.op, data.as_slice(), header.fwd_cnt), (Op::Data, &b"to the guest"[..], 11));
    guest.expect_silence();
}

/// The space for a packet is offered to one connection after another until one has something to say.
#[test]
fn a_connection_without_news_leaves_the_space_to_the_next() {
    let (mut guest, mut talks) = Guest::connected();
    guest.expect_silence();
    // Nothing is known of a new one, so it is asked, and before the one that has news then.
    guest.key.1 += 1;
    guest.send(Op::Request, 0, b"");
    guest.expect_op(Op::Response);
    let _silent = guest.accepted.recv().unwrap();
    talks.write_all(b"news").unwrap();
    let (header, news) = guest.expect_packet();
    assert_eq!((header.op, header.dst_port, news.as_slice()), (Op::Data, GUEST_PORT, &b"news"[..]));
    guest.expect_silence();
}

#[test]
fn nothing_is_sent_before_the_guest_accepts() {
    let (mut guest, mut client) = Guest::asked();
    client.write_all(b"early").unwrap();
    guest.expect_silence();
    guest.send(Op::Response, 0, b"");
    assert_eq!(guest.expect_packet().1, b"early");
}

#[test]
fn the_guests_credit_is_never_exceeded() {
    let (mut guest, mut service) = Guest::connected();
    service.write_all(&[1; 2500]).unwrap();
    assert_eq!(guest.expect_packet().1.len(), ROOM as usize);
    guest.expect_op(Op::CreditRequest);
    guest.expect_silence();
    guest.taken = 400;
    guest.send(Op::CreditUpdate, 0, b"");
    assert_eq!(guest.expect_packet().1.len(), 400);
    guest.taken = 1400;
    guest.send(Op::CreditUpdate, 0, b"");
    let rest: usize = std::iter::from_fn(|| guest.packet()).map(|(_, data)| data.len()).sum();
    assert_eq!(rest, 1000);
}

#[test]
fn a_claim_to_have_taken_more_than_was_sent_gives_no_credit() {
    let (mut guest, mut service) = Guest::connected();
    guest.taken = 5000;
    guest.send(Op::CreditUpdate, 0, b"");
    service.write_all(b"x").unwrap();
    guest.expect_op(Op::CreditRequest);
    guest.expect_silence();
}

#[test]
fn a_slow_service_stops_the_guest_and_loses_nothing() {
    let (mut guest, service) = Guest::connected();
    let chunk: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let (mut sent, mut taken) = (0_u32, 0_u32);
    // As Linux does: send as long as there is credit.
    while sent + 65536 - taken <= BUFFER {
        guest.send(Op::Data, 0, &chunk);
        sent += 65536;
        while let Some((header, _)) = guest.packet() {
            taken = header.fwd_cnt;
        }
    }
    guest.send(Op::Shutdown, SHUTDOWN_SEND | SHUTDOWN_RECEIVE, b"");
    guest.send(Op::Reset, 0, b"");
    // The guest is done and gone; its bytes still arrive, all of them.
    service.set_nonblocking(true).unwrap();
    let (mut received, mut buffer) = (Vec::new(), vec![0; 10_000]);
    loop {
        match (&service).read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(_) => guest.device.poll_streams(),
        }
    }
    assert_eq!(received.len(), sent as usize);
    assert!(received.chunks(65536).all(|part| part == chunk));
}

#[test]
fn sending_without_credit_ends_the_connection() {
    let (mut guest, service) = Guest::connected();
    let mut reset = false;
    for _ in 0..64 {
        guest.send(Op::Data, 0, &vec![0; 65536]);
        while let Some((header, _)) = guest.packet() {
            reset |= header.op == Op::Reset;
        }
    }
    assert!(reset);
    drop(service);
}

#[test]
fn the_hosts_half_close_leaves_the_other_direction_open() {
    let (mut guest, mut service) = Guest::connected();
    service.write_all(b"question").unwrap();
    service.shutdown(Shutdown::Write).unwrap();
    assert_eq!(guest.expect_packet().1, b"question");
    assert_eq!(guest.expect_op(Op::Shutdown).flags, SHUTDOWN_SEND);
    guest.send(Op::Data, 0, b"answer");
    guest.send(Op::Shutdown, SHUTDOWN_SEND, b"");
    assert_eq!(read_all(&service), b"answer");
    guest.expect_silence();
    // Both directions ended: the guest's last word finds no connection and is answered at once.
    guest.send(Op::Shutdown, SHUTDOWN_SEND | SHUTDOWN_RECEIVE, b"");
    guest.expect_op(Op::Reset);
}

#[test]
fn the_guests_half_close_leaves_the_other_direction_open() {
    let (mut guest, mut service) = Guest::connected();
    guest.send(Op::Data, 0, b"question");
    guest.send(Op::Shutdown, SHUTDOWN_SEND, b"");
    assert_eq!(read_all(&service), b"question");
    service.write_all(b"answer").unwrap();
    assert_eq!(guest.expect_packet().1, b"answer");
    drop(service);
    assert_eq!(guest.expect_op(Op::Shutdown).flags & SHUTDOWN_SEND, SHUTDOWN_SEND);
}

#[test]
fn a_full_close_by_the_guest_is_answered_with_a_reset() {
    let (mut guest, service) = Guest::connected();
    guest.send(Op::Shutdown, SHUTDOWN_SEND | SHUTDOWN_RECEIVE, b"");
    guest.expect_op(Op::Reset);
    assert_eq!(read_all(&service), b"");
}

#[test]
fn a_service_that_vanished_is_announced_and_its_last_bytes_arrive() {
    let (mut guest, mut service) = Guest::connected();
    service.write_all(b"last words").unwrap();
    drop(service);
    guest.send(Op::Data, 0, b"into the void");
    let mut received = Vec::new();
    let mut flags = 0;
    while let Some((header, data)) = guest.packet() {
        received.extend(data);
        if header.op == Op::Shutdown {
            flags |= header.flags;
        }
    }
    assert_eq!(received, b"last words");
    assert_eq!(flags, SHUTDOWN_SEND | SHUTDOWN_RECEIVE);
}

#[test]
fn violations_of_the_protocol_end_the_connection() {
    type Violation = fn(&mut Guest);
    let violations: [Violation; 5] = [
        |guest| guest.send(Op::Request, 0, b""),
        |guest| guest.send(Op::Response, 0, b""),
        |guest| guest.send(Op::Unknown(77), 0, b""),
        |guest| {
            guest.send(Op::Shutdown, SHUTDOWN_SEND, b"");
            guest.send(Op::Data, 0, b"more");
        },
        |guest| {
            let header = Header { socket_type: 2, ..guest.header(Op::Data, 0, 0) };
            guest.receive(&header, b"");
        },
    ];
    for violate in violations {
        let (mut guest, _service) = Guest::connected();
        violate(&mut guest);
        guest.expect_op(Op::Reset);
    }
}

#[test]
fn packets_with_other_addresses_reach_no_connection() {
    let (mut guest, service) = Guest::connected();
    for header in [
        Header { src_cid: 99, ..guest.header(Op::Data, 0, 1) },
        Header { dst_cid: 99, ..guest.header(Op::Data, 0, 1) },
        Header { src_port: 1, ..guest.header(Op::Data, 0, 1) },
    ] {
        guest.receive(&header, b"x");
        guest.expect_op(Op::Reset);
    }
    service.set_nonblocking(true).unwrap();
    assert!((&service).read(&mut [0]).is_err());
}

/// EnclaveOS ends its sending before it closes; Linux then closes with both flags at once.
#[test]
fn a_client_of_a_connection_that_the_guest_closes_without_an_end_is_reset() {
    for (orderly, expected) in [(true, Ok(0)), (false, Err(ErrorKind::ConnectionReset))] {
        let (mut guest, mut client) = Guest::asked_by_tcp();
        guest.send(Op::Response, 0, b"");
        guest.send(Op::Data, 0, b"half");
        client.read_exact(&mut [0; 4]).unwrap();
        if orderly {
            guest.send(Op::Shutdown, SHUTDOWN_SEND, b"");
        }
        guest.send(Op::Shutdown, SHUTDOWN_SEND | SHUTDOWN_RECEIVE, b"");
        guest.expect_op(Op::Reset);
        assert_eq!(client.read(&mut [0]).map_err(|e| e.kind()), expected);
    }
}

#[test]
fn an_enclave_that_dies_does_not_look_like_an_orderly_end() {
    let (mut guest, mut client) = Guest::asked_by_tcp();
    guest.send(Op::Response, 0, b"");
    guest.send(Op::Data, 0, b"half");
    let mut half = [0; 4];
    client.read_exact(&mut half).unwrap();
    drop(guest);
    assert_eq!(client.read(&mut half).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn packets_before_the_guest_accepted_end_the_connection() {
    for (op, data) in [(Op::Data, &b"early"[..]), (Op::Shutdown, b""), (Op::Request, b"")] {
        let (mut guest, mut client) = Guest::asked_by_tcp();
        guest.send(op, SHUTDOWN_SEND, data);
        guest.expect_op(Op::Reset);
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn what_announces_a_client_arrives_first_though_it_says_nothing() {
    let mut guest = Guest::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let before = b"header".to_vec();
    let announced = HostStream::announced(listener.accept().unwrap().0, before).unwrap();
    guest.device.connect(8080, announced);
    guest.key = (guest.expect_op(Op::Request).src_port, 8080);
    guest.send(Op::Response, 0, b"");
    assert_eq!(guest.expect_packet().1, b"header");
    guest.expect_silence();
    client.write_all(b"hello").unwrap();
    assert_eq!(guest.expect_packet().1, b"hello");
}
