//! Real enclaves under real QEMU: EnclaveOS, a small application, and everything that can be killed.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

mod agent;
mod data;
mod egress;
mod encrypted;
mod endings;
mod inside;
mod internet;
mod many;
mod replace;
mod support;
mod talks;
mod ways;

use caution_abi::control::{Event, Phase};
use caution_abi::evidence;
use caution_host::{Dirs, Ending, HostError, HostEvent, Options, Program, RunConfig, StopHandle, run_with};
use caution_measure::{Measurements, Nonce};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use support::{Place, config, image, release};

/// A running enclave.
struct Running {
    events: Receiver<HostEvent>,
    seen: Vec<HostEvent>,
    stop: StopHandle,
    thread: Option<JoinHandle<Result<Ending, HostError>>>,
}

impl Running {
    fn start(dirs: &Dirs, config: &RunConfig) -> Self {
        Self::start_watched(dirs, config, |_| {})
    }

    /// With somebody who sees each event first, and whom the agent waits for.
    fn start_watched(
        dirs: &Dirs,
        config: &RunConfig,
        watch: impl FnMut(&HostEvent) + Send + 'static,
    ) -> Self {
        Self::start_with(dirs, config, Options::default(), watch)
    }

    fn start_with(
        dirs: &Dirs,
        config: &RunConfig,
        options: Options,
        mut watch: impl FnMut(&HostEvent) + Send + 'static,
    ) -> Self {
        let (sender, events) = channel();
        let stop = StopHandle::default();
        let heartbeat_limit = Duration::from_mins(1);
        let options = Options { program: program(), stop: stop.clone(), heartbeat_limit, ..options };
        let (dirs, config) = (dirs.clone(), config.clone());
        let thread = std::thread::spawn(move || {
            run_with(&dirs, &config, &options, &mut |event| {
                watch(&event);
                sender.send(event).unwrap();
            })
        });
        Self { events, seen: Vec::new(), stop, thread: Some(thread) }
    }

    /// Waits until the app is ready.
    fn ready(dirs: &Dirs, config: &RunConfig) -> Self {
        let mut running = Self::start(dirs, config);
        running.wait_for(|event| matches!(event, HostEvent::Ready { .. }));
        running
    }

    fn wait_for(&mut self, wanted: impl Fn(&HostEvent) -> bool) {
        loop {
            let event = self.events.recv().unwrap_or_else(|_| panic!("it ended early: {:?}", self.seen));
            let found = wanted(&event);
            self.seen.push(event);
            if found {
                return;
            }
        }
    }

    fn host_port(&self, wanted: u16) -> u16 {
        let published = self.seen.iter().find_map(|event| match event {
            HostEvent::Published { enclave, host } if *enclave == wanted => Some(*host),
            _ => None,
        });
        published.expect("every port is published before the app is ready")
    }

    fn connect(&self, port: u16) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.host_port(port))).unwrap()
    }

    fn measurements(&self) -> Measurements {
        let measured = self.seen.iter().find_map(|event| match event {
            HostEvent::Measured(measurements) => Some(*measurements),
            _ => None,
        });
        measured.unwrap()
    }

    /// Waits for the end; all events are in `seen` then.
    fn outcome(&mut self) -> Result<Ending, HostError> {
        let outcome = self.thread.take().unwrap().join().unwrap();
        self.seen.extend(self.events.try_iter());
        outcome
    }

    fn stop(mut self) -> Result<Ending, HostError> {
        self.stop.stop();
        self.outcome()
    }
}

fn program() -> Program {
    Program::new(Path::new(env!("CARGO_BIN_EXE_caution-host")))
}

/// `POST /attestation`, by hand: status and body.
fn attest(running: &Running, nonce: &Nonce) -> (String, evidence::Response) {
    let body = serde_json::to_string(&evidence::Request::new(nonce)).unwrap();
    let mut stream = running.connect(caution_abi::ports::ATTESTATION);
    write!(
        stream,
        "POST /attestation HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

fn document(response: &evidence::Response) -> Vec<u8> {
    data_encoding::BASE64.decode(response.document.as_bytes()).unwrap()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn an_enclave_boots_and_attests_what_was_measured() {
    let release = release();
    let place = Place::new();
    let manifest = b"{\"version\":\"2\"}".to_vec();
    let config = RunConfig { manifest: Some(manifest.clone()), ..config(image(&release)) };
    let mut running = Running::ready(&place.dirs, &config);
    let nonce = Nonce::new([0x5a; 32]);
    let (status, response) = attest(&running, &nonce);
    assert!(status.contains(" 200 "), "{status}");
    let manifest_text = String::from_utf8(manifest).unwrap();
    assert_eq!(response.manifest.as_ref().map(|raw| raw.get()), Some(manifest_text.as_str()));
    let document = document(&response);
    assert!(contains(&document, nonce.as_bytes()));
    for (_, pcr) in running.measurements().iter() {
        assert!(contains(&document, pcr.as_bytes()));
    }
    assert_eq!(running.measurements().pcr1, release.reference().pcr1);
    running.stop.stop();
    assert_eq!(running.outcome().unwrap(), Ending::Stopped);
    // No debug mode: nothing the app or the kernel writes comes out.
    let told =
        |event: &HostEvent| matches!(event, HostEvent::Console(_) | HostEvent::Enclave(Event::Log { .. }));
    assert!(!running.seen.iter().any(told));
    place.assert_clean();
}

#[test]
fn debug_mode_opens_the_console_and_attests_zeros() {
    let release = release();
    let place = Place::new();
    let config = RunConfig { debug: true, ..config(image(&release)) };
    let mut running = Running::ready(&place.dirs, &config);
    let (_, response) = attest(&running, &Nonce::new([1; 32]));
    assert!(response.manifest.is_none());
    let document = document(&response);
    assert!(!contains(&document, running.measurements().pcr0.as_bytes()));
    running.stop.stop();
    running.outcome().unwrap();
    let console =
        |event: &HostEvent| matches!(event, HostEvent::Console(line) if line.contains("Linux version"));
    assert!(running.seen.iter().any(console));
    let hello = |event: &HostEvent| matches!(event, HostEvent::Enclave(Event::Hello { debug: true, .. }));
    assert!(running.seen.iter().any(hello));
    let log = |event: &HostEvent| matches!(event, HostEvent::Enclave(Event::Log { line, .. }) if line.contains("the app says this"));
    assert!(running.seen.iter().any(log));
    place.assert_clean();
}

#[test]
fn phases_come_in_order_and_readiness_comes_from_inside() {
    let release = release();
    let place = Place::new();
    let running = Running::ready(&place.dirs, &config(image(&release)));
    let phases: Vec<Phase> = running
        .seen
        .iter()
        .filter_map(|event| match event {
            HostEvent::Enclave(Event::Phase { phase, .. }) => Some(*phase),
            _ => None,
        })
        .collect();
    assert!(phases.is_sorted(), "{phases:?}");
    assert_eq!(phases.last(), Some(&Phase::Ready));
    let record = caution_host::find(&place.dirs, "test").unwrap();
    assert_eq!((record.phase, record.ports.len()), (Some(Phase::Ready), support::PORTS.len()));
    assert_eq!(running.stop().unwrap(), Ending::Stopped);
    place.assert_clean();
}
