//! `caution proxy`.

use crate::enclave::Running;
use caution_steve::Suite;
use caution_steve::websocket::{FrameReader, Opcode, Piece, Sender, write_frame};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The command, until it is dropped.
struct Proxy {
    child: Child,
    address: String,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    fn start(running: &Running) -> Self {
        let mut command = running.caution("proxy");
        command.args([&running.url, "--pcrs", "good.pcrs", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(said["receipt"]["trust"], "pinned");
        let address = said["listening"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
        Self { child, address }
    }

    /// Everything that comes back for these bytes, to the end of the connection.
    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request.replace("HOST", &self.address).as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A connection that is broken off gives what came before.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Gives it room for so many descriptors beside those that it has. The limit is on their numbers.
    fn limit_to(&self, more: usize) {
        let id = self.child.id();
        let is_free = |number: &usize| !std::path::Path::new(&format!("/proc/{id}/fd/{number}")).exists();
        let limit = (0..).filter(is_free).nth(more).unwrap();
        let limited =
            Command::new("prlimit").args([format!("--pid={id}"), format!("--nofile={limit}:")]).status();
        assert!(limited.unwrap().success());
    }

    /// Processor time that it has used, in ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }
}

#[test]
fn what_speaks_no_steve_reaches_the_app_through_it() {
    let running = Running::start(Suite::XWing);
    let proxy = Proxy::start(&running);
    let answer = proxy.send(
        "POST /a?b=c HTTP/1.1\r\nHost: HOST\r\nConnection: close, x-mine\r\nX-Mine: gone\r\nContent-Length: 6\r\n\r\nsecret",
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nsecret"), "{answer}");
    for field in ["x-method: POST", "x-path: /a?b=c", "x-e2e: v=3; suite=xwing", "x-mine-was: -"] {
        assert!(answer.contains(field), "{field} {answer}");
    }
    let chunked = "POST / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n";
    let answer = proxy.send(chunked);
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("one") && answer.ends_with("0\r\n\r\n"),
        "{answer}"
    );
    assert_eq!(running.asked(), 2);
}

#[test]
fn pages_that_reach_it_by_another_name_or_from_another_origin_reach_nothing() {
    let running = Running::start(Suite::XWing);
    let proxy = Proxy::start(&running);
    for head in [
        "Host: evil.example\r\n",
        "Host: HOST\r\nOrigin: https://evil.example\r\n",
        "Host: HOST\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        let answer = proxy.send(&format!("GET / HTTP/1.1\r\n{head}Connection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        assert!(answer.contains(r#""from":"caution proxy""#), "{answer}");
    }
    assert_eq!(running.asked(), 0);
}

/// What was cut inside is cut outside: no length that fits, no last chunk.
#[test]
fn a_cut_response_is_cut_here_too() {
    let running = Running::start(Suite::XWing);
    let proxy = Proxy::start(&running);
    let answer = proxy
        .send("POST /cut HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 6\r\n\r\nbegins");
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: 16") || answer.contains("502 Bad Gateway"), "{answer}");
    assert_eq!(running.asked(), 1);
}

/// What comes back of a WebSocket for these frames of a client, to the end of the connection: its head, and its pieces.
fn socket(proxy: &Proxy, path: &str, frames: &[(Opcode, &[u8])]) -> (String, Vec<Piece>) {
    let mut stream = TcpStream::connect(&proxy.address).unwrap();
    let ask = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: other, chat\r\nSec-WebSocket-Extensions: x\r\n\r\n",
        proxy.address
    );
    stream.write_all(ask.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    if !head.starts_with("http/1.1 101") {
        return (head, Vec::new());
    }
    let mut bytes = Vec::new();
    for (opcode, content) in frames {
        write_frame(*opcode, true, content, Some([1, 2, 3, 4]), &mut bytes);
    }
    stream.write_all(&bytes).unwrap();
    let (mut answer, mut pieces, mut reader) = (Vec::new(), Vec::new(), FrameReader::new(Sender::Server));
    // A connection that is broken off gives what came before.
    let _ = stream.read_to_end(&mut answer);
    reader.feed(&answer);
    while let Some(piece) = reader.next_piece().unwrap() {
        pieces.push(piece);
    }
    (head, pieces)
}

#[test]
fn websockets_pass_through_it_and_what_is_cut_is_no_close() {
    let running = Running::start(Suite::XWing);
    let proxy = Proxy::start(&running);
    let text = |content: &[u8]| Piece::Data { text: true, content: content.to_vec(), end: true };
    let close = [&4001_u16.to_be_bytes()[..], b"done"].concat();
    let (head, pieces) = socket(
        &proxy,
        "/socket",
        &[(Opcode::Text, b"hello"), (Opcode::Ping, b"there?"), (Opcode::Close, &close)],
    );
    assert!(
        head.contains("s3pplmbitxaq9kygzzhzrbk+xoo=") && head.contains("sec-websocket-protocol: chat"),
        "{head}"
    );
    assert!(!head.contains("extensions"), "{head}");
    for piece in [text(b"hello"), Piece::Pong(b"there?".to_vec())] {
        assert!(pieces.contains(&piece), "{pieces:?}");
    }
    assert_eq!(pieces.last(), Some(&Piece::Close(close)));
    let (_, pieces) = socket(&proxy, "/half", &[(Opcode::Text, b"hello")]);
    assert!(!pieces.iter().any(|piece| matches!(piece, Piece::Close(_))), "{pieces:?}");
    let (head, _) = socket(&proxy, "/lost", &[]);
    assert!(head.starts_with("http/1.1 404") && head.contains("x-path: /lost"), "{head}");
    let other =
        proxy.send("GET / HTTP/1.1\r\nHost: HOST\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n");
    assert!(other.starts_with("HTTP/1.1 501 "), "{other}");
    assert_eq!(running.asked(), 3);
}

/// Where no descriptor is left it says so once, rests, and goes on when a connection ends.
#[test]
fn without_descriptors_connections_wait_until_others_end() {
    let running = Running::start(Suite::XWing);
    let mut proxy = Proxy::start(&running);
    let request = "POST / HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 3\r\n\r\none";
    assert!(proxy.send(request).ends_with("one"));
    proxy.limit_to(2);
    // The third is one too many.
    let connect = |_| TcpStream::connect(&proxy.address).unwrap();
    let held: Vec<_> = (0..3).map(connect).collect();
    let mut said = BufReader::new(proxy.child.stderr.take().unwrap());
    let mut warning = String::new();
    said.read_line(&mut warning).unwrap();
    assert!(warning.contains("No more connections can be taken now (Too many open files"), "{warning}");
    let before = proxy.ticks();
    rest(Duration::from_secs(1));
    let ticks = proxy.ticks() - before;
    assert!(ticks < 20, "{ticks} ticks of processor time in a second of waiting");
    drop(held);
    assert!(proxy.send(request).ends_with("one"));
    assert_eq!(running.asked(), 2);
    proxy.child.kill().unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("No more connections"), "{rest}");
}

#[expect(clippy::disallowed_methods, reason = "that nothing is done for a while is seen only after a while")]
fn rest(while_nothing_is_done: Duration) {
    std::thread::sleep(while_nothing_is_done);
}
