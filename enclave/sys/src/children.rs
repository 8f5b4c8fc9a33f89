//! The end of child processes, as an event with a timeout.

use caution_abi::control::Exit;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

/// A child process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildId(pub(crate) Pid);

/// Hears of the end of every child, adopted orphans included.
#[derive(Debug)]
pub struct Children(SignalFd);

impl Children {
    /// Starts listening. Call before any thread is started: SIGCHLD is blocked in this thread and
    /// those it starts later.
    pub fn listen() -> io::Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        Ok(Self(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?))
    }

    /// Blocks until a child ended or `timeout` passed (rounded up to a millisecond; `None` waits for
    /// ever), then reaps every ended child.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<(ChildId, Exit)>> {
        let timeout = timeout.map_or(PollTimeout::NONE, |t| {
            let ms = t.as_micros().div_ceil(1000);
            PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        // One signal may stand for many children: empty the queue first, then ask until nobody is left.
        while self.0.read_signal()?.is_some() {}
        reap()
    }

    /// Kills a child and waits for its end; one that has ended already, and was reaped, is none.
    pub fn end(&self, child: ChildId) -> io::Result<()> {
        match kill(child.0, Signal::SIGKILL) {
            Ok(()) | Err(nix::Error::ESRCH) => {}
            Err(e) => return Err(e.into()),
        }
        match nix::sys::wait::waitpid(child.0, None) {
            Ok(_) | Err(nix::Error::ECHILD) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Every child that has ended.
///
/// By the raw call: nix has no name for real-time signals and would lose a child that one ended.
fn reap() -> io::Result<Vec<(ChildId, Exit)>> {
    let mut ended = Vec::new();
    loop {
        let mut status: libc::c_int = 0;
        // SAFETY: waitpid writes one int, which lives across the call.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        match pid {
            0 => return Ok(ended),
            1.. => ended.push((ChildId(Pid::from_raw(pid)), exit_of(status))),
            _ => match nix::Error::last() {
                nix::Error::ECHILD => return Ok(ended),
                nix::Error::EINTR => {}
                e => return Err(e.into()),
            },
        }
    }
}

/// How a process ended, from its wait status. Stops are not reported without WUNTRACED.
pub(crate) fn exit_of(status: libc::c_int) -> Exit {
    if libc::WIFSIGNALED(status) {
        Exit::Signal { signal: libc::WTERMSIG(status) }
    } else {
        // The kernel keeps eight bits of an exit status.
        Exit::Status { code: u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_are_told_apart() {
        assert_eq!(exit_of(0), Exit::Status { code: 0 });
        assert_eq!(exit_of(255 << 8), Exit::Status { code: 255 });
        assert_eq!(exit_of(libc::SIGKILL), Exit::Signal { signal: 9 });
        // Real-time signal, with the "core dumped" bit.
        assert_eq!(exit_of(64 | 0x80), Exit::Signal { signal: 64 });
    }
}
