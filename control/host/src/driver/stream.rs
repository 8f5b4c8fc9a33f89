//! The host's end of a connection to or from an enclave: a TCP or Unix stream that never blocks.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

/// A non-blocking stream of either kind.
#[derive(Debug)]
pub(crate) enum HostStream {
    /// A client of a published port.
    Tcp(TcpStream),
    /// The same, where something is read before its first byte.
    Announced {
        /// The client's.
        stream: TcpStream,
        /// What is still to be read of it.
        before: Vec<u8>,
    },
    /// A service of the host agent, or a client of a Unix socket.
    Unix(UnixStream),
}

impl HostStream {
    /// Takes a client's connection.
    pub(crate) fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Packets from the guest are passed on as they come; waiting to fill segments only delays.
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Takes a client's connection, from which `before` is read first, whether or not the client says something.
    pub(crate) fn announced(stream: TcpStream, before: Vec<u8>) -> io::Result<Self> {
        match Self::tcp(stream)? {
            Self::Tcp(stream) => Ok(Self::Announced { stream, before }),
            other => Ok(other),
        }
    }

    /// Takes the connection of a client on this machine.
    pub(crate) fn unix(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self::Unix(stream))
    }

    /// Both ends of a connection inside the agent: the device's, and the other, blocking one.
    pub(crate) fn pair() -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::unix(ours)?, theirs))
    }

    /// Ends the direction towards the host's program.
    pub(crate) fn shutdown_write(&self) {
        // Fails only when the peer is gone, which the next read notices.
        let _ = match self {
            Self::Tcp(stream) | Self::Announced { stream, .. } => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    /// Closes so that the peer can tell it from an orderly end: TCP sends a reset.
    pub(crate) fn abort(self) {
        if let Self::Tcp(stream) | Self::Announced { stream, .. } = self {
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            let _ = nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger);
        }
    }
}

impl Write for HostStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) | Self::Announced { stream, .. } => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for HostStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) | Self::Announced { stream, .. } => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
