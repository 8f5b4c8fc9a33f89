//! One request after another, of each kind: what is whole, what failed, and what only looks like an answer.

use crate::place::{HOST, RAW};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// How a request went on that was not answered whole.
pub(crate) enum Unanswered {
    /// The client knows that it failed.
    Failed(String),
    /// It looks like an answer and is none.
    Wrong(String),
}

impl From<io::Error> for Unanswered {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Wrong("it hangs".to_owned()),
            kind => Self::Failed(format!("{kind:?}")),
        }
    }
}

pub(crate) type Outcome = Result<(), Unanswered>;

/// A connection over TLS.
pub(crate) struct Web {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    /// The other side said that it ends after this answer.
    pub(crate) closes: bool,
}

impl Web {
    pub(crate) fn connect(tls: &Arc<ClientConfig>, address: &str) -> io::Result<Self> {
        let tcp = TcpStream::connect_timeout(&format!("{address}:443").parse().unwrap(), PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(HOST).unwrap();
        let tls = ClientConnection::new(Arc::clone(tls), name).map_err(io::Error::other)?;
        Ok(Self { stream: BufReader::new(StreamOwned::new(tls, tcp)), closes: false })
    }

    fn send(&mut self, request: &str, more: &str, body: &[u8]) -> io::Result<()> {
        let length = body.len();
        let head = format!("{request} HTTP/1.1\r\nHost: {HOST}\r\n{more}Content-Length: {length}\r\n\r\n");
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        self.stream.get_mut().flush()
    }

    /// The head of an answer, in lower case. What says that the app was not reached is a failure; what says
    /// anything else but that it went well is wrong.
    fn head(&mut self, wanted: &str) -> Result<String, Unanswered> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(Unanswered::Failed("closed".to_owned()));
            }
        }
        let head = head.to_ascii_lowercase();
        self.closes = head.contains("\r\nconnection: close\r\n");
        let status = head.split(' ').nth(1).unwrap_or_default().trim_end();
        match status {
            "502" | "503" => Err(Unanswered::Failed(status.to_owned())),
            status if status == wanted => Ok(head),
            _ => Err(Unanswered::Wrong(head)),
        }
    }

    fn body(&mut self, head: &str) -> Result<Vec<u8>, Unanswered> {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.ok_or_else(|| Unanswered::Wrong(format!("no length: {head}")))?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    pub(crate) fn write(&mut self, id: &str) -> Outcome {
        self.send(&format!("POST /write/{id}"), "", b"")?;
        let head = self.head("200")?;
        let body = self.body(&head)?;
        if body == id.as_bytes() { Ok(()) } else { Err(Unanswered::Wrong(format!("{id}: another answer"))) }
    }
}

pub(crate) fn download(web: &mut Web) -> Outcome {
    web.send(&format!("GET /pattern/{LARGE}"), "", b"")?;
    let head = web.head("200")?;
    let body = web.body(&head)?;
    let whole = body.len() == LARGE && body == pattern();
    if whole { Ok(()) } else { Err(Unanswered::Wrong(format!("{} other bytes", body.len()))) }
}

pub(crate) fn upload(web: &mut Web) -> Outcome {
    let body = pattern();
    web.send("POST /sum", "", body)?;
    let head = web.head("200")?;
    let said = web.body(&head)?;
    let sum = body.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    let wanted = format!("{LARGE} {sum}");
    if said == wanted.as_bytes() { Ok(()) } else { Err(Unanswered::Wrong("another sum".to_owned())) }
}

/// Far more than what lies between the app and a client, so that it is the client's pace that counts.
pub(crate) fn long_download(web: &mut Web, until: &AtomicBool) -> Outcome {
    web.send(&format!("GET /pattern/{LONG}"), "", b"")?;
    web.head("200")?;
    let (mut block, mut at) = (vec![0; LONG / 1024], 0_usize);
    while at < LONG {
        web.stream.read_exact(&mut block)?;
        if block.iter().zip(at..).any(|(byte, at)| usize::from(*byte) != at % 251) {
            return Err(Unanswered::Wrong(format!("other bytes after {at}")));
        }
        at += block.len();
        // A quarter of it stays for the time behind.
        while at == LONG / 4 * 3 && !until.load(Ordering::Acquire) {
            pause();
        }
    }
    Ok(())
}

