//! An application that tries what it is told to reach. Compiled by the tests, not by Cargo.
//!
//! One request a connection to port 8001, a line; one answer, a line:
//!
//! | request | answer |
//! |---|---|
//! | `tcp ADDRESS:PORT` | what came back for `ping`, else `error KIND` |
//! | `udp ADDRESS:PORT` | the same |
//! | `page ADDRESS:PORT` | what a server says that closes the connection |
//! | `bytes ADDRESS:PORT COUNT` | how many bytes came back for as many |
//! | `name NAME` | addresses as the C library finds them, else `error` |
//! | `ask ADDRESS:PORT` | `answered`, where a resolver answers there, else `error KIND` |
//! | `listen PORT` | `heard`, or `nothing` within 2 s, on that UDP port |

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

fn main() {
    let listener = TcpListener::bind(("127.0.0.1", 8001)).unwrap();
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
}

fn serve(mut stream: TcpStream) {
    let mut line = String::new();
    // Whoever only looks whether somebody listens says nothing.
    if BufReader::new(&stream).read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let answer = match words[..] {
        ["tcp", to] => tcp(to, b"ping".to_vec()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        ["bytes", to, count] => tcp(to, vec![7; count.parse().unwrap()]).map(|bytes| bytes.len().to_string()),
        ["page", to] => page(to),
        ["udp", to] => udp(to, b"ping").map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        ["ask", to] => udp(to, b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x07allowed\x04test\0\0\x01\0\x01")
            .map(|_| "answered".to_owned()),
        ["name", name] => (name, 1).to_socket_addrs().map(|found| {
            let mut found: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            found.sort();
            found.dedup();
            found.join(" ")
        }),
        ["listen", port] => listen(port.parse().unwrap()),
        _ => Ok("what?".to_owned()),
    };
    let answer = answer.unwrap_or_else(|e| format!("error {:?}", e.kind()));
    let _ = writeln!(stream, "{answer}");
}

fn tcp(to: &str, bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to.parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut writer = stream.try_clone()?;
    let mut answer = vec![0; bytes.len()];
    let sender = std::thread::spawn(move || writer.write_all(&bytes));
    stream.read_exact(&mut answer)?;
    sender.join().unwrap()?;
    Ok(answer)
}

/// What a server says until it closes.
fn page(to: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to.parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn udp(to: &str, message: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    socket.send(message)?;
    let mut answer = vec![0; 2048];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

fn listen(port: u16) -> std::io::Result<String> {
    let socket = UdpSocket::bind(("0.0.0.0", port))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(if socket.recv(&mut [0; 64]).is_ok() { "heard" } else { "nothing" }.to_owned())
}

const PATIENCE: Duration = Duration::from_secs(20);
