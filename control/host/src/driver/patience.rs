//! How long an enclave may take to answer: connections that it was asked for, in the order of asking.

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Questions that were not answered yet, and a descriptor that becomes readable when the oldest is too old.
#[derive(Debug)]
pub(crate) struct Patience<T> {
    asked: VecDeque<(Instant, T)>,
    limit: Duration,
    timer: TimerFd,
}

impl<T> Patience<T> {
    /// Nothing asked yet; each question may take as long as `limit`.
    pub(crate) fn new(limit: Duration) -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self { asked: VecDeque::new(), limit, timer })
    }

    /// Begins to wait for an answer. Those at the front that are `answered` are forgotten, so that only
    /// what waits takes memory.
    pub(crate) fn ask(&mut self, question: T, answered: impl Fn(&T) -> bool) {
        while self.asked.pop_front_if(|(_, question)| answered(question)).is_some() {}
        self.asked.push_back((Instant::now() + self.limit, question));
        if self.asked.len() == 1 {
            self.arm();
        }
    }

    /// The next question that was not answered in time; None arms the timer for the one after.
    pub(crate) fn overdue(&mut self) -> Option<T> {
        let now = Instant::now();
        let due = self.asked.pop_front_if(|(until, _)| *until <= now);
        if due.is_none() {
            self.arm();
        }
        due.map(|(_, question)| question)
    }

    /// Questions that are remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }

    fn arm(&self) {
        let Some((until, _)) = self.asked.front() else {
            let _ = self.timer.unset();
            return;
        };
        // A timer of zero would be none.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        // Fails for no timer of this kind (timerfd_settime(2)); setting it also ends its being readable.
        let _ = self.timer.set(Expiration::OneShot(TimeSpec::from(left)), TimerSetTimeFlags::empty());
    }
}

impl<T> AsFd for Patience<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
