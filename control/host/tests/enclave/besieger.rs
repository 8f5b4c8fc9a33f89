//! The application behind encryption, which is root and tries to get at it. Compiled by the tests, not by Cargo.
//!
//! | port | does |
//! |---|---|
//! | 8001 | after a line `besiege` does what it can to whoever else is there, and says what came of it; after `massacre` kills whom it may, itself included |
//! | 8083 | HTTP: says `STEVE` where the request came by it, else `plain`, and its path |

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

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
            "massacre" => drop(siege(&[])),
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
    let own = std::process::id() as i32;
    // A thread's number works as its process's.
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let own_threads: Vec<String> =
        threads.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    worked.extend(siege(&own_threads).lines().map(str::to_owned));
    for pid in (1..=40_000).filter(|pid| !own_threads.contains(&pid.to_string())) {
        for file in ["mem", "maps", "environ", "fd/3", "fd/4", "root/boot.json"] {
            let path = format!("/proc/{pid}/{file}");
            if std::fs::File::open(&path).is_ok_and(|mut file| file.read(&mut [0]).is_ok()) {
                worked.push(path);
            }
        }
    }
    let seen = std::fs::read_dir("/proc").unwrap().flatten();
    let seen = seen.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    worked.extend(seen.filter(|pid| *pid != own && *pid != 1).map(|pid| format!("seeing {pid}")));
    if std::path::Path::new("/dev/nsm").exists() {
        worked.push("/dev/nsm".to_owned());
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

/// What `siege.c` says, with these processes spared.
fn siege(spared: &[String]) -> String {
    let output = std::process::Command::new("/siege").args(spared).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
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
