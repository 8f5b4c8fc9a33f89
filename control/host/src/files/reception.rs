//! A Unix socket in a folder of ours, whose clients are taken one after another until it is dropped.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

/// Listens while it lives.
#[derive(Debug)]
pub(crate) struct Reception {
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Reception {
    /// Calls `take` with each client of `socket`, in a thread of this name.
    pub(crate) fn open(
        name: &str,
        socket: &Path,
        take: impl FnMut(UnixStream) + Send + 'static,
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        let (quit, ended) = UnixStream::pair()?;
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread.spawn(move || receive(&listener, &ended, take))?;
        Ok(Self { quit: Some(quit), thread: Some(thread) })
    }
}

impl Drop for Reception {
    fn drop(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn receive(listener: &UnixListener, ended: &UnixStream, mut take: impl FnMut(UnixStream)) {
    loop {
        let mut fds =
            [PollFd::new(ended.as_fd(), PollFlags::POLLIN), PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return,
        }
        if fds[0].any() == Some(true) {
            return;
        }
        match listener.accept() {
            Ok((client, _)) => take(client),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, or a client that has gone: the next look shows which.
            Err(_) => crate::process::pause(Duration::from_millis(50)),
        }
    }
}
