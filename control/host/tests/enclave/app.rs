//! The application of these tests: one TCP service a port. Compiled by the tests, not by Cargo.
//!
//! | port | does |
//! |---|---|
//! | 8001 | sends back what it gets, and `END` after the end of file |
//! | 8002 | reads to the end of file, then says how many bytes and their sum came |
//! | 8003 | sends 32 MiB of a pattern and closes |
//! | 8004 | says `hello`, ends its direction, then reads to the end of file |
//! | 8005 | says so on its standard error, and exits with the status it is sent as a decimal line |
//! | 8006 | with the argument `late`: says `on` to its first client, and then the others listen |
//! | 8007 | sends a dot and keeps the connection until its peer ends it, without a thread for each |
//! | 8008 | says what time it is, in milliseconds since the Unix epoch |
//!
//! With the argument `done` it has none of them, and ends at once.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

fn main() {
    println!("the app says this on its standard output");
    let told = |word: &str| std::env::args().any(|argument| argument == word);
    if told("done") {
        return;
    }
    if told("chatty") {
        // 4 MiB in lines of 1 KiB.
        let line = format!("{}\n", "x".repeat(1023));
        std::io::stdout().write_all(line.repeat(4096).as_bytes()).unwrap();
    }
    if told("late") {
        let listener = TcpListener::bind(("127.0.0.1", 8006)).unwrap();
        listener.accept().unwrap().0.write_all(b"on").unwrap();
    }
    let listener = TcpListener::bind(("127.0.0.1", 8007)).unwrap();
    std::thread::spawn(move || keep(&listener));
    let services: [(u16, fn(TcpStream) -> std::io::Result<()>); 6] =
        // The port of readiness comes last: all others listen by then.
        [(8008, time), (8005, exit), (8004, hello), (8003, source), (8002, count), (8001, echo)];
    let threads = services.map(|(port, serve)| {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream));
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Says that it is there, and looks after all of them once in a while.
fn keep(listener: &TcpListener) {
    let mut kept: Vec<TcpStream> = Vec::new();
    for mut stream in listener.incoming().flatten() {
        if stream.write_all(b".").is_ok() && stream.set_nonblocking(true).is_ok() {
            kept.push(stream);
        }
        if kept.len().is_power_of_two() || kept.len().is_multiple_of(1024) {
            kept.retain(|mut stream| !matches!(stream.read(&mut [0]), Ok(0)));
        }
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut stream.try_clone()?, &mut stream)?;
    stream.write_all(b"END")
}

fn count(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut bytes, mut sum, mut buffer) = (0, 0_u64, vec![0; 65536]);
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return write!(stream, "{bytes} {sum}");
        }
        bytes += length;
        sum = buffer[..length]
            .iter()
            .fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    }
}

fn source(mut stream: TcpStream) -> std::io::Result<()> {
    let block: Vec<u8> = (0..=250).cycle().take(251 * 1024).collect();
    let mut left = 32 << 20;
    while left > 0 {
        let length = block.len().min(left);
        stream.write_all(&block[..length])?;
        left -= length;
    }
    Ok(())
}

fn hello(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello")?;
    stream.shutdown(Shutdown::Write)?;
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

fn time(mut stream: TcpStream) -> std::io::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    write!(stream, "{}", now.unwrap_or_default().as_millis())
}

fn exit(stream: TcpStream) -> std::io::Result<()> {
    let mut status = String::new();
    stream.take(8).read_to_string(&mut status)?;
    eprintln!("and this at its end");
    std::process::exit(status.trim().parse().unwrap_or(99));
}
