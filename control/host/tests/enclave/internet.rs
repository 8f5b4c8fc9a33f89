//! A small internet in network namespaces of its own: this machine's side, and everybody else's.

use crate::support::shell;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Where there is an echo on TCP and UDP ports 7 and 443; all on everybody else's side.
pub(crate) const SERVERS: [&str; 5] =
    ["203.0.113.5", "203.0.113.6", "10.20.0.5", "169.254.169.254", "198.51.100.9"];
/// Where names are asked: the first server on port 53.
pub(crate) const RESOLVER: &str = "203.0.113.53";
/// This machine's own address, with an echo of its own.
pub(crate) const HOST: &str = "198.51.100.2";

/// Two namespaces; the thread that made it, and all it starts from then on, lives in the host's.
pub(crate) struct Internet {
    host: String,
    outside: String,
}

impl Internet {
    /// Runs a test on a thread that is used for nothing else, as where it has been nobody comes back from.
    pub(crate) fn visit(test: fn()) {
        if let Err(panic) = std::thread::spawn(test).join() {
            std::panic::resume_unwind(panic);
        }
    }

    /// Makes it and moves this thread there, with a `/etc/resolv.conf` that names [`RESOLVER`].
    pub(crate) fn enter(folder: &Path) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("caution-{side}-{}-{number}", std::process::id());
        let internet = Self { host: name("host"), outside: name("out") };
        let (host, outside) = (&internet.host, &internet.outside);
        shell(&format!(
            "ip netns add {host}; ip netns add {outside}
             ip -n {host} link set lo up; ip -n {outside} link set lo up
             ip link add inner netns {host} type veth peer name outer netns {outside}
             ip -n {host} addr add {HOST}/24 dev inner; ip -n {host} link set inner up
             ip -n {outside} addr add 198.51.100.1/24 dev outer; ip -n {outside} link set outer up
             ip -n {host} route add default via 198.51.100.1"
        ));
        for address in SERVERS.iter().chain([&RESOLVER]) {
            shell(&format!("ip -n {outside} addr add {address}/32 dev lo"));
        }
        internet.serve_outside();
        enter(&internet.host);
        let resolv = folder.join("resolv.conf");
        std::fs::write(&resolv, format!("nameserver {RESOLVER}\n")).unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some(&resolv), "/etc/resolv.conf", none, MsFlags::MS_BIND, none).unwrap();
        // What the host itself listens on: its address, and loopback.
        for address in [HOST, "127.0.0.1"] {
            echo(address, 7);
        }
        internet
    }

    /// Starts the servers from a thread of the other side.
    fn serve_outside(&self) {
        let outside = self.outside.clone();
        let serve = move || {
            enter(&outside);
            for address in SERVERS {
                echo(address, 7);
                echo(address, 443);
            }
            say_and_close();
            resolve();
        };
        std::thread::spawn(serve).join().unwrap();
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for name in [&self.host, &self.outside] {
            // They go when the last process has left.
            let _ = std::process::Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Moves this thread.
fn enter(namespace: &str) {
    let file = File::open(PathBuf::from("/run/netns").join(namespace)).unwrap();
    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
}

/// Sends back what it gets, on TCP and UDP, until this program ends.
fn echo(address: &str, port: u16) {
    let address: SocketAddr = (address.parse::<Ipv4Addr>().unwrap(), port).into();
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
        }
    });
    let socket = UdpSocket::bind(address).unwrap();
    std::thread::spawn(move || {
        let mut message = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            let _ = socket.send_to(&message[..length], from);
        }
    });
}

/// Says `hello` to whoever asks anything of the first server's port 80, and closes.
fn say_and_close() {
    let listener = TcpListener::bind((SERVERS[0], 80)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"hello");
        }
    });
}

/// Answers for `allowed.test`, `private.test` and `mixed.test`, and that there is no other name.
fn resolve() {
    let socket = UdpSocket::bind((RESOLVER, 53)).unwrap();
    std::thread::spawn(move || {
        let mut message = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut message) {
            let _ = socket.send_to(&answer(&message[..length]), from);
        }
    });
}

fn answer(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let addresses: &[[u8; 4]] = match &query[13..16] {
        b"all" => &[[203, 0, 113, 5]],
        b"pri" => &[[10, 20, 0, 5]],
        b"mix" => &[[10, 20, 0, 5], [203, 0, 113, 6]],
        _ => &[],
    };
    let code = if addresses.is_empty() { 3 } else { 0 };
    let count = u8::try_from(addresses.len()).unwrap();
    let header = [query[0], query[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    let records = addresses.iter().map(|a| [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], a].concat());
    [&header[..], &query[12..end], &records.collect::<Vec<_>>().concat()].concat()
}
