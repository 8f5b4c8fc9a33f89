//! The application of the soak. Compiled by the test, not by Cargo.
//!
//! Port 8001 speaks HTTP/1.1, port 8002 sends back what it gets and `END` after the end of file.
//!
//! | request | answer |
//! |---|---|
//! | `POST /write/<id>` | 200 once the store, which is reached by egress, has the id; else 503 |
//! | `POST /sum` | the length of the body and a sum of its bytes |
//! | `GET /pattern/<n>` | n bytes: 0, 1, … 250, 0, … |
//! | `GET /events` | 20 server-sent events and the event `end` |
//! | `GET /socket` | switches protocols, and echoes |

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const STORE: ([u8; 4], u16) = ([203, 0, 113, 5], 7000);
const PATIENCE: Duration = Duration::from_secs(5);

fn main() {
    let raw = TcpListener::bind(("127.0.0.1", 8002)).unwrap();
    std::thread::spawn(move || each(&raw, echo));
    // The port of readiness comes last.
    each(&TcpListener::bind(("127.0.0.1", 8001)).unwrap(), http);
}

fn each(listener: &TcpListener, serve: fn(TcpStream) -> io::Result<()>) {
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || serve(stream));
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    io::copy(&mut stream.try_clone()?, &mut stream)?;
    stream.write_all(b"END")
}

fn http(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = from.by_ref().take(length.unwrap_or(0));
        let request = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
        if let Some(id) = request.strip_prefix("POST /write/") {
            io::copy(&mut body, &mut io::sink())?;
            match keep(id) {
                Ok(()) => answer(&mut to, "200 OK", id.as_bytes())?,
                Err(error) => {
                    answer(&mut to, "503 Service Unavailable", format!("the store: {error}").as_bytes())?;
                }
            }
        } else if request == "POST /sum" {
            let text = sum(&mut body)?;
            answer(&mut to, "200 OK", text.as_bytes())?;
        } else if let Some(length) = request.strip_prefix("GET /pattern/") {
            pattern(&mut to, length.parse().unwrap_or(0))?;
        } else if request == "GET /events" {
            events(&mut to)?;
        } else if request == "GET /socket" {
            to.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )?;
            return io::copy(&mut from, &mut to).map(drop);
        } else {
            answer(&mut to, "404 Not Found", b"what?")?;
        }
    }
}

/// The store has the id when this returns.
fn keep(id: &str) -> io::Result<()> {
    let mut store = TcpStream::connect_timeout(&SocketAddr::from(STORE), PATIENCE)?;
    store.set_read_timeout(Some(PATIENCE))?;
    writeln!(store, "{id}")?;
    let mut line = String::new();
    BufReader::new(store).take(256).read_line(&mut line)?;
    if line == format!("kept {id}\n") { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn sum(body: &mut impl Read) -> io::Result<String> {
    let (mut length, mut sum, mut buffer) = (0_u64, 0_u64, vec![0; 65536]);
    loop {
        let count = body.read(&mut buffer)?;
        if count == 0 {
            return Ok(format!("{length} {sum}"));
        }
        length += count as u64;
        sum =
            buffer[..count].iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
}

fn pattern(to: &mut impl Write, length: usize) -> io::Result<()> {
    write!(to, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
    let block: Vec<u8> = (0..=250).cycle().take(251 * 256).collect();
    let mut left = length;
    while left > 0 {
        let count = block.len().min(left);
        to.write_all(&block[..count])?;
        left -= count;
    }
    Ok(())
}

fn events(to: &mut impl Write) -> io::Result<()> {
    to.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for number in 0..20 {
        chunk(to, &format!("data: {number}\n\n"))?;
        std::thread::sleep(Duration::from_millis(100));
    }
    chunk(to, "data: end\n\n")?;
    to.write_all(b"0\r\n\r\n")
}

fn chunk(to: &mut impl Write, text: &str) -> io::Result<()> {
    write!(to, "{:x}\r\n{text}\r\n", text.len())
}

fn answer(to: &mut impl Write, status: &str, body: &[u8]) -> io::Result<()> {
    let mut message = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    message.extend_from_slice(body);
    to.write_all(&message)
}
