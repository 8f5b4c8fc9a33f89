//! Waiting for two sockets at once, and closing one loudly.

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd as _, AsRawFd as _};

/// What to wait for on one socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interest {
    /// Until something can be read, or the peer ended its stream.
    pub read: bool,
    /// Until something can be written.
    pub write: bool,
}

/// Blocks until one of the sockets can do what is asked of it. A socket of which nothing is asked
/// is not looked at, so a peer that has hung up there cannot wake the caller again and again.
pub fn wait(sockets: [(&TcpStream, Interest); 2]) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> = sockets
        .iter()
        .filter(|(_, interest)| *interest != Interest::default())
        .map(|(socket, interest)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, interest.read);
            flags.set(PollFlags::POLLOUT, interest.write);
            PollFd::new(socket.as_fd(), flags)
        })
        .collect();
    match nix::poll::poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::Error::EINTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Makes the coming close of a TCP connection a reset, so that the peer cannot take a broken stream
/// for a complete one. Sockets of other families close as usual.
pub fn reset_on_close(socket: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = libc::socklen_t::try_from(size_of_val(&linger)).unwrap_or(0);
    // SAFETY: the option reads a `linger` of `length` bytes, which lives across the call. A failure
    // leaves the ordinary close.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            length,
        )
    };
}
