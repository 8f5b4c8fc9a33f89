//! Many connections: idle ones, half-open ones, and one after another. The supervisor is a process of its
//! own, so that what it holds can be counted.

use crate::support::{Place, config, eventually, image, release};
use caution_abi::evidence;
use caution_host::{Record, run_detached, stop};
use caution_measure::Nonce;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::time::Duration;

/// A running enclave and its supervisor.
struct Detached<'a> {
    place: &'a Place,
    record: Record,
}

impl<'a> Detached<'a> {
    fn start(place: &'a Place, memory_mib: u32) -> Self {
        let release = release();
        let config = caution_host::RunConfig { memory_mib, ..config(image(&release)) };
        let agent = Path::new(env!("CARGO_BIN_EXE_caution-host"));
        let record = run_detached(&place.dirs, &config, agent, &mut |_| {}).unwrap();
        Self { place, record }
    }

    fn connect(&self, port: u16) -> TcpStream {
        let published = self.record.ports.iter().find(|(enclave, _)| *enclave == port).unwrap();
        TcpStream::connect(("127.0.0.1", published.1)).unwrap()
    }

    fn connect_to_attestd(&self) -> TcpStream {
        let address = self.record.attestation_url.trim_start_matches("http://");
        TcpStream::connect(address.split('/').next().unwrap()).unwrap()
    }

    fn attests(&self) {
        let body = serde_json::to_string(&evidence::Request::new(&Nonce::new([3; 32]))).unwrap();
        let mut stream = self.connect_to_attestd();
        write!(stream, "POST /attestation HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    /// Descriptors of the supervisor.
    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.record.pid)).unwrap().count()
    }

    /// Resident memory of the supervisor without that of the guest, in KiB: what is anonymous.
    fn memory_kib(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.record.pid)).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn stop(self) {
        stop(&self.place.dirs, &self.record.id).unwrap();
        self.place.assert_clean();
    }
}

/// Clients whose connection went the whole way and now rests.
fn idle(running: &Detached<'_>, count: usize) -> Vec<TcpStream> {
    raise_descriptor_limit();
    // One after another: more than wait to be accepted (4,096) at once would be refused.
    let connect = |_| {
        let mut client = running.connect(8007);
        client.read_exact(&mut [0]).unwrap();
        client
    };
    (0..count).map(connect).collect()
}

fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// A verifier is answered beside `count` idle clients of the app and a flood of half-asked questions.
fn verifier_beside(count: usize, memory_mib: u32) {
    let place = Place::new();
    let running = Detached::start(&place, memory_mib);
    let (descriptors, memory) = (running.descriptors(), running.memory_kib());
    let clients = idle(&running, count);
    let grown = running.memory_kib() - memory;
    println!("{count} idle clients: {grown} KiB in the supervisor");
    assert!(grown < 1024 + i64::try_from(count).unwrap(), "{grown} KiB for {count}");
    let half_asked: Vec<TcpStream> = (0..400)
        .map(|_| {
            let mut stream = running.connect_to_attestd();
            // One that had to give way is part of the flood, too.
            let _ = stream.write_all(b"POST /attestation HTTP/1.1\r\nContent-Len");
            stream
        })
        .collect();
    running.attests();
    // The idle ones are still there, and go on.
    for client in &clients {
        client.set_nonblocking(true).unwrap();
        assert_eq!({ client }.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    drop((clients, half_asked));
    running.attests();
    // What clients gave up is given up: the app of the test looks after its own at the next client.
    eventually("the connections are gone", || {
        drop(idle(&running, 1));
        running.descriptors() <= descriptors + 64
    });
    running.stop();
}

#[test]
fn a_verifier_is_answered_beside_idle_clients_and_half_open_ones() {
    verifier_beside(1000, 256);
}

#[test]
#[ignore = "a minute under emulation"]
fn a_verifier_is_answered_beside_ten_thousand_idle_clients() {
    verifier_beside(10_000, 512);
}

/// As many clients at once, none of which says anything: each hears the app's first byte or is refused, and none is
/// left without either.
fn burst(count: usize, memory_mib: u32) {
    raise_descriptor_limit();
    let place = Place::new();
    let running = Detached::start(&place, memory_mib);
    let waiting: Vec<TcpStream> = (0..count).map(|_| running.connect(8007)).collect();
    let (mut answered, mut refused) = (Vec::new(), 0);
    for mut client in waiting {
        // Longer than anything between waits for anything.
        client.set_read_timeout(Some(Duration::from_mins(2))).unwrap();
        match client.read(&mut [0]) {
            Ok(1) => answered.push(client),
            Ok(_) => refused += 1,
            Err(e) if e.kind() == ErrorKind::ConnectionReset => refused += 1,
            Err(e) => panic!("a client has neither an answer nor a refusal: {e}"),
        }
    }
    println!("{count} clients at once: {} answered, {refused} refused", answered.len());
    assert!(answered.len() > count / 10, "{} answered, {refused} refused", answered.len());
    running.attests();
    drop(answered);
    running.stop();
}

#[test]
fn each_of_many_clients_at_once_is_answered_or_refused() {
    burst(1000, 256);
}

#[test]
#[ignore = "a minute under emulation"]
fn each_of_ten_thousand_clients_at_once_is_answered_or_refused() {
    burst(10_000, 512);
}

/// One connection after another leaves neither descriptors nor memory behind.
fn in_a_row(count: usize) {
    let place = Place::new();
    let running = Detached::start(&place, 256);
    let ask = |at: usize| {
        let mut stream = running.connect(8002);
        stream.write_all(b"word").unwrap();
        // Every fourth client goes without waiting for its answer.
        if !at.is_multiple_of(4) {
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("4 "), "{answer}");
        }
    };
    (0..count / 10).for_each(ask);
    let (descriptors, memory) = (running.descriptors(), running.memory_kib());
    (0..count).for_each(ask);
    eventually("the connections are gone", || running.descriptors() <= descriptors + 8);
    let grown = running.memory_kib() - memory;
    println!("{count} connections in a row: {grown} KiB more in the supervisor");
    assert!(grown < 512, "{grown} KiB");
    running.attests();
    running.stop();
}

#[test]
fn connections_in_a_row_leave_nothing_behind() {
    in_a_row(1000);
}

#[test]
#[ignore = "minutes under emulation"]
fn a_hundred_thousand_connections_in_a_row_leave_nothing_behind() {
    in_a_row(100_000);
}
