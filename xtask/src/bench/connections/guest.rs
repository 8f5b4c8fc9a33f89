//! What the benchmark starts, and ends when it is dropped.

use crate::bench::BenchError;
use crate::bench::caution::{Caution, free_port};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// An enclave of this benchmark, stopped when dropped.
pub(super) struct Guest<'a> {
    caution: &'a Caution,
    root: &'a Path,
    name: String,
    ports: Vec<(u16, u16)>,
    pub(super) http_socket: String,
    supervisor: u32,
}

impl<'a> Guest<'a> {
    pub(super) fn start(
        caution: &'a Caution,
        root: &'a Path,
        eif: &Path,
        name: &str,
    ) -> Result<Self, BenchError> {
        let name = format!("{name}-{}", std::process::id());
        let (mut ports, mut publish) = (Vec::new(), Vec::new());
        for port in 8080..=8083 {
            let host = free_port()?;
            ports.push((port, host));
            publish.push(format!("{host}:{port}"));
        }
        let (eif, attestation) = (eif.to_string_lossy(), free_port()?.to_string());
        let mut arguments =
            vec!["apps", "run", "--detach", "--eif", &eif, "--name", &name, "--memory", "512"];
        arguments.extend(["--attestation-port", &attestation]);
        for port in &publish {
            arguments.extend(["--publish", port]);
        }
        let record = caution.json(root, &arguments)?;
        let supervisor = record.number("/pid")?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a process number")]
        let supervisor = supervisor as u32;
        let http_socket = record.text("/http_socket")?;
        Ok(Self { caution, root, name, ports, http_socket, supervisor })
    }

    /// Where a port of the app is published.
    pub(super) fn port(&self, inside: u16) -> u16 {
        self.ports.iter().find(|(port, _)| *port == inside).map_or(0, |(_, host)| *host)
    }

    /// Anonymous memory of the supervisor, in KiB.
    pub(super) fn memory_kib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.supervisor)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(f64::NAN)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        self.caution.quietly(self.root, &["apps", "stop", &self.name]);
    }
}

/// A program that runs until this is dropped.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn start(program: &str, arguments: &[&str]) -> Result<Self, BenchError> {
        let child = Command::new(program).args(arguments).stdin(Stdio::null()).spawn();
        child.map(Self).map_err(|error| BenchError::Start(program.to_owned(), error))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until a program of this benchmark takes connections.
pub(super) fn wait_for(port: u16) -> Result<(), BenchError> {
    let started = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(_) => return Ok(()),
            Err(error) if started.elapsed().as_secs() > 5 => {
                return Err(BenchError::Io("Connecting to a program of this benchmark", error));
            }
            Err(_) => std::thread::yield_now(),
        }
    }
}
