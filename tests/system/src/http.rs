//! The smallest HTTP/1.1 client and server that tests need, so that they decide every byte.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Sends one request to 127.0.0.1 and returns status and body.
pub fn request(port: u16, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    exchange(&mut stream, method, path, body)
}

/// Sends one request and returns status and body, which ends where its length says.
pub fn exchange(
    stream: &mut (impl Read + Write),
    method: &str,
    path: &str,
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let (head, body) = read_message(stream)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, body))
}

/// Answers every request on a new port of 127.0.0.1 with what `answer` makes of its body, for as long
/// as the test process lives. Returns the port.
pub fn serve(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away early is its own matter.
            let _ = answer_one(stream, &answer);
        }
    });
    port
}

fn answer_one(mut stream: TcpStream, answer: &impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (_, body) = read_message(&mut stream)?;
    let body = answer(&body);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// Head and body of a message; without a length it has no body.
fn read_message(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let (mut message, mut chunk) = (Vec::new(), [0u8; 4096]);
    let mut read_more = |message: &mut Vec<u8>| match stream.read(&mut chunk)? {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        n => {
            message.extend_from_slice(&chunk[..n]);
            Ok(())
        }
    };
    let end = loop {
        if let Some(at) = message.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(&mut message)?;
    };
    let head = String::from_utf8_lossy(&message[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    while message.len() < end + length {
        read_more(&mut message)?;
    }
    Ok((head, message[end..end + length].to_vec()))
}
