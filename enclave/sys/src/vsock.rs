//! vsock: the only way in and out of an enclave.
//!
//! Connections come as `TcpStream`: std's type is a socket descriptor with `recv`, `send`, timeouts
//! and `shutdown`, none of which look at the address family, so the same code serves vsock and
//! loopback. Only its address functions do not apply.

use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, VsockAddr, accept4, bind, connect as sys_connect, listen,
    socket,
};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

/// Something that takes connections.
pub trait Listener: Send + 'static {
    /// Waits for the next connection.
    fn accept_stream(&self) -> io::Result<TcpStream>;
}

impl Listener for TcpListener {
    fn accept_stream(&self) -> io::Result<TcpStream> {
        self.accept().map(|(stream, _)| stream)
    }
}

/// A listening vsock port.
#[derive(Debug)]
pub struct VsockListener(OwnedFd);

impl VsockListener {
    /// Listens on `port` for connections from any context.
    pub fn bind(port: u32) -> io::Result<Self> {
        let fd = vsock_socket()?;
        bind(fd.as_raw_fd(), &VsockAddr::new(libc::VMADDR_CID_ANY, port))?;
        listen(&fd, Backlog::MAXCONN)?;
        Ok(Self(fd))
    }
}

impl Listener for VsockListener {
    fn accept_stream(&self) -> io::Result<TcpStream> {
        let fd = accept4(self.0.as_raw_fd(), SockFlag::SOCK_CLOEXEC)?;
        // SAFETY: accept4 just returned this descriptor and nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
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
