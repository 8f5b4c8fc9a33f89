//! Serving the ways in: TCP listeners on 127.0.0.1, and Unix sockets in the run's folder for a reverse proxy.
//!
//! ```text
//! 127.0.0.1:<port>      ──▶ the app's port of that name      reset until the app was started
//! <listen>:<port>       ──▶ the same, for all but `http_port`
//! 127.0.0.1:<port>      ──▶ attestd                          the same
//! <run>/http            ──▶ the app's HTTP port              refused until the app is ready
//! <run>/attestation     ──▶ attestd                          refused until the app was started
//! ```
//! Where STEVE stands in front of the HTTP port, every way to that port leads to STEVE's.
//!
//! A TCP port is taken from the beginning, so that a clash is known before anything boots. A Unix
//! socket nobody listens on yet refuses a connection before a byte of a request was sent, which is
//! what lets a proxy say 503 and keep the request.

use super::handover::Handed;
use super::listeners::{Door, Listener, Listeners, Opens};
use crate::driver::{Connector, HostStream};
use crate::error::HostError;
use crate::ingress::{IngressSpec, admitted, proxy_header};
use caution_abi::ports::ATTESTATION;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{Backlog, listen};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

impl Listeners {
    /// Takes connections: refuses them until [`Published::admit`], then hands them to the enclave.
    pub(crate) fn serve(self, connector: Connector) -> Result<Published, HostError> {
        let failed = |cause| HostError::System { doing: "Serving published ports", cause };
        let (quit, ended) = UnixStream::pair().map_err(failed)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|e| failed(e.into()))?;
        epoll.add(&ended, EpollEvent::new(EpollFlags::EPOLLIN, QUIT)).map_err(|e| failed(e.into()))?;
        let shared = Arc::new(Shared {
            doors: self.doors,
            ingress: self.ingress,
            epoll,
            admitted: AtomicBool::new(false),
        });
        for (door, at) in shared.doors.iter().zip(0_u64..) {
            if let Listener::Tcp(socket) = &door.listener {
                shared.watch(socket, at).map_err(failed)?;
            }
        }
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("publish".to_owned())
            .spawn(move || serving.accept(&ended, &connector))
            .map_err(failed)?;
        Ok(Published { shared, quit: Some(quit), thread: Some(thread) })
    }
}

/// Running listeners; closed when dropped.
#[derive(Debug)]
pub(crate) struct Published {
    shared: Arc<Shared>,
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Published {
    /// The app was started: from now on connections go to the enclave.
    pub(crate) fn admit(&self) -> Result<(), HostError> {
        self.shared.admitted.store(true, Ordering::Release);
        self.shared.open(Opens::Started)
    }

    /// Its TCP sockets once more, for whoever serves them next.
    pub(crate) fn duplicates(&self) -> io::Result<Vec<Handed>> {
        let doors = self.shared.doors.iter().filter_map(|door| match &door.listener {
            Listener::Tcp(socket) => Some((door.enclave, socket)),
            Listener::Unix { .. } => None,
        });
        doors.map(|(enclave, socket)| Ok((enclave, socket.try_clone()?))).collect()
    }

    /// The app is ready: the socket of its HTTP port listens.
    pub(crate) fn ready(&self) -> Result<(), HostError> {
        self.shared.open(Opens::Ready)
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

/// What the accepting thread and its owner share.
#[derive(Debug)]
struct Shared {
    doors: Vec<Door>,
    /// Who may come in by TCP, and on which ports that is told to the app.
    ingress: IngressSpec,
    epoll: Epoll,
    /// Whether TCP connections go to the enclave.
    admitted: AtomicBool,
}

impl Shared {
    /// Lets the Unix sockets of that moment listen.
    fn open(&self, now: Opens) -> Result<(), HostError> {
        for (door, at) in self.doors.iter().zip(0_u64..) {
            let Listener::Unix { socket, opens } = &door.listener else { continue };
            if *opens == now {
                listen(socket, Backlog::MAXCONN)
                    .map_err(io::Error::from)
                    .and_then(|()| self.watch(socket, at))
                    .map_err(|cause| HostError::System { doing: "Serving a Unix socket", cause })?;
            }
        }
        Ok(())
    }

    fn watch(&self, socket: &impl AsFd, at: u64) -> io::Result<()> {
        Ok(self.epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, at))?)
    }

    /// Accepts on all sockets until the other end of `_ended` is closed.
    fn accept(&self, _ended: &UnixStream, connector: &Connector) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(_) => return,
            };
            for event in &events[..count] {
                if event.data() == QUIT {
                    return;
                }
                let door = usize::try_from(event.data()).ok().and_then(|at| self.doors.get(at));
                if let Some(door) = door {
                    self.accept_some(door, connector);
                }
            }
        }
    }

    /// Takes what waits at one door, but not more than [`IN_A_ROW`], so that no door starves another.
    fn accept_some(&self, door: &Door, connector: &Connector) {
        for _ in 0..IN_A_ROW {
            match door.accept(&self.ingress) {
                Ok((stream, true)) if self.admitted.load(Ordering::Acquire) => {
                    connector.connect(u32::from(door.to), stream);
                }
                Ok((stream, _)) => stream.abort(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // The client has gone meanwhile.
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                // Out of descriptors: the connection stays in the queue until some are free.
                Err(_) => return crate::process::pause(Duration::from_millis(50)),
            }
        }
    }
}

