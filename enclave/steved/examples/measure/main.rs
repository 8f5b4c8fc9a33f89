//! What steved costs beside a reverse proxy without encryption: `cargo run --release -p caution-steved --example measure`.
//!
//! One thread serves, as each of an enclave's does; the app and the clients have others. Requests are sealed before they
//! are sent and responses are not opened, and what is counted is processor time of the serving thread (schedstat of
//! proc(5)), so neither the clients nor whoever else uses the machine is measured. Prints JSON, a line each.
//! Caddy and nginx with TLS are asked by curl, and all their threads count. `measure GIBIBYTES` streams so many each way instead, and tells the memory of the process at its highest.

mod app;
mod load;
mod steve;
mod tls;

use caution_steve::Suite;
use caution_steved::{Enclave, Steved};
use load::Connection;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;

fn main() {
    let from = Instant::now();
    let app = Thread::serving(move |listener| app::app(listener, from));
    if let Some(gibibytes) = std::env::args().nth(1) {
        return stream_long(app.address, gibibytes.parse().expect("a number of GiB"));
    }
    let to = app.address;
    let fresh = Thread::serving(move |listener| app::proxy(listener, to, false));
    let kept = Thread::serving(move |listener| app::proxy(listener, to, true));
    let steved = steved(to, Suite::X25519);
    for (bytes, part) in [(200, 0.85), (1024, 0.85), (16_384, 0.75)] {
        let [ours, theirs, connecting] = in_turn([
            steve_requests(&steved, bytes),
            plain_requests(&kept, bytes),
            plain_requests(&fresh, bytes),
        ]);
        let name = format!("steved: a request of {bytes} bytes and its response");
        say(&name, ours, "µs", Some(("hyper proxy", theirs, part)));
        say("… beside one that connects for each", ours, "µs", Some(("such a proxy", connecting, 0.0)));
    }
    let (ours, theirs) = (steve_streams(&steved, GIB), plain_streams(&kept, GIB));
    say("steved: 1 GiB to a client", ours.0, "ms", Some(("hyper proxy", theirs.0, 0.6)));
    say("… from one", ours.1, "ms", Some(("hyper proxy", theirs.1, 0.6)));
    for (what, server) in [("Caddy", tls::Server::caddy(to)), ("nginx", tls::Server::nginx(to))] {
        let Some(server) = server else { continue };
        for bytes in [1024, 16_384] {
            let name = format!("{what} with TLS: a request of {bytes} bytes and its response");
            say(&name, server.requests(bytes), "µs", None);
        }
        say(&format!("{what} with TLS: 1 GiB to a client"), server.download(GIB), "ms", None);
    }
    let (ours, theirs) = (steve_events(&steved, from), plain_events(&kept, from));
    say("steved: an event arrives, median", ours.0, "µs", Some(("hyper proxy", theirs.0, 0.0)));
    say("… 99 of 100", ours.1, "µs", Some(("hyper proxy", theirs.1, 0.0)));
    for suite in Suite::ALL {
        let server = self::steved(to, suite);
        say(&format!("steved: a handshake, {suite}"), handshakes(&server), "µs", None);
    }
    say("steved: peak memory, app and clients too", peak(), "MiB", None);
}

/// A value, and whose it is beside: the last number is the part of its peer's speed that is promised, 0 where none is.
fn say(name: &str, value: f64, unit: &str, beside: Option<(&str, f64, f64)>) {
    let beside = beside.map_or_else(String::new, |(peer, value, part)| {
        format!(r#","peer":"{peer}","peer_value":{value:.1},"part":{part}"#)
    });
    println!(r#"{{"name":"{name}","value":{value:.1},"unit":"{unit}"{beside}}}"#);
}

/// A thread that serves on an address of its own.
struct Thread {
    address: SocketAddr,
    schedstat: String,
}

impl Thread {
    fn serving<F: Future<Output = ()>>(serve: impl FnOnce(TcpListener) -> F + Send + 'static) -> Self {
        let (sender, ready) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let thread = std::fs::read_link("/proc/thread-self").expect("Linux");
                let address = listener.local_addr().expect("it is bound");
                let schedstat = format!("/proc/{}/schedstat", thread.display());
                sender.send(Self { address, schedstat }).expect("somebody waits");
                tokio::task::LocalSet::new().run_until(serve(listener)).await;
            });
        });
        ready.recv().expect("it starts")
    }

    /// Processor time it took for `work`, in microseconds.
    fn cost(&self, work: impl FnOnce()) -> f64 {
        let spent = || {
            let text = std::fs::read_to_string(&self.schedstat).expect("a thread that runs");
            text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).expect("nanoseconds")
        };
        let before = spent();
        work();
        (spent() - before) / 1000.0
    }
}

