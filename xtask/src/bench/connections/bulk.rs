//! Many bytes through a raw port, beside the same bytes over vsock itself: there the program in the guest reads and
//! writes the vsock socket, with the same device on the host.

use super::guest::Guest;
use crate::bench::BenchError;
use crate::bench::report::{Goal, Measurement, Peer};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

/// Each side is measured this often, in turns; the best counts, for all.
const ROUNDS: usize = 2;
const BYTES: usize = 1 << 30;
const PIECE: usize = 1 << 20;

/// Both directions; then the same bytes over a TCP connection that stays in the guest, which is what a forwarder adds at
/// least: with vsock's own time it gives what any forwarder could reach there if it cost nothing itself.
pub(super) fn measure(ours: &Guest<'_>, socat: &Guest<'_>) -> Result<Vec<Measurement>, BenchError> {
    let failed = |error| BenchError::Io("Using a raw port", error);
    let (mut forwarded, mut bare, mut inside) = ([0.0_f64; 2], [0.0_f64; 2], 0.0_f64);
    for _ in 0..ROUNDS {
        for (at, transfer) in [get, put].into_iter().enumerate() {
            forwarded[at] = forwarded[at].max(speed(ours, 8081, transfer).map_err(failed)?);
            bare[at] = bare[at].max(speed(socat, 8083, transfer).map_err(failed)?);
        }
        inside = inside.max(speed(ours, 8081, loopback).map_err(failed)?);
    }
    let beside = |name, at: usize| {
        let peer = Peer { name: "vsock itself", value: bare[at] };
        Measurement::beside(name, forwarded[at], "MB/s", peer, Goal::PeerTimes(0.85))
    };
    let ceiling = |at: usize| 1.0 / (1.0 / bare[at] + 1.0 / inside);
    let shown = |name, value| Measurement::new(name, value, "MB/s", Goal::Shown);
    Ok(vec![
        beside("1 GiB out through a raw port", 0),
        beside("1 GiB in through a raw port", 1),
        shown("… over loopback inside the guest alone", inside),
        shown("… out over vsock, then over loopback", ceiling(0)),
        shown("… in over vsock, then over loopback", ceiling(1)),
    ])
}

/// MB a second.
fn speed(guest: &Guest<'_>, port: u16, transfer: fn(&mut TcpStream) -> io::Result<()>) -> io::Result<f64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, guest.port(port)))?;
    let started = Instant::now();
    transfer(&mut stream)?;
    #[expect(clippy::cast_precision_loss, reason = "2^30 is exact")]
    Ok(BYTES as f64 / 1e6 / started.elapsed().as_secs_f64())
}

/// The app sends.
fn get(stream: &mut TcpStream) -> io::Result<()> {
    writeln!(stream, "get {BYTES}")?;
    let (mut left, mut buffer) = (BYTES, vec![0; PIECE]);
    while left > 0 {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => left = left.saturating_sub(length),
        }
    }
    Ok(())
}

/// The app takes.
fn put(stream: &mut TcpStream) -> io::Result<()> {
    writeln!(stream, "put {BYTES}")?;
    let piece = vec![0x5a; PIECE];
    for _ in 0..BYTES / PIECE {
        stream.write_all(&piece)?;
    }
    stream.read_exact(&mut [0])
}

/// The app sends to itself.
fn loopback(stream: &mut TcpStream) -> io::Result<()> {
    writeln!(stream, "loop {BYTES}")?;
    stream.read_exact(&mut [0])
}
