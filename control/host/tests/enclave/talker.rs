//! The application behind encryption that talks: HTTP on connections that stay, and a WebSocket that says again what
//! it hears. Compiled by the tests, not by Cargo.
//!
//! Each response says how it came, on which connection of all since the start, and which request of that one it is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() {
    let http = TcpListener::bind(("127.0.0.1", 8083)).unwrap();
    for (connection, stream) in http.incoming().flatten().enumerate() {
        std::thread::spawn(move || serve(stream, connection));
    }
}

fn serve(mut stream: TcpStream, connection: usize) {
    for request in 1.. {
        let Some(head) = head(&mut stream) else { return };
        let field = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
        };
        if let Some(key) = field("sec-websocket-key") {
            return talk(stream, &key);
        }
        let mut content = vec![0; field("content-length").map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut content).unwrap();
        let came = field("x-enclave-e2e").unwrap_or("plain".to_owned());
        let said = format!("{came} {connection} {request} {}", String::from_utf8_lossy(&content));
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len());
    }
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Frames of less than 126 bytes, which are all that the test sends.
fn talk(mut stream: TcpStream, key: &str) {
    let accept = base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()));
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade";
    write!(stream, "{switch}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").unwrap();
    loop {
        let mut start = [0; 6];
        if stream.read_exact(&mut start).is_err() {
            return;
        }
        let mut content = vec![0; usize::from(start[1] & 0x7f)];
        stream.read_exact(&mut content).unwrap();
        content.iter_mut().zip(start[2..].iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        stream.write_all(&[&[start[0], start[1] & 0x7f][..], &content].concat()).unwrap();
        if start[0] == 0x88 {
            return;
        }
    }
}

/// FIPS 180-4, section 6.1.
fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut state = [0x67452301_u32, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    let mut padded = [bytes, &[0x80]].concat();
    padded.resize((bytes.len() + 9).next_multiple_of(64) - 8, 0);
    padded.extend((bytes.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words: Vec<u32> =
            block.chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        for at in 16..80 {
            words.push((words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (at, word) in words.iter().enumerate() {
            let (mixed, constant) = match at / 20 {
                0 => ((b & c) | (!b & d), 0x5a827999),
                1 => (b ^ c ^ d, 0x6ed9eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1bbcdc),
                _ => (b ^ c ^ d, 0xca62c1d6_u32),
            };
            let next = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e);
            let next = next.wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (value, more) in state.iter_mut().zip([a, b, c, d, e]) {
            *value = value.wrapping_add(more);
        }
    }
    let mut digest = [0; 20];
    digest.chunks_mut(4).zip(state).for_each(|(to, word)| to.copy_from_slice(&word.to_be_bytes()));
    digest
}

/// RFC 4648, of 20 bytes.
fn base64(bytes: &[u8; 20]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in [&bytes[..], &[0]].concat().chunks(3) {
        let bits = group.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        text.extend((0..4).rev().map(|at| char::from(LETTERS[(bits >> (6 * at) & 63) as usize])));
    }
    text.pop();
    text + "="
}
