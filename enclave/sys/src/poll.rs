//! Waiting for many sockets, or a few descriptors of any kind, and closing a socket loudly.

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// Sockets that are waited for, each with a number of its owner's choice. A closed socket leaves by
/// itself.
#[derive(Debug)]
pub struct Poll(Epoll);

/// Room for what a wait reports.
#[derive(Debug)]
pub struct Events(Box<[EpollEvent]>);

/// What happened on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The owner's number.
    pub token: u64,
    /// Something can be read, the peer ended its stream, or the connection broke.
    pub read: bool,
    /// Something can be written, or the connection broke.
    pub write: bool,
    /// The peer ended its stream, or the connection broke: there is an end to be read, after
    /// whatever else is still there.
    pub ended: bool,
}

impl Poll {
    /// Without sockets.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Reports a listener at every wait as long as connections wait there (level-triggered).
    pub fn add_listener(&self, listener: &impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.0.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Reports once what a stream can do now, and then each change (edge-triggered): who was told that
    /// something can be read or written is told again only after having tried until it could not.
    pub fn add_stream(&self, stream: &impl AsFd, token: u64) -> io::Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        Ok(self.0.add(stream, EpollEvent::new(flags, token))?)
    }

    /// What happened; waits until something has where `block` says so.
    pub fn wait<'a>(
        &self,
        events: &'a mut Events,
        block: bool,
    ) -> io::Result<impl Iterator<Item = Ready> + use<'a>> {
        let timeout = if block { EpollTimeout::NONE } else { EpollTimeout::ZERO };
        let count = match self.0.wait(&mut events.0, timeout) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(e) => return Err(e.into()),
        };
        Ok(events.0[..count].iter().map(|event| {
            let flags = event.events();
            let broken = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            let ended = broken || flags.contains(EpollFlags::EPOLLRDHUP);
            Ready {
                token: event.data(),
                read: ended || flags.contains(EpollFlags::EPOLLIN),
                write: broken || flags.contains(EpollFlags::EPOLLOUT),
                ended,
            }
        }))
    }
}

impl Events {
    /// Room for `count` sockets a wait; others are reported by the next.
    pub fn with_room_for(count: usize) -> Self {
        Self(vec![EpollEvent::empty(); count].into_boxed_slice())
    }
}

/// What to wait for on one descriptor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interest {
    /// Until something can be read, or the peer ended its stream.
    pub read: bool,
    /// Until something can be written.
    pub write: bool,
}

/// Blocks until one of a few descriptors can do what is asked of it, for at most `limit`. One of which
/// nothing is asked is not looked at, so a peer that has hung up there cannot wake the caller again and again.
pub fn wait_for<const N: usize>(
    descriptors: [(BorrowedFd<'_>, Interest); N],
    limit: Option<Duration>,
) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> = descriptors
        .into_iter()
        .filter(|(_, interest)| *interest != Interest::default())
        .map(|(descriptor, interest)| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, interest.read);
            flags.set(PollFlags::POLLOUT, interest.write);
            PollFd::new(descriptor, flags)
        })
        .collect();
    // Rounded up: a wait that ends just before its moment would only begin again.
    let limit = limit.map(|limit| limit.saturating_add(Duration::from_micros(999)));
    let limit = limit.map_or(PollTimeout::NONE, |limit| limit.try_into().unwrap_or(PollTimeout::MAX));
    match nix::poll::poll(&mut fds, limit) {
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
