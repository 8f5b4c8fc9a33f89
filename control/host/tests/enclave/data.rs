//! Bytes through published ports: exact, in both directions, each ending on its own.

use crate::Running;
use crate::support::{Place, config, image, release};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

/// Bytes without a pattern that blocks could hide in.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn published_ports_are_byte_exact() {
    let release = release();
    let place = Place::new();
    let running = Running::ready(&place.dirs, &config(image(&release)));
    half_closes(&running);
    both_ways_at_once(&running);
    a_slow_reader_gets_everything(&running);
    many_connections(&running);
    the_socket_for_a_proxy_leads_to_the_http_port(&place);
    running.stop().unwrap();
    place.assert_clean();
}

fn half_closes(running: &Running) {
    let sent = noise(3_000_001);
    let sum = sent.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let mut stream = running.connect(8002);
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), format!("{} {sum}", sent.len()).into_bytes());

    let mut stream = running.connect(8004);
    assert_eq!(read_all(&mut stream), b"hello");
    stream.write_all(&sent[..100_000]).unwrap();
}

fn both_ways_at_once(running: &Running) {
    let sent = noise(5_000_003);
    let mut stream = running.connect(8001);
    let mut writer = stream.try_clone().unwrap();
    let copy = sent.clone();
    let sender = std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let received = read_all(&mut stream);
    sender.join().unwrap();
    assert!(received == [sent.as_slice(), b"END"].concat());
}

/// The app closes long before its reader has taken what was sent.
fn a_slow_reader_gets_everything(running: &Running) {
    let mut stream = running.connect(8003);
    let mut received = vec![0; 1 << 20];
    stream.read_exact(&mut received).unwrap();
    // Meanwhile the app sends what there is room for, on the way and in the agent, and waits.
    let mut other = running.connect(8002);
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut other), b"0 0");
    received.extend(read_all(&mut stream));
    assert_eq!(received.len(), 32 << 20);
    let block: Vec<u8> = (0..=250).cycle().take(251 * 1024).collect();
    assert!(received.chunks(block.len()).all(|chunk| chunk == &block[..chunk.len()]));
}

fn many_connections(running: &Running) {
    // Clients that vanish, with a reset or in order, take nothing with them.
    for at in 0..50 {
        let mut stream = running.connect(8003);
        stream.read_exact(&mut vec![0; 1000 * (at + 1)]).unwrap();
    }
    let mut idle: Vec<TcpStream> = (0..200).map(|_| running.connect(8001)).collect();
    for (stream, byte) in idle.iter_mut().zip(0_u8..) {
        stream.write_all(&[byte]).unwrap();
    }
    for (stream, byte) in idle.iter_mut().zip(0_u8..) {
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(stream), [&[byte], b"END".as_slice()].concat());
    }
}

fn the_socket_for_a_proxy_leads_to_the_http_port(place: &Place) {
    let record = caution_host::find(&place.dirs, "test").unwrap();
    let mut stream = UnixStream::connect(record.http_socket.unwrap()).unwrap();
    stream.write_all(b"byte for byte").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"byte for byteEND");

    let mut stream = UnixStream::connect(record.attestation_socket).unwrap();
    stream.write_all(b"GET /.well-known/caution/health HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"ready\":true"), "{answer}");
}

#[test]
fn an_open_transfer_breaks_visibly_when_the_enclave_is_stopped() {
    let release = release();
    let place = Place::new();
    let running = Running::ready(&place.dirs, &config(image(&release)));
    let mut stream = running.connect(8001);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    running.stop().unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    place.assert_clean();
}
