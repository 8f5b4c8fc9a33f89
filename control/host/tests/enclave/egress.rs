//! What an enclave reaches, from inside a real one, through a real passt, into a small internet.

use super::*;
use crate::internet::{HOST, Internet};
use crate::support::{compile, plan, ramdisk, write_image};
use caution_abi::boot_plan::{BootPlan, Readiness};
use caution_abi::egress::{EgressRule, Protocol};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use support::eventually;

/// A running enclave with these rules, in its internet.
struct Reaching {
    running: Running,
    place: Place,
    _internet: Internet,
}

impl Reaching {
    fn ready(name: &str, rules: &[EgressRule]) -> Self {
        let (place, config) = setting(name, rules);
        let internet = Internet::enter(&place.folder());
        let passt = with_capture(&place);
        let options = Options { passt, ..Options::default() };
        let mut running = Running::start_with(&place.dirs, &config, options, |_| {});
        running.wait_for(|event| matches!(event, HostEvent::Ready { .. }));
        Self { running, place, _internet: internet }
    }

    /// What the app answers to a request.
    fn app(&self, request: &str) -> String {
        let mut stream = self.running.connect(8001);
        writeln!(stream, "{request}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    /// The end; where the packets went that passt has had, with protocol and port.
    fn stop(self) -> BTreeSet<(Ipv4Addr, u8, u16)> {
        let Self { running, place, _internet } = self;
        running.stop().unwrap();
        place.assert_clean();
        captured(&std::fs::read(place.file("capture")).unwrap())
    }
}

/// Folders, and a run of an app that tries what it is told to.
fn setting(name: &str, rules: &[EgressRule]) -> (Place, RunConfig) {
    static APP: OnceLock<Vec<u8>> = OnceLock::new();
    let app = APP.get_or_init(|| compile("egress_app.rs"));
    let port = 8001.try_into().unwrap();
    let mut egress = rules.to_vec();
    egress.sort_unstable();
    let readiness = Readiness::Tcp { port, timeout_s: 60 };
    let plan = BootPlan { ports: vec![port], egress, readiness, ..plan() };
    let eif = write_image(&format!("egress-{name}.eif"), &release(), &ramdisk(&plan, app));
    let mut config = config(&eif);
    config.ports.truncate(1);
    (Place::new(), config)
}

/// passt, writing down every packet between it and the enclave into the file `capture`.
fn with_capture(place: &Place) -> PathBuf {
    let (program, capture) = (place.file("passt"), place.file("capture"));
    std::fs::write(&capture, "").unwrap();
    for (path, mode) in [(place.folder(), 0o755), (capture.clone(), 0o666)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let script = format!("#!/bin/sh\nexec passt --pcap {} \"$@\"\n", capture.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    program
}

/// Destinations in a capture (pcap: 24 bytes, then 16 before each frame) of IPv4 packets from the enclave. There
/// is nothing else from it but the one question for the gateway.
fn captured(file: &[u8]) -> BTreeSet<(Ipv4Addr, u8, u16)> {
    let mut found = BTreeSet::new();
    let mut rest = &file[24..];
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let length = u32::from_le_bytes(*header[8..].first_chunk().unwrap());
        let (frame, behind) = behind.split_at(length as usize);
        rest = behind;
        if frame[6..12] == caution_abi::egress::ENCLAVE_MAC {
            match frame[12..14] {
                [8, 6] => assert_eq!(frame[38..42], caution_abi::egress::GATEWAY.octets()),
                [8, 0] => {
                    let address = Ipv4Addr::from(*frame[30..].first_chunk::<4>().unwrap());
                    found.insert((address, frame[23], u16::from_be_bytes([frame[36], frame[37]])));
                }
                ref other => panic!("a frame of kind {other:?} left"),
            }
        }
    }
    found
}

fn rule(network: &str, ports: (u16, u16), protocol: Protocol) -> EgressRule {
    EgressRule { network: network.parse().unwrap(), ports, protocol }
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const DENIED: &str = "error HostUnreachable";
/// What the enclave's own resolver asks.
const NAMES: (Ipv4Addr, u8, u16) = (caution_abi::egress::PARENT_RESOLVER, UDP, 53);

#[test]
fn an_enclave_reaches_what_its_plan_names_and_nothing_else() {
    Internet::visit(|| {
        let rules =
            [rule("203.0.113.5/32", (7, 7), Protocol::Tcp), rule("203.0.113.6/32", (7, 100), Protocol::Udp)];
        let enclave = Reaching::ready("narrow", &rules);
        assert_eq!(enclave.app("tcp 203.0.113.5:7"), "ping");
        assert_eq!(enclave.app("udp 203.0.113.6:7"), "ping");
        let denied = [
            // Another port, protocol, address.
            "tcp 203.0.113.5:443",
            "udp 203.0.113.5:7",
            "tcp 203.0.113.6:7",
            "udp 203.0.113.6:443",
            "tcp 198.51.100.9:7",
            "udp 198.51.100.9:7",
            // A private network, the cloud's metadata, this machine, and its resolver past ours.
            "tcp 10.20.0.5:7",
            "tcp 169.254.169.254:443",
            "udp 169.254.169.254:7",
            "tcp 198.51.100.2:7",
            "tcp 192.0.0.1:7",
            "udp 192.0.0.1:7",
            "ask 192.0.0.3:53",
            "ask 203.0.113.53:53",
        ];
        for request in denied {
            assert_eq!(enclave.app(request), DENIED, "{request}");
        }
        // The enclave's own loopback, where nobody listens; this machine's is nowhere.
        assert_eq!(enclave.app("tcp 127.0.0.1:7"), "error ConnectionRefused");

        // Addresses are found where they can be reached, and only those.
        assert_eq!(enclave.app("name allowed.test"), "203.0.113.5");
        assert_eq!(enclave.app("name mixed.test"), "203.0.113.6");
        for name in ["name private.test", "name nowhere.test"] {
            assert!(enclave.app(name).starts_with("error"), "{name}");
        }
        let left = enclave.stop();
        let allowed = [("203.0.113.5", TCP, 7), ("203.0.113.6", UDP, 7)];
        let allowed = allowed.map(|(address, protocol, port)| (address.parse().unwrap(), protocol, port));
        assert_eq!(left, allowed.into_iter().chain([NAMES]).collect());
    });
}

#[test]
fn the_whole_internet_is_neither_this_machine_nor_its_networks() {
    Internet::visit(|| {
        let rules = [
            rule("0.0.0.0/0", EgressRule::ALL_PORTS, Protocol::Any),
            rule("169.254.169.254/32", (443, 443), Protocol::Tcp),
        ];
        let enclave = Reaching::ready("wide", &rules);
        for request in ["tcp 203.0.113.5:443", "udp 203.0.113.6:7", "tcp 198.51.100.9:7"] {
            assert_eq!(enclave.app(request), "ping", "{request}");
        }
        assert_eq!(enclave.app("tcp 169.254.169.254:443"), "ping");
        for request in ["tcp 10.20.0.5:7", "tcp 169.254.169.254:7", "tcp 192.0.0.1:7", "udp 192.0.0.1:7"] {
            assert_eq!(enclave.app(request), DENIED, "{request}");
        }
        // This machine's public address is of the internet, and what listens there is reached past any firewall.
        for protocol in ["tcp", "udp"] {
            assert_eq!(enclave.app(&format!("{protocol} {HOST}:7")), DENIED);
        }
        // Much, both ways at once; and a server that closes the connection.
        assert_eq!(enclave.app("bytes 203.0.113.5:7 2000000"), "2000000");
        assert_eq!(enclave.app("page 203.0.113.5:80"), "hello");
        let left = enclave.stop();
        assert!(
            left.iter().all(|(address, ..)| !address.is_private() && address.to_string() != HOST),
            "{left:?}"
        );
    });
}

#[test]
fn a_network_that_was_killed_comes_back() {
    Internet::visit(|| {
        let rules = ["203.0.113.5/32", "198.51.100.2/32"].map(|network| rule(network, (7, 7), Protocol::Tcp));
        let mut enclave = Reaching::ready("killed", &rules);
        assert_eq!(enclave.app("tcp 203.0.113.5:7"), "ping");
        // This machine itself, named.
        assert_eq!(enclave.app("tcp 198.51.100.2:7"), "ping");
        let network = enclave.place.processes().into_iter().find(|(_, name)| name.starts_with("passt"));
        let pid = nix::unistd::Pid::from_raw(network.expect("passt runs").0);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        for line in ["The enclave's network ended: ", "The enclave's network is started again."] {
            enclave
                .running
                .wait_for(|event| matches!(event, HostEvent::Egress(said) if said.starts_with(line)));
        }
        eventually("the network is back", || enclave.app("tcp 203.0.113.5:7") == "ping");
        enclave.stop();
    });
}

#[test]
fn an_enclave_whose_host_gives_no_network_does_not_start_the_app() {
    let (place, config) = setting("none", &[rule("203.0.113.5/32", (7, 7), Protocol::Tcp)]);
    let options = Options { passt: "/nonexistent/passt".into(), ..Options::default() };
    let mut running = Running::start_with(&place.dirs, &config, options, |_| {});
    let Ok(Ending::PoweredOff { reason, .. }) = running.outcome() else { panic!("{:?}", running.seen) };
    assert_eq!(
        reason,
        "The enclave could not boot: the app was to reach the network, and cannot: the host gives no network \
         on its vsock port 49530 (its log says why): it ended the connection."
    );
    let said = running.seen.iter().any(|event| {
        matches!(event, HostEvent::Egress(line) if line.contains("`/nonexistent/passt` is not installed"))
    });
    let started = running
        .seen
        .iter()
        .any(|event| matches!(event, HostEvent::Enclave(Event::Phase { phase: Phase::Starting, .. })));
    assert!(said && !started);
    place.assert_clean();
}
