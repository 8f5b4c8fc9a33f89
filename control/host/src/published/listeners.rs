//! Taking ports: TCP on 127.0.0.1 and where raw ports are besides, and Unix sockets in the run's folder.

use crate::config::{PublishedPort, RunConfig};
use crate::error::HostError;
use crate::ingress::IngressSpec;
use crate::published::handover::Handed;
use caution_abi::ports::{ATTESTATION, RESERVED};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{Mode, fchmod};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// The socket of a run's folder that leads to the app's HTTP port, or to what encrypts in front of it.
pub(crate) const HTTP_SOCKET: &str = "http";
/// The socket of a run's folder that leads to attestd.
pub(crate) const ATTESTATION_SOCKET: &str = "attestation";

/// Open listeners; nobody is let in before [`Listeners::serve`].
#[derive(Debug)]
pub(crate) struct Listeners {
    attestation: u16,
    ports: Vec<(u16, u16)>,
    pub(super) doors: Vec<Door>,
    http_socket: Option<PathBuf>,
    attestation_socket: PathBuf,
    pub(super) ingress: IngressSpec,
}

/// A way in.
#[derive(Debug)]
pub(super) struct Door {
    /// The app's port, or attestd's.
    pub(super) enclave: u16,
    /// The vsock port that connections go to.
    pub(super) to: u16,
    pub(super) listener: Listener,
}

#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// Bound; nobody listens before `opens`.
    Unix {
        socket: UnixListener,
        opens: Opens,
    },
}

/// When a Unix socket begins to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    Started,
    Ready,
}

impl Listeners {
    /// Opens every port, so that a clash is known before anything boots, and makes the sockets in `run`.
    pub(crate) fn open(config: &RunConfig, run: &Path) -> Result<Self, HostError> {
        check(&config.ports)?;
        let tcp = Tcp::take(config, |enclave, address, wanted| {
            let bind = |host: u16| bind_tcp(enclave, SocketAddr::new(address, host));
            match (enclave, wanted) {
                // Another local enclave may have the usual port.
                (ATTESTATION, None) => bind(ATTESTATION).or_else(|_| bind(0)),
                _ => bind(wanted.unwrap_or(enclave)),
            }
        })?;
        let beside = Self::beside(config, run)?;
        let doors = tcp.doors.into_iter().chain(beside.doors).collect();
        Ok(Self { attestation: tcp.attestation, ports: tcp.ports, doors, ..beside })
    }

    /// Makes the sockets in `run` alone, for an enclave that gets its ports when it is ready.
    pub(crate) fn beside(config: &RunConfig, run: &Path) -> Result<Self, HostError> {
        check(&config.ports)?;
        let mut doors = Vec::new();
        let attestation_socket = run.join(ATTESTATION_SOCKET);
        doors.push(Door::unix([ATTESTATION; 2], &attestation_socket, Opens::Started)?);
        let http_socket = config.http_port.map(|_| run.join(HTTP_SOCKET));
        if let Some((path, port)) = http_socket.as_deref().zip(config.http_port) {
            doors.push(Door::unix([port, config.way_to(port)], path, Opens::Ready)?);
        }
        let ingress = config.ingress.clone();
        Ok(Self { attestation: 0, ports: Vec::new(), doors, http_socket, attestation_socket, ingress })
    }

    /// Takes the ports that another enclave hands over, and opens those that it did not have.
    pub(crate) fn adopt(config: &RunConfig, handed: Vec<Handed>) -> Result<Self, HostError> {
        let mut handed: Vec<(u16, SocketAddr, TcpListener)> = handed
            .into_iter()
            .map(|(enclave, listener)| Ok((enclave, address_of(&listener)?, listener)))
            .collect::<Result<_, HostError>>()?;
        let Tcp { attestation, ports, doors } = Tcp::take(config, |enclave, address, wanted| {
            let fits = |host: u16| wanted.is_none_or(|wanted| wanted == 0 || wanted == host);
            let found = |at: &SocketAddr| at.ip() == address && fits(at.port());
            let at = handed.iter().position(|(port, at, _)| *port == enclave && found(at));
            match at {
                Some(at) => Ok(handed.swap_remove(at).2),
                None => bind_tcp(enclave, SocketAddr::new(address, wanted.unwrap_or(enclave))),
            }
        })?;
        let ingress = config.ingress.clone();
        let attestation_socket = PathBuf::new();
        Ok(Self { attestation, ports, doors, http_socket: None, attestation_socket, ingress })
    }

    /// Application ports as (enclave, 127.0.0.1).
    pub(crate) fn ports(&self) -> &[(u16, u16)] {
        &self.ports
    }

    /// The port of `/attestation` on 127.0.0.1.
    pub(crate) fn attestation(&self) -> u16 {
        self.attestation
    }

    /// The Unix socket that leads to the plan's `http_port`, where there is one.
    pub(crate) fn http_socket(&self) -> Option<&Path> {
        self.http_socket.as_deref()
    }

    /// The Unix socket that leads to attestd.
    pub(crate) fn attestation_socket(&self) -> &Path {
        &self.attestation_socket
    }
}

