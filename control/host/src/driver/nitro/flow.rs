//! One direction of a connection: bytes from one socket to another through a pipe, without a copy of ours.
//!
//! splice(2) moves what a socket received into a pipe, and from there into the other socket. A pipe is held only
//! while bytes are under way, so an idle connection costs its two sockets.

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// What is under way from a source to a target.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    /// The source has ended.
    ended: bool,
    /// The target was told.
    told: bool,
}

/// What became of a flow for now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// It waits: for the source to have more, or for the target to take more.
    Waits,
    /// It could go on, and lets others.
    MayGoOn,
    /// Everything arrived, and its end; or nobody is there that would take it.
    Ended,
}

impl Flow {
    /// A flow with these bytes before those of the source; at most what a pipe holds.
    pub(super) fn with(before: &[u8], pipes: &mut Pipes) -> io::Result<Self> {
        if before.is_empty() {
            return Ok(Self::default());
        }
        let pipe = pipes.take()?;
        if rustix::io::write(&pipe.write, before)? < before.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(Self { pipe: Some(pipe), held: before.len(), ..Self::default() })
    }

    /// Moves what can be moved; an error means that the connection is broken.
    pub(super) fn run(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        pipes: &mut Pipes,
    ) -> io::Result<Moved> {
        for _ in 0..IN_A_ROW {
            let dry = self.fill(from, pipes)?;
            if !self.empty(to)? {
                return Ok(Moved::Waits);
            }
            if let Some(pipe) = self.pipe.take() {
                pipes.give_back(pipe);
            }
            if self.ended {
                if !self.told {
                    self.told = true;
                    // A target that is gone says so to the other direction.
                    let _ = shutdown(to, Shutdown::Write);
                }
                return Ok(Moved::Ended);
            }
            if dry {
                return Ok(Moved::Waits);
            }
        }
        Ok(Moved::MayGoOn)
    }

    /// Takes from the source what fits. Returns whether the source has nothing more for now; a full pipe looks
    /// the same, so that is known of an empty pipe only.
    fn fill(&mut self, from: BorrowedFd<'_>, pipes: &mut Pipes) -> io::Result<bool> {
        if self.ended || self.held >= pipes.share {
            return Ok(false);
        }
        let pipe = match self.pipe.take() {
            Some(pipe) => pipe,
            None => pipes.take()?,
        };
        let (pipe, share) = (self.pipe.insert(pipe), pipes.share);
        loop {
            match splice(from, None, &pipe.write, None, share - self.held, FLAGS) {
                Ok(0) => self.ended = true,
                Ok(length) => self.held += length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(self.held == 0),
                Err(e) => return Err(e.into()),
            }
            return Ok(false);
        }
    }

    /// Gives the target what it takes. Returns whether that is all.
    fn empty(&mut self, to: BorrowedFd<'_>) -> io::Result<bool> {
        let Some(pipe) = &self.pipe else { return Ok(true) };
        while self.held > 0 {
            match splice(&pipe.read, None, to, None, self.held, FLAGS) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => self.held -= length,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::PIPE) => {
                    // Nobody takes more. This direction is over; the other may have something to say still.
                    *self = Self { ended: true, told: true, ..Self::default() };
                    return Ok(true);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Empty pipes that wait for bytes, and what each flow may put into one.
#[derive(Debug)]
pub(super) struct Pipes {
    empty: Vec<Pipe>,
    share: usize,
}

impl Pipes {
    pub(super) fn new() -> Self {
        Self { empty: Vec::new(), share: PIPE }
    }

    /// Shares out what may be under way to slow readers among so many connections.
    pub(super) fn share_among(&mut self, connections: usize) {
        self.share = (ALL / connections.max(1)).clamp(PAGE, PIPE);
    }

    fn take(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.empty.pop() {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        Ok(Pipe { read, write })
    }

    fn give_back(&mut self, pipe: Pipe) {
        if self.empty.len() < KEPT {
            self.empty.push(pipe);
        }
    }
}

/// What a pipe holds unless it is told otherwise, in bytes (pipe(7)).
const PIPE: usize = 64 * 1024;
/// What all connections have under way to slow readers, in bytes, while each has more than a page.
const ALL: usize = 64 * 1024 * 1024;
/// A pipe holds pages.
const PAGE: usize = 4096;
/// Pipes that are kept though nothing is under way.
const KEPT: usize = 64;
/// Rounds of one flow before others have theirs.
const IN_A_ROW: usize = 16;
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);