fn steved(app: SocketAddr, suite: Suite) -> Thread {
    Thread::serving(move |listener| async move {
        let enclave = Arc::new(steve::Unsigned(1.into())) as Arc<dyn Enclave>;
        let steved = Steved::new(steve::settings(app, suite), enclave);
        steved.start().await.expect("a first key");
        steved.listen(listener).await;
    })
}

/// Microseconds a request: the least of some rounds, since others on the machine only add.
fn least(rounds: usize, mut round: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// One round of requests: microseconds each.
type Round<'a> = Box<dyn FnMut() -> f64 + 'a>;

/// The least of each, with rounds in turn, so that a busy moment of the machine is one of all.
fn in_turn<const N: usize>(mut rounds: [Round<'_>; N]) -> [f64; N] {
    let mut least = [f64::INFINITY; N];
    for _ in 0..ROUNDS {
        for (least, round) in least.iter_mut().zip(&mut rounds) {
            *least = least.min(round());
        }
    }
    least
}

fn plain_requests(server: &Thread, bytes: usize) -> Round<'_> {
    let mut connection = Connection::to(server.address);
    let head = format!("POST /{bytes} HTTP/1.1\r\nhost: a\r\ncontent-length: {bytes}\r\n\r\n");
    let request = [head.as_bytes(), &vec![b'x'; bytes]].concat();
    Box::new(move || {
        server.cost(|| {
            for _ in 0..REQUESTS {
                connection.write(&request);
                connection.response(|_| {});
            }
        }) / f64::from(REQUESTS)
    })
}

fn steve_requests(server: &Thread, bytes: usize) -> Round<'_> {
    let mut connection = Connection::to(server.address);
    let mut session = steve::session(&mut connection, &steve::key(server.address), bytes as u64);
    let body = vec![b'x'; bytes];
    Box::new(move || {
        let requests: Vec<_> =
            (0..REQUESTS).map(|_| steve::sealed(&mut session, &format!("/{bytes}"), &body).0).collect();
        server.cost(|| {
            for request in &requests {
                connection.write(request);
                connection.response(|_| {});
            }
        }) / f64::from(REQUESTS)
    })
}