/// The TCP ports that a configuration asks for.
struct Tcp {
    attestation: u16,
    ports: Vec<(u16, u16)>,
    doors: Vec<Door>,
}

impl Tcp {
    /// Asks `take` for a listener of each port inside, on an address, with the port that is wanted there.
    fn take(
        config: &RunConfig,
        mut take: impl FnMut(u16, IpAddr, Option<u16>) -> Result<TcpListener, HostError>,
    ) -> Result<Self, HostError> {
        let (mut doors, mut ports) = (Vec::new(), Vec::new());
        let mut open = |enclave: u16, address: IpAddr, wanted: Option<u16>| -> Result<u16, HostError> {
            let listener = take(enclave, address, wanted)?;
            let host = address_of(&listener)?.port();
            doors.push(Door { enclave, to: config.way_to(enclave), listener: Listener::Tcp(listener) });
            Ok(host)
        };
        // HTTP is for Caddy; raw ports are for others by themselves.
        let everywhere = config.listen.iter().find(|address| address.is_unspecified());
        let more: &[IpAddr] = if everywhere.is_some() { &[] } else { &config.listen };
        for port in &config.ports {
            let raw = config.http_port != Some(port.enclave);
            let first = everywhere.filter(|_| raw).copied().unwrap_or(LOCAL);
            let host = open(port.enclave, first, port.host)?;
            for address in more.iter().filter(|address| raw && **address != LOCAL) {
                open(port.enclave, *address, Some(host))?;
            }
            ports.push((port.enclave, host));
        }
        let attestation = open(ATTESTATION, LOCAL, config.attestation_port)?;
        Ok(Self { attestation, ports, doors })
    }
}

impl Door {
    /// A Unix socket at `path` that this user alone may use, and that nobody listens on yet.
    fn unix([enclave, to]: [u16; 2], path: &Path, opens: Opens) -> Result<Self, HostError> {
        let failed = |cause: nix::Error| HostError::File {
            doing: "Making the socket",
            path: path.to_owned(),
            cause: cause.into(),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd: OwnedFd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(failed)?;
        // A socket file gets the mode of its socket when it is bound (Linux, `unix_bind_bsd`).
        fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR).map_err(failed)?;
        bind(fd.as_raw_fd(), &UnixAddr::new(path).map_err(failed)?).map_err(failed)?;
        Ok(Self { enclave, to, listener: Listener::Unix { socket: fd.into(), opens } })
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

fn bind_tcp(enclave: u16, address: SocketAddr) -> Result<TcpListener, HostError> {
    TcpListener::bind(address)
        .and_then(|listener| {
            listener.set_nonblocking(true)?;
            // A longer queue than std's 128: a burst of clients waits instead of being dropped.
            listen(&listener, Backlog::MAXCONN)?;
            Ok(listener)
        })
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => HostError::PortTaken { enclave, address },
            _ => HostError::PortDenied { enclave, address, cause },
        })
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, HostError> {
    listener.local_addr().map_err(|cause| HostError::System { doing: "Asking a socket", cause })
}

/// Where every TCP port is, unless it is everywhere.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(listeners: &Listeners) -> Vec<Handed> {
        let sockets = listeners.doors.iter().filter_map(|door| match &door.listener {
            Listener::Tcp(socket) => Some((door.enclave, socket.try_clone().unwrap())),
            Listener::Unix { .. } => None,
        });
        sockets.collect()
    }

    fn addresses(listeners: &Listeners, enclave: u16) -> Vec<SocketAddr> {
        let sockets = tcp(listeners).into_iter().filter(|(port, _)| *port == enclave);
        sockets.map(|(_, socket)| socket.local_addr().unwrap()).collect()
    }

    #[test]
    fn raw_ports_are_opened_where_others_come_from_and_handed_over_from_there() {
        let other = IpAddr::from([127, 0, 0, 2]);
        let config = RunConfig {
            ports: [8080, 9000].map(|enclave| PublishedPort { enclave, host: Some(0) }).to_vec(),
            http_port: Some(8080),
            listen: vec![LOCAL, other],
            attestation_port: Some(0),
            ..RunConfig::sample()
        };
        let run = tempfile::tempdir().unwrap();
        let listeners = Listeners::open(&config, run.path()).unwrap();
        let raw = listeners.ports()[1].1;
        assert_eq!(addresses(&listeners, 9000), [LOCAL, other].map(|ip| SocketAddr::new(ip, raw)));
        assert_eq!((addresses(&listeners, 8080).len(), addresses(&listeners, ATTESTATION).len()), (1, 1));

        let adopted = Listeners::adopt(&config, tcp(&listeners)).unwrap();
        for enclave in [8080, 9000, ATTESTATION] {
            assert_eq!(addresses(&adopted, enclave), addresses(&listeners, enclave));
        }

        let everywhere = RunConfig { listen: vec![Ipv4Addr::UNSPECIFIED.into()], ..config };
        let run = tempfile::tempdir().unwrap();
        let listeners = Listeners::open(&everywhere, run.path()).unwrap();
        let raw = SocketAddr::from(([0; 4], listeners.ports()[1].1));
        assert_eq!(addresses(&listeners, 9000), [raw]);
    }
}