impl Door {
    /// The next connection, and whether the ingress rules let its client in. Evidence is for whoever asks.
    fn accept(&self, ingress: &IngressSpec) -> io::Result<(HostStream, bool)> {
        let socket = match &self.listener {
            Listener::Unix { socket, .. } => return Ok((HostStream::unix(socket.accept()?.0)?, true)),
            Listener::Tcp(socket) => socket,
        };
        let (stream, peer) = socket.accept()?;
        let may = self.enclave == ATTESTATION || admitted(peer.ip(), self.enclave, &ingress.rules);
        let stream = if ingress.proxy_protocol.contains(&self.enclave) {
            let header = proxy_header(peer, stream.local_addr()?);
            HostStream::announced(stream, header)?
        } else {
            HostStream::tcp(stream)?
        };
        Ok((stream, may))
    }
}

/// The token of the end; doors have their numbers.
const QUIT: u64 = u64::MAX;
/// Connections taken from one door before the others are looked at.
const IN_A_ROW: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PublishedPort, RunConfig};
    use crate::driver::{Services, qemu::vsock::Vsock};
    use crate::published::listeners::{ATTESTATION_SOCKET, HTTP_SOCKET};
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn config(ports: Vec<PublishedPort>, attestation_port: Option<u16>) -> RunConfig {
        RunConfig { ports, attestation_port, ..RunConfig::sample() }
    }

    /// Opens in a folder of its own, which is left to live as long as the test.
    fn open(config: &RunConfig) -> Result<(Listeners, tempfile::TempDir), HostError> {
        let run = tempfile::tempdir().unwrap();
        Listeners::open(config, run.path()).map(|listeners| (listeners, run))
    }

    /// A device that no guest uses.
    fn device(run: &Path) -> Vsock {
        Vsock::start(&run.join("vsock"), Services::new(), std::sync::mpsc::sync_channel(1).0).unwrap()
    }

    #[test]
    fn unix_sockets_refuse_until_there_is_somebody_to_answer() {
        let port = PublishedPort { enclave: 8080, host: Some(0) };
        let config = RunConfig { http_port: Some(8080), ..config(vec![port], Some(0)) };
        let (listeners, run) = open(&config).unwrap();
        let tcp = listeners.ports()[0].1;
        let [http, attestation] = [HTTP_SOCKET, ATTESTATION_SOCKET].map(|name| run.path().join(name));
        assert_eq!(listeners.http_socket(), Some(http.as_path()));
        assert_eq!(listeners.attestation_socket(), attestation);
        for socket in [&http, &attestation] {
            assert_eq!(std::fs::metadata(socket).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let vsock = device(run.path());
        let published = listeners.serve(vsock.connector()).unwrap();
        let refused = |socket: &Path| match UnixStream::connect(socket) {
            Ok(_) => false,
            Err(e) => e.kind() == io::ErrorKind::ConnectionRefused,
        };
        assert!(refused(&http) && refused(&attestation));
        let mut early = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
        assert_eq!(early.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        published.admit().unwrap();
        assert!(refused(&http) && !refused(&attestation));
        published.ready().unwrap();
        assert!(!refused(&http) && !refused(&attestation));
        // Nothing answers at the other end of this device, and nothing refuses either.
        let waiting = TcpStream::connect(("127.0.0.1", tcp)).unwrap();
        waiting.set_nonblocking(true).unwrap();
        assert_eq!((&waiting).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn clients_outside_the_ingress_rules_are_reset_and_verifiers_are_not() {
        let rule = |from: &str| crate::ingress::Rule { from: from.parse().unwrap(), ports: 8080..=8080 };
        for (from, may) in [("10.0.0.0/8", false), ("127.0.0.0/8", true)] {
            let port = PublishedPort { enclave: 8080, host: Some(0) };
            let ingress = IngressSpec { rules: vec![rule(from)], ..IngressSpec::default() };
            let (listeners, run) = open(&RunConfig { ingress, ..config(vec![port], Some(0)) }).unwrap();
            let (app, attestation) = (listeners.ports()[0].1, listeners.attestation());
            let vsock = device(run.path());
            let published = listeners.serve(vsock.connector()).unwrap();
            published.admit().unwrap();
            // Connections that were let in wait for a guest that never comes.
            let mut stream = TcpStream::connect(("127.0.0.1", app)).unwrap();
            stream
                .set_read_timeout(Some(if may { Duration::from_millis(1) } else { Duration::from_mins(1) }))
                .unwrap();
            let wanted = if may { io::ErrorKind::WouldBlock } else { io::ErrorKind::ConnectionReset };
            assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), wanted);
            let mut verifier = TcpStream::connect(("127.0.0.1", attestation)).unwrap();
            verifier.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
            assert_eq!(verifier.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn without_an_http_port_there_is_no_socket_for_it() {
        let (listeners, run) = open(&config(Vec::new(), Some(0))).unwrap();
        assert_eq!(listeners.http_socket(), None);
        assert!(!run.path().join(HTTP_SOCKET).exists());
    }

    #[test]
    fn behind_encryption_the_http_port_is_reached_by_no_other_way() {
        let port = |enclave| PublishedPort { enclave, host: Some(0) };
        let config = RunConfig {
            http_port: Some(8083),
            e2e: true,
            listen: vec!["127.0.0.2".parse().unwrap()],
            ..config(vec![port(8083), port(9000)], Some(0))
        };
        let (listeners, _run) = open(&config).unwrap();
        let mut ways: Vec<(u16, u16)> = listeners.doors.iter().map(|door| (door.enclave, door.to)).collect();
        ways.sort_unstable();
        let expected =
            [(8083, 49500), (8083, 49500), (9000, 9000), (9000, 9000), (49502, 49502), (49502, 49502)];
        assert_eq!(ways, expected, "TCP and Unix sockets; raw ports on further addresses");
        let open_one = RunConfig { e2e: false, ..config };
        assert_eq!(open_one.way_to(8083), 8083);
    }

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = taken.local_addr().unwrap().port();
        let ports = vec![PublishedPort { enclave: 8080, host: Some(host) }];
        let error = open(&config(ports, Some(0))).unwrap_err();
        assert_eq!(error.to_string(), format!("Port {host} on 127.0.0.1 is taken."));
        assert_eq!(error.fix().unwrap(), "--publish OTHER:8080, or stop what listens there");
        let error = open(&config(Vec::new(), Some(host))).unwrap_err();
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
            assert!(matches!(open(&config(bad, Some(0))), Err(HostError::PortConflict(_))));
        }
    }

    #[test]
    fn the_usual_attestation_port_gives_way() {
        let (first, _run) = open(&config(Vec::new(), None)).unwrap();
        let (second, _run) = open(&config(Vec::new(), None)).unwrap();
        assert_ne!(first.attestation(), second.attestation());
    }
}