/// Milliseconds down and up.
fn plain_streams(server: &Thread, bytes: u64) -> (f64, f64) {
    let mut connection = Connection::to(server.address);
    let down = least(STREAMS, || {
        server.cost(|| {
            connection.write(format!("GET /{bytes} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
            connection.response(|_| {});
        })
    });
    let piece = vec![b'x'; PIECE];
    let up = least(STREAMS, || {
        server.cost(|| {
            let head = format!("POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: {bytes}\r\n\r\n");
            connection.write(head.as_bytes());
            (0..bytes / PIECE as u64).for_each(|_| connection.write(&piece));
            connection.response(|_| {});
        })
    });
    (down / 1000.0, up / 1000.0)
}

fn steve_streams(server: &Thread, bytes: u64) -> (f64, f64) {
    let mut connection = Connection::to(server.address);
    let mut session = steve::session(&mut connection, &steve::key(server.address), 7);
    let down = least(STREAMS, || server.cost(|| download(&mut connection, &mut session, bytes)));
    let up = least(STREAMS, || server.cost(|| upload(&mut connection, &mut session, bytes)));
    (down / 1000.0, up / 1000.0)
}

fn download(connection: &mut Connection, session: &mut caution_steve::ClientSession, bytes: u64) {
    connection.write(&steve::sealed(session, &format!("/{bytes}"), b"").0);
    let mut read = 0;
    connection.response(|piece| read += piece.len() as u64);
    assert!(read > bytes, "all of it, and what is around it");
}

fn upload(connection: &mut Connection, session: &mut caution_steve::ClientSession, bytes: u64) {
    let mut upload = steve::Upload::begin(connection, session);
    let piece = vec![b'x'; PIECE];
    (0..bytes / PIECE as u64).for_each(|_| upload.content(connection, &piece));
    upload.end(connection);
    connection.response(|_| {});
}

/// Microseconds until an event arrives: of half of them, and of 99 in a hundred.
fn plain_events(server: &Thread, from: Instant) -> (f64, f64) {
    let mut connection = Connection::to(server.address);
    connection.write(format!("GET /events/{EVENTS} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
    let mut times = Vec::new();
    connection.response(|piece| times.push((from.elapsed(), piece.to_vec())));
    late(&times)
}

fn steve_events(server: &Thread, from: Instant) -> (f64, f64) {
    let mut connection = Connection::to(server.address);
    let mut session = steve::session(&mut connection, &steve::key(server.address), 9);
    let (request, mut opener) = steve::sealed(&mut session, &format!("/events/{EVENTS}"), b"");
    connection.write(&request);
    let mut times = Vec::new();
    connection.response(|piece| {
        opener.feed(piece).expect("authentic");
        while let Some(record) = opener.next_record().expect("authentic") {
            times.push((from.elapsed(), record.content));
        }
    });
    late(&times)
}

fn late(times: &[(Duration, Vec<u8>)]) -> (f64, f64) {
    let made = |text: &[u8]| {
        let at = text.windows(6).position(|window| window == b"data: ")?;
        std::str::from_utf8(text.get(at + 6..at + 26)?).ok()?.parse::<u64>().ok()
    };
    let mut late: Vec<f64> = times
        .iter()
        .filter_map(|(arrived, text)| Some((*arrived, Duration::from_nanos(made(text)?))))
        .map(|(arrived, made)| arrived.saturating_sub(made).as_secs_f64() * 1e6)
        .collect();
    late.sort_by(f64::total_cmp);
    (late[late.len() / 2], late[late.len() * 99 / 100])
}

/// Microseconds a handshake.
fn handshakes(server: &Thread) -> f64 {
    let key = steve::key(server.address);
    let mut connection = Connection::to(server.address);
    let hellos: Vec<_> = (0..HANDSHAKES)
        .map(|seed| {
            steve::post("session", "application/steve-hello", &steve::hello(&key, u64::from(seed) + 100).1)
        })
        .collect();
    let cost = server.cost(|| {
        for hello in &hellos {
            connection.write(hello);
            connection.response(|_| {});
        }
    });
    cost / f64::from(HANDSHAKES)
}

fn stream_long(app: SocketAddr, gibibytes: u64) {
    let server = steved(app, Suite::XWing);
    let mut connection = Connection::to(server.address);
    let mut session = steve::session(&mut connection, &steve::key(server.address), 7);
    download(&mut connection, &mut session, GIB);
    say("memory at its highest, after 1 GiB", peak(), "MiB", None);
    for (way, stream) in [("down", download as fn(&mut _, &mut _, u64)), ("up", upload)] {
        let begun = Instant::now();
        stream(&mut connection, &mut session, gibibytes * GIB);
        say(&format!("{gibibytes} GiB {way}"), begun.elapsed().as_secs_f64(), "s", None);
        say("memory at its highest", peak(), "MiB", None);
    }
}

fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("kibibytes") / 1024.0
}

const GIB: u64 = 1 << 30;
const PIECE: usize = 32 * 1024;
const REQUESTS: u32 = 1000;
const ROUNDS: usize = 20;
const STREAMS: usize = 3;
const EVENTS: usize = 1000;
const HANDSHAKES: u32 = 2000;
