//! The application that the way in is measured with. Compiled by the benchmark with `rustc`, so that the same
//! program runs in both guests and on the host.
//!
//! | port | does |
//! |---|---|
//! | 8080 | answers HTTP/1.1 requests without body, as many as come on a connection |
//! | 8081 | does what a line says: `get N` sends N bytes, `put N` takes them and sends a dot, `loop N` passes them over a connection inside the machine and sends a dot, `memory` sends how many KiB are available |
//! | 8082 | sends a dot and keeps the connection |
//! | 8083 | as 8081; in the guest with socat a program of its own that was given the vsock socket |
//!
//! With the argument `transfer` it is that program: it does what 8081 does, on its standard streams. With a number it
//! does what 8080 does, on that port.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

const BLOCK: usize = 256 * 1024;

fn main() {
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("transfer") {
        let socket = io::stdin().as_fd().try_clone_to_owned().unwrap();
        // Only its reads and writes are used, which look at no address.
        let _ = transfer(socket.into());
        return;
    }
    if let Some(port) = argument.and_then(|port| port.parse::<u16>().ok()) {
        for stream in TcpListener::bind(("127.0.0.1", port)).unwrap().incoming().flatten() {
            let _ = stream.set_nodelay(true);
            std::thread::spawn(move || answer(stream));
        }
    }
    let ports = [8083, 8082, 8081, 8080].map(|port| (port, TcpListener::bind(("127.0.0.1", port)).unwrap()));
    let threads = ports.map(|(port, listener)| {
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_nodelay(true);
                match port {
                    8080 => drop(std::thread::spawn(move || answer(stream))),
                    8082 if stream.write_all(b".").is_ok() => kept.push(stream),
                    8082 => {}
                    _ => drop(std::thread::spawn(move || transfer(stream))),
                }
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nContent-Type: text/plain\r\n\r\nHello, world.\n";
    const LAST: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nHello, world.\n";
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        bytes.extend_from_slice(&buffer[..length]);
        while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            if bytes[..end].windows(5).any(|word| word == b"close") {
                return stream.write_all(LAST);
            }
            stream.write_all(ANSWER)?;
            bytes.drain(..end + 4);
        }
    }
}

fn transfer(mut stream: TcpStream) -> io::Result<()> {
    let line: Vec<u8> =
        (&stream).bytes().map_while(Result::ok).take_while(|byte| *byte != b'\n').collect();
    let line = String::from_utf8_lossy(&line);
    let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
    let count = number.parse().unwrap_or(0);
    match word {
        "get" => send(&mut stream, count),
        "put" => {
            take(&mut stream, count)?;
            stream.write_all(b".")
        }
        "loop" => {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            let mut sender = TcpStream::connect(listener.local_addr()?)?;
            let sending = std::thread::spawn(move || send(&mut sender, count));
            take(&mut listener.accept()?.0, count)?;
            let _ = sending.join();
            stream.write_all(b".")
        }
        _ => {
            let all = std::fs::read_to_string("/proc/meminfo")?;
            let available = all.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
            stream.write_all(available.unwrap_or_default().trim().trim_end_matches(" kB").as_bytes())
        }
    }
}

fn send(to: &mut TcpStream, mut count: usize) -> io::Result<()> {
    let block = vec![0x5a; BLOCK];
    while count > 0 {
        let length = block.len().min(count);
        to.write_all(&block[..length])?;
        count -= length;
    }
    Ok(())
}

fn take(from: &mut TcpStream, mut count: usize) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    while count > 0 {
        match from.read(&mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => count = count.saturating_sub(length),
        }
    }
    Ok(())
}