pub(crate) fn long_upload(web: &mut Web, until: &AtomicBool) -> Outcome {
    let head = format!("POST /sum HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {LONG}\r\n\r\n");
    web.stream.get_mut().write_all(head.as_bytes())?;
    let (mut block, mut sum) = (vec![0; LONG / 1024], 0_u64);
    for number in 0..1024 {
        for (byte, at) in block.iter_mut().zip(number..) {
            *byte = u8::try_from(at % 251).unwrap_or_default();
            sum = sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        web.stream.get_mut().write_all(&block)?;
        while number == 768 && !until.load(Ordering::Acquire) {
            pause();
        }
    }
    web.stream.get_mut().flush()?;
    let head = web.head("200")?;
    let said = web.body(&head)?;
    let wanted = format!("{LONG} {sum}");
    if said == wanted.as_bytes() { Ok(()) } else { Err(Unanswered::Wrong("another sum".to_owned())) }
}

/// Events in their order. Caddy 2.6 ends a stream in order that the app did not (specs/ingress.md §2), so only
/// the stream's own last event says that it is whole.
pub(crate) fn events(web: &mut Web) -> Outcome {
    web.send("GET /events", "", b"")?;
    web.head("200")?;
    let mut told = String::new();
    loop {
        let mut line = String::new();
        web.stream.read_line(&mut line)?;
        let length = usize::from_str_radix(line.trim_end(), 16);
        let length = length.map_err(|_| Unanswered::Failed("closed".to_owned()))?;
        let mut chunk = vec![0; length + 2];
        web.stream.read_exact(&mut chunk)?;
        if length == 0 {
            break;
        }
        told += &String::from_utf8_lossy(&chunk[..length]);
    }
    let wanted: String = (0..20).map(|number| format!("data: {number}\n\n")).collect();
    let wanted = wanted + "data: end\n\n";
    match wanted.strip_prefix(&told) {
        Some("") => Ok(()),
        Some(_) => Err(Unanswered::Failed("no last event".to_owned())),
        None => Err(Unanswered::Wrong(told)),
    }
}

/// Bytes both ways until it is cut, or long enough.
pub(crate) fn socket(web: &mut Web, done: &AtomicBool) -> Outcome {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    web.send("GET /socket", upgrade, b"")?;
    web.head("101")?;
    for number in 0..20 {
        let message = format!("message {number}").repeat(1 + number);
        web.stream.get_mut().write_all(message.as_bytes())?;
        let mut echoed = vec![0; message.len()];
        web.stream.read_exact(&mut echoed)?;
        if echoed != message.as_bytes() {
            return Err(Unanswered::Wrong("other bytes".to_owned()));
        }
        if done.load(Ordering::Acquire) {
            break;
        }
        pause();
    }
    Ok(())
}

/// Bytes both ways over the raw port, then the end in order; a connection that is cut has no `END`.
pub(crate) fn raw(address: &str, messages: usize, done: &AtomicBool) -> Outcome {
    let mut stream = TcpStream::connect_timeout(&format!("{address}:{RAW}").parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for number in 0..messages {
        let message = &pattern()[..=number * 997];
        stream.write_all(message)?;
        let mut echoed = vec![0; message.len()];
        stream.read_exact(&mut echoed)?;
        if echoed != message {
            return Err(Unanswered::Wrong("other bytes".to_owned()));
        }
        if done.load(Ordering::Acquire) {
            break;
        }
        pause();
    }
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    match rest.as_slice() {
        b"END" => Ok(()),
        b"" => Err(Unanswered::Failed("cut".to_owned())),
        other => Err(Unanswered::Wrong(format!("{} bytes in place of the end", other.len()))),
    }
}

fn pattern() -> &'static [u8] {
    static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| (0..=250).cycle().take(LARGE).collect());
    &PATTERN
}

/// Of a download and an upload, in bytes.
const LARGE: usize = 1 << 20;
/// Of a transfer that lasts.
const LONG: usize = 32 << 20;
/// Far longer than anything takes that works: what is not answered by then hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two requests: many kinds share a machine of two processors with an emulator.
pub(crate) fn pause() {
    #[expect(clippy::disallowed_methods, reason = "the pace of a client")]
    std::thread::sleep(Duration::from_millis(100));
}
