//! A greeting over HTTP, small enough to be read in one sitting and verified from source.
//!
//! `GET /` greets, `GET /health` says `ok`. Every connection serves one request. Requests may be slow,
//! broken or huge: each is bounded in bytes and time, and none stops the server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const ADDRESS: &str = "0.0.0.0:8080";
const GREETING: &str = concat!("Hello from hello ", env!("CARGO_PKG_VERSION"), ".\n");
/// The longest request head.
const MAX_HEAD: usize = 8 * 1024;
/// The longest time a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// More connections than this at once are turned away.
const MAX_CONNECTIONS: usize = 64;

static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

fn main() {
    let listener = match TcpListener::bind(ADDRESS) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("hello: cannot listen on {ADDRESS}: {error}");
            std::process::exit(1);
        }
    };
    println!("hello: listening on {ADDRESS}");
    for connection in listener.incoming() {
        match connection {
            Ok(stream) => accept(stream),
            // Too many open files, a connection that is gone already: the next one may be fine.
            Err(error) => eprintln!("hello: a connection was not accepted: {error}"),
        }
    }
}

fn accept(mut stream: TcpStream) {
    if CONNECTIONS.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
        let _ = respond(&mut stream, &Answer::text(503, "Too many connections.\n"), false);
        CONNECTIONS.fetch_sub(1, Ordering::SeqCst);
        return;
    }
    let work = move || {
        if let Err(error) = serve(&mut stream) {
            eprintln!("hello: a request was not answered: {error}");
        }
        CONNECTIONS.fetch_sub(1, Ordering::SeqCst);
    };
    if let Err(error) = std::thread::Builder::new().spawn(work) {
        CONNECTIONS.fetch_sub(1, Ordering::SeqCst);
        eprintln!("hello: no thread for a connection: {error}");
    }
}

fn serve(stream: &mut TcpStream) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = match read_head(stream)? {
        Some(head) => head,
        None => return Ok(()),
    };
    let (answer, head_only) = answer(&head);
    respond(stream, &answer, head_only)
}

/// The bytes up to the empty line, or as many as may be; `None` when the client said nothing.
fn read_head(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let deadline = Instant::now() + PATIENCE;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while head.len() < MAX_HEAD && !ends_head(&head) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(if head.is_empty() { None } else { Some(head) })
}

fn ends_head(head: &[u8]) -> bool {
    head.windows(4).any(|four| four == b"\r\n\r\n") || head.windows(2).any(|two| two == b"\n\n")
}

struct Answer {
    status: u16,
    body: &'static str,
}

impl Answer {
    fn text(status: u16, body: &'static str) -> Self {
        Self { status, body }
    }

    fn reason(&self) -> &'static str {
        match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        }
    }
}

/// The answer to a request head, and whether its body is to be left out.
fn answer(head: &[u8]) -> (Answer, bool) {
    if !ends_head(head) {
        let too_long = head.len() >= MAX_HEAD;
        let (status, body) = if too_long { (431, "Too long.\n") } else { (408, "Incomplete.\n") };
        return (Answer::text(status, body), false);
    }
    let line = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let (method, target, version) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) => (method, target, version),
        _ => return (Answer::text(400, "Not an HTTP request.\n"), false),
    };
    if !version.starts_with("HTTP/1.") {
        return (Answer::text(400, "Not an HTTP/1 request.\n"), false);
    }
    if method != "GET" && method != "HEAD" {
        return (Answer::text(405, "Only GET and HEAD.\n"), false);
    }
    let path = target.split('?').next().unwrap_or_default();
    let answer = match path {
        "/" => Answer::text(200, GREETING),
        "/health" => Answer::text(200, "ok\n"),
        _ => Answer::text(404, "Nothing here.\n"),
    };
    (answer, method == "HEAD")
}

fn respond(stream: &mut TcpStream, answer: &Answer, head_only: bool) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        answer.status,
        answer.reason(),
        answer.body.len(),
    );
    let body = if head_only { "" } else { answer.body };
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> u16 {
        answer(head.as_bytes()).0.status
    }

    #[test]
    fn requests_get_their_status() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", 200),
            ("GET /?a=b HTTP/1.0\n\n", 200),
            ("HEAD /health HTTP/1.1\r\n\r\n", 200),
            ("GET /x HTTP/1.1\r\n\r\n", 404),
            ("POST / HTTP/1.1\r\n\r\n", 405),
            ("GET / HTTP/2\r\n\r\n", 400),
            ("\r\n\r\n", 400),
            ("GET  extra words here HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n", 408),
        ] {
            assert_eq!(status(head), expected, "{head:?}");
        }
        assert_eq!(status(&"x".repeat(MAX_HEAD)), 431);
        assert!(answer(b"HEAD / HTTP/1.1\r\n\r\n").1);
        assert_eq!(answer(b"GET / HTTP/1.1\r\n\r\n").0.body, GREETING);
    }

    #[test]
    fn a_connection_is_answered_whatever_it_sends() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        for (sent, expected) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "HTTP/1.1 200 OK\r\n"),
            (b"\xff\xfe\x00\n\n", "HTTP/1.1 400 Bad Request\r\n"),
            (b"GET", "HTTP/1.1 408 Request Timeout\r\n"),
            (b"", ""),
        ] {
            let mut client = TcpStream::connect(address).expect("connects");
            client.write_all(sent).expect("sends");
            client.shutdown(std::net::Shutdown::Write).expect("closes");
            serve(&mut listener.accept().expect("accepts").0).expect("answers");
            let mut text = String::new();
            client.read_to_string(&mut text).expect("receives");
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
