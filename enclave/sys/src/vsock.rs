//! vsock: the only way in and out of an enclave.
//!
//! Connections come as `TcpStream`: std's type is a socket descriptor with `recv`, `send`, timeouts
//! and `shutdown`, none of which look at the address family, so the same code serves vsock and
//! loopback. Only its address functions do not apply.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, connect as sys_connect, listen,
    socket,
};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::Duration;

/// A listening port, of vsock or of loopback.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Listens on the vsock port for connections from any context.
    pub fn vsock(port: u32) -> io::Result<Self> {
        let fd = vsock_socket()?;
        bind(fd.as_raw_fd(), &VsockAddr::new(libc::VMADDR_CID_ANY, port))?;
        // As many as the kernel lets wait (`net.core.somaxconn`); the C library's own number is older.
        listen(&fd, Backlog::MAXALLOWABLE)?;
        Ok(Self(fd))
    }

    /// From now on accepting does not wait.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        fcntl(&self.0, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(())
    }

    /// The next connection, whose reads and writes wait.
    pub fn accept(&self) -> io::Result<TcpStream> {
        self.accept_with(SockFlag::SOCK_CLOEXEC)
    }

    /// The next connection, whose reads and writes do not wait.
    pub fn accept_nonblocking(&self) -> io::Result<TcpStream> {
        self.accept_with(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)
    }

    fn accept_with(&self, flags: SockFlag) -> io::Result<TcpStream> {
        let fd = accept4(self.0.as_raw_fd(), flags)?;
        // SAFETY: accept4 just returned this descriptor and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self(listener.into())
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Connects to `port` of context `cid`, for at most `timeout`.
pub fn connect(cid: u32, port: u32, timeout: Duration) -> io::Result<TcpStream> {
    let fd = vsock_socket()?;
    set_connect_timeout(&fd, timeout)?;
    sys_connect(fd.as_raw_fd(), &VsockAddr::new(cid, port))?;
    Ok(fd.into())
}

fn vsock_socket() -> io::Result<OwnedFd> {
    Ok(socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?)
}

fn set_connect_timeout(fd: &OwnedFd, timeout: Duration) -> io::Result<()> {
    /// `SO_VM_SOCKETS_CONNECT_TIMEOUT` for a 64-bit `timeval` (`linux/vm_sockets.h`).
    const CONNECT_TIMEOUT: libc::c_int = 6;
    let value = libc::timeval {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(timeout.subsec_micros()),
    };
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or(0);
    // SAFETY: the option reads a `timeval` of `length` bytes, which lives across the call.
    let set = unsafe {
        libc::setsockopt(fd.as_raw_fd(), libc::AF_VSOCK, CONNECT_TIMEOUT, (&raw const value).cast(), length)
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
