//! Published ports: TCP listeners on 127.0.0.1 whose connections go to the enclave.

use crate::config::{PublishedPort, RunConfig};
use crate::error::HostError;
use crate::vsock::{Connector, HostStream};
use caution_abi::ports::{ATTESTATION, RESERVED};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Open listeners; nobody is let in before [`Listeners::serve`].
#[derive(Debug)]
pub(crate) struct Listeners {
    attestation: u16,
    ports: Vec<(u16, u16)>,
    sockets: Vec<(u16, TcpListener)>,
}

impl Listeners {
    /// Opens every port, so that a clash is known before anything boots.
    pub(crate) fn open(config: &RunConfig) -> Result<Self, HostError> {
        check(&config.ports)?;
        let mut sockets = Vec::new();
        for port in &config.ports {
            sockets.push((port.enclave, bind(port.enclave, port.host_port())?));
        }
        let attestation = match config.attestation_port {
            Some(port) => bind(ATTESTATION, port)?,
            // Another local enclave may have the usual port.
            None => bind(ATTESTATION, ATTESTATION).or_else(|_| bind(ATTESTATION, 0))?,
        };
        let port_of = |socket: &TcpListener| {
            let address = socket.local_addr();
            address.map(|a| a.port()).map_err(|cause| HostError::System { doing: "Asking a socket", cause })
        };
        let mut ports = Vec::new();
        for (enclave, socket) in &sockets {
            ports.push((*enclave, port_of(socket)?));
        }
        let attestation_port = port_of(&attestation)?;
        sockets.push((ATTESTATION, attestation));
        Ok(Self { attestation: attestation_port, ports, sockets })
    }

    /// Application ports as (enclave, 127.0.0.1).
    pub(crate) fn ports(&self) -> &[(u16, u16)] {
        &self.ports
    }

    /// The port of `/attestation` on 127.0.0.1.
    pub(crate) fn attestation(&self) -> u16 {
        self.attestation
    }

    /// Takes connections: resets them until [`Published::admit`], then hands them to the enclave.
    pub(crate) fn serve(self, connector: Connector) -> Result<Published, HostError> {
        let failed = |cause| HostError::System { doing: "Serving published ports", cause };
        let (quit, ended) = UnixStream::pair().map_err(failed)?;
        for (_, socket) in &self.sockets {
            socket.set_nonblocking(true).map_err(failed)?;
        }
        let admitted = Arc::new(AtomicBool::new(false));
        let gate = Arc::clone(&admitted);
        let thread = std::thread::Builder::new()
            .name("publish".to_owned())
            .spawn(move || accept(&self.sockets, &ended, &gate, &connector))
            .map_err(failed)?;
        Ok(Published { admitted, quit: Some(quit), thread: Some(thread) })
    }
}

/// Running listeners; closed when dropped.
#[derive(Debug)]
pub(crate) struct Published {
    admitted: Arc<AtomicBool>,
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Published {
    /// From now on connections go to the enclave.
    pub(crate) fn admit(&self) {
        self.admitted.store(true, Ordering::Release);
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Refuses two ports on one, and application ports that belong to the platform.
fn check(ports: &[PublishedPort]) -> Result<(), HostError> {
    for (at, port) in ports.iter().enumerate() {
        let twice = ports[..at].iter().any(|other| {
            other.enclave == port.enclave || (other.host_port() == port.host_port() && port.host_port() != 0)
        });
        if twice || port.enclave == 0 || RESERVED.contains(&port.enclave) {
            return Err(HostError::PortConflict(port.enclave));
        }
    }
    Ok(())
}

fn bind(enclave: u16, host: u16) -> Result<TcpListener, HostError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, host)).map_err(|cause| match cause.kind() {
        io::ErrorKind::AddrInUse => HostError::PortTaken { enclave, host },
        _ => HostError::PortDenied { enclave, host, cause },
    })
}

/// Accepts on all sockets until the other end of `ended` is closed.
fn accept(sockets: &[(u16, TcpListener)], ended: &UnixStream, admitted: &AtomicBool, connector: &Connector) {
    loop {
        let mut fds = vec![PollFd::new(ended.as_fd(), PollFlags::POLLIN)];
        fds.extend(sockets.iter().map(|(_, s)| PollFd::new(s.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
        if fds[0].any() == Some(true) {
            return;
        }
        let ready: Vec<bool> = fds[1..].iter().map(|fd| fd.any() == Some(true)).collect();
        for ((port, socket), _) in sockets.iter().zip(ready).filter(|(_, ready)| *ready) {
            match socket.accept() {
                Ok((stream, _)) => {
                    let Ok(stream) = HostStream::tcp(stream) else { continue };
                    if admitted.load(Ordering::Acquire) {
                        connector.connect(u32::from(*port), stream);
                    } else {
                        stream.abort();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // Out of descriptors: the connection stays in the queue until some are free.
                Err(_) => crate::process::pause(Duration::from_millis(50)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn config(ports: Vec<PublishedPort>, attestation_port: Option<u16>) -> RunConfig {
        RunConfig {
            name: "t".to_owned(),
            eif: PathBuf::new(),
            manifest: None,
            checkout: None,
            ports,
            attestation_port,
            cpus: 1,
            memory_mib: 64,
            debug: false,
        }
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = taken.local_addr().unwrap().port();
        let ports = vec![PublishedPort { enclave: 8080, host: Some(host) }];
        let error = Listeners::open(&config(ports, Some(0))).unwrap_err();
        assert_eq!(error.to_string(), format!("Port {host} on 127.0.0.1 is taken."));
        assert_eq!(error.fix().unwrap(), "--publish OTHER:8080, or stop what listens there");
        let error = Listeners::open(&config(Vec::new(), Some(host))).unwrap_err();
        assert!(error.fix().unwrap().contains("--attestation-port"));
    }

    #[test]
    fn conflicting_ports_are_refused() {
        let port = |enclave, host| PublishedPort { enclave, host: Some(host) };
        for bad in [
            vec![port(8080, 0), port(8080, 0)],
            vec![port(8080, 9000), port(8081, 9000)],
            vec![port(0, 0)],
            vec![port(49502, 0)],
        ] {
            assert!(matches!(Listeners::open(&config(bad, Some(0))), Err(HostError::PortConflict(_))));
        }
    }

    #[test]
    fn the_usual_attestation_port_gives_way() {
        let first = Listeners::open(&config(Vec::new(), None)).unwrap();
        let second = Listeners::open(&config(Vec::new(), None)).unwrap();
        assert_ne!(first.attestation(), second.attestation());
    }
}
