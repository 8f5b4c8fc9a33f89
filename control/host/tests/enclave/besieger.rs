//! The application behind encryption, which is root and tries to get at it. Compiled by the tests, not by Cargo.
//!
//! | port | does |
//! |---|---|
//! | 8001 | exits with status 7 after a line `exit`; otherwise does what it can to whoever else is there, and says what came of it |
//! | 8083 | HTTP: says `STEVE` where the request came by it, else `plain`, and its path |

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

unsafe extern "C" {
    fn kill(pid: i32, signal: i32) -> i32;
    fn getpid() -> i32;
    fn ptrace(request: i32, pid: i32, address: usize, data: usize) -> i64;
    fn socket(family: i32, kind: i32, protocol: i32) -> i32;
}

fn main() {
    let http = TcpListener::bind(("127.0.0.1", 8083)).unwrap();
    std::thread::spawn(move || {
        for stream in http.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    let orders = TcpListener::bind(("127.0.0.1", 8001)).unwrap();
    for mut stream in orders.incoming().flatten() {
        let mut order = String::new();
        let _ = BufReader::new(&stream).read_line(&mut order);
        match order.trim() {
            "exit" => std::process::exit(7),
            "besiege" => drop(stream.write_all(besiege().as_bytes())),
            _ => {}
        }
    }
}

fn answer(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let by = if head.contains("\nx-enclave-e2e: v=3; suite=") { "STEVE" } else { "plain" };
    let content = format!("{by} {path}");
    let length = content.len();
    let _ =
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{content}");
}

/// One line for each thing that worked and should not have; `done` at the end.
fn besiege() -> String {
    let mut worked = Vec::new();
    // SAFETY: calls with integers alone.
    let own = unsafe { getpid() };
    // A thread's number works as its process's.
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let own_threads: Vec<i32> =
        threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for pid in (1..=40_000).filter(|pid| !own_threads.contains(pid)) {
        // Signals: PID 1 of this namespace takes none.
        for signal in [9, 11, 19] {
            // SAFETY: as above.
            if unsafe { kill(pid, signal) } == 0 && pid != 1 {
                worked.push(format!("signal {signal} to {pid}"));
            }
        }
        const SEIZE: i32 = 0x4206;
        // SAFETY: as above.
        if unsafe { ptrace(SEIZE, pid, 0, 0) } == 0 {
            worked.push(format!("tracing {pid}"));
        }
        for file in ["mem", "maps", "environ", "fd/3", "fd/4", "root/boot.json"] {
            let path = format!("/proc/{pid}/{file}");
            if std::fs::File::open(&path).is_ok_and(|mut file| file.read(&mut [0]).is_ok()) {
                worked.push(path);
            }
        }
    }
    // SAFETY: as above.
    unsafe { kill(-1, 9) };
    let seen = std::fs::read_dir("/proc").unwrap().flatten();
    let seen = seen.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    worked.extend(seen.filter(|pid| *pid != own && *pid != 1).map(|pid| format!("seeing {pid}")));
    if std::path::Path::new("/dev/nsm").exists() {
        worked.push("/dev/nsm".to_owned());
    }
    const VSOCK: i32 = 40;
    // SAFETY: as above.
    if unsafe { socket(VSOCK, 1, 0) } >= 0 {
        worked.push("vsock".to_owned());
    }
    for address in [("127.0.0.1", 8080), ("0.0.0.0", 8080), ("127.0.0.1", 49502)] {
        if TcpListener::bind(address).is_ok() {
            worked.push(format!("listening on {}:{}", address.0, address.1));
        }
    }
    for (port, request, status) in QUESTIONS {
        let said = ask(*port, request);
        if !said.starts_with(&format!("HTTP/1.1 {status} ")) {
            worked.push(format!("{request:.60}: {said:.60}"));
        }
    }
    worked.push("done\n".to_owned());
    worked.join("\n")
}

/// What to ask attestd and steved, and the only status that is right: claims of the asker's own are none.
const QUESTIONS: &[(u16, &str, u16)] = &[
    (49502, "POST /attestation|{\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}", 200),
    (
        49502,
        "POST /attestation|{\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"user_data\":\"AA==\"}",
        400,
    ),
    (
        49502,
        "POST /attestation|{\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"public_key\":\"AA==\"}",
        400,
    ),
    (49502, "POST /attestation|{\"nonce\":\"c3RldmUzLWV2aWRlbmNl\"}", 400),
    (49502, "POST /attestation?user_data=AA|{}", 400),
    (49502, "POST /epoch|{}", 404),
    (49502, "POST /.well-known/steve/evidence|{}", 404),
    (8080, "POST /.well-known/steve/evidence?user_data=AA|", 404),
    (8080, "POST /.well-known/steve/evidence|short", 400),
    (8080, "POST /.well-known/steve/evidence|0123456789abcdef0123456789abcdef", 200),
];

fn ask(port: u16, request: &str) -> String {
    let (line, content) = request.split_once('|').unwrap();
    let mut answer = String::new();
    let asked = TcpStream::connect(("127.0.0.1", port)).and_then(|mut stream| {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let length = content.len();
        write!(
            stream,
            "{line} HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n\
             Connection: close\r\nContent-Length: {length}\r\n\r\n{content}"
        )?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        answer = String::from_utf8_lossy(&bytes).into_owned();
        Ok(())
    });
    asked.map_or_else(|e| e.to_string(), |()| answer)
}
