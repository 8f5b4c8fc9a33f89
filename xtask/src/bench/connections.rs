//! The way in: from a client through the host's device, vsock and the forwarder to the app, beside the same app
//! reached by socat, and without any of it.
//!
//! The guest with socat is the same image with another ramdisk 0, under the same QEMU and the same vsock device: this
//! machine's kernel has no vsock of the host's side. Its client comes in by a socat, too: TCP to the device's Unix socket.

mod bulk;
mod guest;
mod image;
mod load;

use super::BenchError;
use super::caution::{Caution, free_port, run};
use super::report::{Goal, Measurement, Peer};
use guest::{Guest, Running, wait_for};
use image::Images;
use load::{Load, best_of};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

/// Connections at a time that ask for pages.
const CLIENTS: usize = 32;
/// Idle clients.
const IDLE: usize = 10_000;

/// Everything about connections.
pub(crate) fn measure(caution: &Caution, root: &Path) -> Result<Vec<Measurement>, BenchError> {
    let temporary = tempfile::tempdir().map_err(|error| BenchError::Io("Making a folder", error))?;
    let images = Images::make(caution, root, temporary.path())?;
    let ours = Guest::start(caution, root, &images.ours, "bench-ours")?;
    let socat = Guest::start(caution, root, &images.socat, "bench-socat")?;
    let mut measured = requests(&images, &ours, &socat)?;
    measured.extend(bulk::measure(&ours, &socat)?);
    measured.extend(idle(&ours)?);
    Ok(measured)
}

/// Small questions and answers.
fn requests(images: &Images, ours: &Guest<'_>, socat: &Guest<'_>) -> Result<Vec<Measurement>, BenchError> {
    let bridge_port = free_port()?;
    let (listen, connect) = (
        format!("TCP-LISTEN:{bridge_port},fork,reuseaddr,backlog=1024"),
        format!("UNIX-CONNECT:{}", socat.http_socket),
    );
    let _bridge = Running::start("socat", &[&listen, &connect])?;
    let direct_port = free_port()?;
    let _direct = Running::start(&images.app.to_string_lossy(), &[&direct_port.to_string()])?;
    wait_for(bridge_port)?;
    wait_for(direct_port)?;

    let sides = [ours.port(8080), bridge_port, direct_port];
    let kept = best_of(sides, |port| Load::run(port, CLIENTS, false))?;
    let fresh = best_of(sides, |port| Load::run(port, CLIENTS, true))?;
    let alone = best_of(sides, |port| Load::run(port, 1, false))?;
    let peer = |value| Peer { name: "socat pairs (host leg: the device's Unix socket)", value };
    let loopback = |value| Peer { name: "loopback", value };
    let three = Goal::PeerTimes(3.0);
    let asked = |name, load: &[Load; 3]| {
        Measurement::beside(name, load[0].requests, "/s", peer(load[1].requests), three)
    };
    let added = |name, latency: fn(&Load) -> f64| {
        let [ours, socat] = [0, 1].map(|side| (latency(&alone[side]) - latency(&alone[2])).max(0.0));
        Measurement::beside(name, ours, "ms", peer(socat), Goal::PartOfPeer(1.0))
    };
    Ok(vec![
        asked("requests, 32 connections that are kept", &kept),
        Measurement::beside("…", kept[0].requests, "/s", loopback(kept[2].requests), Goal::Shown),
        asked("requests, a connection each, 32 at a time", &fresh),
        Measurement::beside("…", fresh[0].requests, "/s", loopback(fresh[2].requests), Goal::Shown),
        added("latency added to loopback, one client: median", |load| load.median_ms),
        added("… 99 of 100", |load| load.most_ms),
    ])
}

/// What each of many idle clients takes.
fn idle(guest: &Guest<'_>) -> Result<Vec<Measurement>, BenchError> {
    let io = |error| BenchError::Io("Opening idle connections", error);
    let (host, inside) = (guest.memory_kib(), available_kib(guest).map_err(io)?);
    // The usual limit of open files is 1,024.
    let this = format!("--pid={}", std::process::id());
    run(Path::new("/"), "prlimit", &[&this, &format!("--nofile={}:", IDLE + 256)])?;
    let mut clients = Vec::new();
    for _ in 0..IDLE {
        // One after another: a burst would only measure how long queues are.
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, guest.port(8082))).map_err(io)?;
        client.read_exact(&mut [0]).map_err(io)?;
        clients.push(client);
    }
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let each = |kib: f64| kib / IDLE as f64;
    let (host, inside) = (guest.memory_kib() - host, inside - available_kib(guest).map_err(io)?);
    Ok(vec![
        Measurement::new("memory of an idle connection, supervisor", each(host), "KiB", Goal::AtMost(1.0)),
        Measurement::new("… the whole enclave, app included", each(inside), "KiB", Goal::Shown),
    ])
}

/// Memory that the guest has left, in KiB, as its app reads it.
fn available_kib(guest: &Guest<'_>) -> std::io::Result<f64> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, guest.port(8081)))?;
    stream.write_all(b"memory\n")?;
    let mut answer = String::new();
    stream.take(64).read_to_string(&mut answer)?;
    answer.parse().map_err(std::io::Error::other)
}
