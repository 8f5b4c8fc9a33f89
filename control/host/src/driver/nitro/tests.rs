//! The bridge over sockets of this machine, in the place of AF_VSOCK.

use super::bridge::{Bridge, Dial};
use super::net::Network;
use crate::driver::{HostStream, Services};
use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// A bridge to one enclave, whose every port is this listener.
struct Bench {
    bridge: Bridge,
    guest: UnixListener,
    doors: TcpListener,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(Services::new())
    }

    fn with(services: Services) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let guest = UnixListener::bind(folder.path().join("16_8080")).unwrap();
        let network = Network::Folder(folder.path().to_owned());
        let dial: Dial = Box::new(move |port| network.connect(16, port));
        let bridge = Bridge::start(dial, services, sync_channel(1).0).unwrap();
        Self { bridge, guest, doors: TcpListener::bind("127.0.0.1:0").unwrap(), _folder: folder }
    }

    /// A client of a published port, and what the enclave sees of it.
    fn connected(&self) -> (TcpStream, UnixStream) {
        let client = self.client();
        (client, self.guest.accept().unwrap().0)
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.doors.local_addr().unwrap()).unwrap();
        let accepted = self.doors.accept().unwrap().0;
        self.bridge.connector().connect(8080, HostStream::tcp(accepted).unwrap());
        client.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        client
    }
}

/// Bytes that are each other's neighbours nowhere else: a lost, doubled or moved piece shows.
fn pattern(at: u64, bytes: &mut [u8]) {
    for (offset, word) in bytes.chunks_mut(8).enumerate() {
        let value = (at + offset as u64 * 8).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        word.copy_from_slice(&value[..word.len()]);
    }
}

/// Sends `total` bytes and ends; returns when all is taken.
fn send(mut to: impl std::io::Write, total: u64) {
    let mut buffer = vec![0; 1 << 18];
    for at in (0..total).step_by(buffer.len()) {
        pattern(at, &mut buffer);
        to.write_all(&buffer).unwrap();
    }
}

/// Sends into a socket that never blocks until nothing moves for a while, and returns what the buffers on the way hold.
fn send_until_stopped(mut to: impl std::io::Write) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    let (mut sent, mut blocked) = (Vec::new(), 0);
    while blocked < 100 {
        pattern(sent.len() as u64, &mut buffer);
        match to.write(&buffer) {
            Ok(length) => {
                sent.extend_from_slice(&buffer[..length]);
                blocked = 0;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                blocked += 1;
                crate::process::pause(Duration::from_millis(2));
            }
            Err(e) => panic!("{e}"),
        }
    }
    sent
}

fn receive(mut from: impl std::io::Read, total: u64) {
    let (mut expected, mut got) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    for at in (0..total).step_by(got.len()) {
        pattern(at, &mut expected);
        from.read_exact(&mut got).unwrap();
        assert!(got == expected, "at {at}");
    }
    assert_eq!(from.read(&mut got).unwrap(), 0);
}

#[test]
fn a_gibibyte_passes_each_way_byte_for_byte_with_the_ends() {
    let bench = Bench::new();
    let (client, guest) = bench.connected();
    let total = 1 << 30;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            send(&client, total);
            client.shutdown(Shutdown::Write).unwrap();
        });
        scope.spawn(|| receive(&guest, total));
        scope.spawn(|| {
            send(&guest, total);
            guest.shutdown(Shutdown::Write).unwrap();
        });
        receive(&client, total);
    });
}

#[test]
fn each_direction_ends_on_its_own() {
    let bench = Bench::new();
    let (mut client, mut guest) = bench.connected();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut question = Vec::new();
    guest.read_to_end(&mut question).unwrap();
    assert_eq!(question, b"question");
    guest.write_all(b"answer").unwrap();
    let mut answer = [0; 6];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    guest.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut answer).unwrap(), 0);

    let (mut client, mut guest) = bench.connected();
    guest.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.write_all(b"still").unwrap();
    let mut still = [0; 5];
    guest.read_exact(&mut still).unwrap();
    assert_eq!(&still, b"still");
}

#[test]
fn a_slow_reader_stops_the_sender_and_loses_nothing() {
    let bench = Bench::new();
    let (client, guest) = bench.connected();
    client.set_nonblocking(true).unwrap();
    let sent = send_until_stopped(&client);
    assert!(sent.len() < 64 << 20, "{} bytes are on the way", sent.len());
    client.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    (&guest).read_to_end(&mut got).unwrap();
    assert!(got == sent);
}

#[test]
fn what_an_enclave_said_before_it_went_arrives_though_its_client_still_talks() {
    let bench = Bench::new();
    let (mut client, guest) = bench.connected();
    guest.set_nonblocking(true).unwrap();
    let sent = send_until_stopped(&guest);
    drop(guest);
    client.write_all(b"more").unwrap();
    // Until the bridge has tried to pass that on, which nothing tells.
    crate::process::pause(Duration::from_millis(50));
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got == sent);
}

#[test]
fn a_reset_is_passed_on_and_so_is_the_end_of_the_enclave() {
    let bench = Bench::new();
    // The client resets: the enclave's socket ends.
    let (client, mut guest) = bench.connected();
    HostStream::tcp(client).unwrap().abort();
    assert_eq!(guest.read(&mut [0]).unwrap(), 0);
    // The enclave goes with bytes unread, which is a reset of a Unix socket: so is the client's.
    let (mut client, mut guest) = bench.connected();
    client.write_all(b"ab").unwrap();
    guest.read_exact(&mut [0]).unwrap();
    drop(guest);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // Nobody listens.
    let refused = bench.bridge.connector().open(1).unwrap();
    assert_eq!((&refused).read(&mut [0]).unwrap(), 0);
    // The enclave's machine is gone.
    let (mut client, _guest) = bench.connected();
    drop(bench);
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn hundreds_of_connections_at_a_time_and_none_is_left() {
    let before = descriptors();
    {
        let bench = Bench::new();
        let mut open = Vec::new();
        for number in 0..400_u32 {
            let (mut client, guest) = bench.connected();
            client.write_all(&number.to_be_bytes()).unwrap();
            open.push((client, guest));
        }
        for (number, (client, guest)) in (0_u32..).zip(&mut open) {
            let mut got = [0; 4];
            guest.read_exact(&mut got).unwrap();
            assert_eq!(got, number.to_be_bytes());
            guest.write_all(&got).unwrap();
            client.read_exact(&mut got).unwrap();
        }
        // Idle connections hold their two sockets, and no pipe beside those that are kept for all.
        let idle = descriptors() - before;
        assert!(idle <= 4 * open.len() + 2 * 64 + 40, "{idle} descriptors for {}", open.len());
        open.clear();
        for _ in 0..2000 {
            let (client, guest) = bench.connected();
            drop(client);
            let mut guest = guest;
            assert_eq!(guest.read(&mut [0]).unwrap(), 0);
        }
        let wait = |what: usize| (0..1000).any(|_| descriptors() <= what || pause());
        assert!(wait(before + 2 * 64 + 40), "{} descriptors are left of {before}", descriptors());
    }
}

fn pause() -> bool {
    crate::process::pause(Duration::from_millis(5));
    false
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn what_announces_a_client_comes_before_its_first_byte() {
    let bench = Bench::new();
    let mut client = TcpStream::connect(bench.doors.local_addr().unwrap()).unwrap();
    let accepted = bench.doors.accept().unwrap().0;
    let announced = HostStream::announced(accepted, b"PROXY ".to_vec()).unwrap();
    bench.bridge.connector().connect(8080, announced);
    let (mut guest, _) = bench.guest.accept().unwrap();
    let mut header = [0; 6];
    guest.read_exact(&mut header).unwrap();
    assert_eq!(&header, b"PROXY ");
    client.write_all(b"first").unwrap();
    let mut first = [0; 5];
    guest.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
}

#[test]
fn what_the_enclave_connects_to_is_served_and_nothing_else_is() {
    let (sender, served) = sync_channel(1);
    let bench = Bench::with(HashMap::from([(49521, sender)]));
    let arrive = |port| {
        let (theirs, ours) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        bench.bridge.arrivals().arrived(port, OwnedFd::from(theirs));
        ours
    };
    let mut enclave = arrive(49521);
    let mut service = served.recv().unwrap();
    service.write_all(b"manifest").unwrap();
    drop(service);
    let mut got = Vec::new();
    enclave.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"manifest");
    let mut refused = arrive(49520);
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
    // One waits for the service, a second one finds its row full.
    let _waits = arrive(49521);
    let mut refused = arrive(49521);
    assert_eq!(refused.read(&mut [0]).unwrap(), 0);
}
