//! One forwarded connection: two sockets, and what was read from one and the other did not yet take.

use caution_enclave_sys::poll;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

/// A client's connection and the app's. It holds no buffer unless bytes wait.
#[derive(Debug)]
pub(super) struct Pair {
    outside: Side,
    app: Side,
    /// From the client to the app.
    inward: Direction,
    /// From the app to the client.
    outward: Direction,
    /// Whether the loop has it in its queue.
    pub(super) queued: bool,
}

/// Which socket of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Outside,
    App,
}

/// What became of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It waits for its sockets.
    Waits,
    /// It has had its turn and could go on at once.
    GoesOn,
    /// Both directions have ended in order.
    Over,
}

/// A socket, and what it is believed to be able to do: true until it says that it would have to wait.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one socket")]
struct Side {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// Its connection was made. Until then nothing is passed to it, nor an end.
    open: bool,
    /// The end of its stream has come: reading goes on until it is found.
    ended: bool,
    /// It was told that nothing more comes.
    write_ended: bool,
}

/// Bytes on their way from one socket to the other.
#[derive(Debug, Default)]
struct Direction {
    /// What the target did not take; `waiting[start..]` is left. Empty, it has no memory of its own.
    waiting: Vec<u8>,
    start: usize,
    /// The source has ended.
    source_ended: bool,
    /// The target has been told so.
    ended: bool,
}

/// What all pairs share.
#[derive(Debug)]
pub(super) struct Room {
    scratch: Box<[u8]>,
    /// Bytes that wait in all pairs.
    pub(super) waiting: usize,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { scratch: vec![0; CHUNK].into_boxed_slice(), waiting: 0 }
    }

    /// How much may be read at once: little, when much waits already.
    pub(super) fn chunk(&mut self) -> &mut [u8] {
        let length = if self.waiting < ENOUGH { CHUNK } else { SMALL_CHUNK };
        &mut self.scratch[..length]
    }
}

impl Pair {
    /// A client, and the connection to the app that was begun for it.
    pub(super) fn new(outside: TcpStream, app: TcpStream) -> Self {
        Self {
            outside: Side::new(outside, true),
            app: Side::new(app, false),
            inward: Direction::default(),
            outward: Direction::default(),
            queued: false,
        }
    }

    /// Notes what happened on a socket.
    pub(super) fn note(&mut self, end: End, ready: poll::Ready) {
        let side = match end {
            End::Outside => &mut self.outside,
            End::App => &mut self.app,
        };
        side.readable |= ready.read;
        side.writable |= ready.write;
        side.open |= ready.write;
        side.ended |= ready.ended;
    }

    /// Moves what can be moved now, up to a turn's worth. An error of either socket is an error of the
    /// pair.
    pub(super) fn advance(&mut self, room: &mut Room) -> io::Result<Fate> {
        let more_inward = self.inward.advance(&mut self.outside, &mut self.app, room)?;
        let more_outward = self.outward.advance(&mut self.app, &mut self.outside, room)?;
        Ok(match (self.inward.ended && self.outward.ended, more_inward || more_outward) {
            (true, _) => Fate::Over,
            (false, true) => Fate::GoesOn,
            (false, false) => Fate::Waits,
        })
    }

    /// Closes both sockets as broken, as far as they know of that.
    pub(super) fn reset(&self) {
        poll::reset_on_close(&self.outside.stream);
        poll::reset_on_close(&self.app.stream);
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.inward.waiting.len() + self.outward.waiting.len()
    }

    /// Bytes of memory beside its own.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.inward.waiting.capacity() + self.outward.waiting.capacity()
    }
}

impl Direction {
    /// Moves what can be moved now. Returns whether it stopped only because its turn was over.
    fn advance(&mut self, from: &mut Side, to: &mut Side, room: &mut Room) -> io::Result<bool> {
        for _ in 0..TURN {
            if !self.flush(to, room)? {
                return Ok(false);
            }
            if self.source_ended {
                return self.end(to).map(|()| false);
            }
            // Nothing is read that could not be passed on.
            if !(from.readable && to.writable) {
                return Ok(false);
            }
            self.pass(from, to, room)?;
        }
        Ok(true)
    }

    /// Writes what waits. Returns whether nothing is left.
    fn flush(&mut self, to: &mut Side, room: &mut Room) -> io::Result<bool> {
        while !self.waiting.is_empty() {
            let Some(written) = to.write(&self.waiting[self.start..])? else { return Ok(false) };
            self.start += written;
            if self.start == self.waiting.len() {
                room.waiting -= self.waiting.len();
                (self.waiting, self.start) = (Vec::new(), 0);
            }
        }
        Ok(true)
    }

    /// Reads once, and writes what came as far as it is taken.
    fn pass(&mut self, from: &mut Side, to: &mut Side, room: &mut Room) -> io::Result<()> {
        let chunk = room.chunk();
        let Some(length) = from.read(chunk)? else { return Ok(()) };
        if length == 0 {
            self.source_ended = true;
            return from.check_that_it_listens();
        }
        let chunk = &chunk[..length];
        let written = to.write(chunk)?.unwrap_or(0);
        if written < length {
            self.waiting = chunk[written..].to_vec();
            room.waiting += self.waiting.len();
        }
        Ok(())
    }

    /// Tells the target that the source has ended.
    fn end(&mut self, to: &mut Side) -> io::Result<()> {
        if !self.ended && to.open {
            to.end()?;
            self.ended = true;
        }
        Ok(())
    }
}

impl Side {
    fn new(stream: TcpStream, open: bool) -> Self {
        Self { stream, readable: open, writable: open, open, ended: false, write_ended: false }
    }

    /// None where it would have to wait.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let read = ready(|| self.stream.read(buffer))?;
        // Less than there was room for was all there is, unless the end is still to be found.
        self.readable = read.is_some_and(|length| length == buffer.len() || self.ended);
        Ok(read)
    }

    /// None where it would have to wait.
    fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let written = if self.writable { ready(|| self.stream.write(bytes))? } else { None };
        self.writable = written.is_some();
        Ok(written)
    }

    /// Ends the stream towards this side.
    fn end(&mut self) -> io::Result<()> {
        self.write_ended = true;
        match self.stream.shutdown(Shutdown::Write) {
            // One that has gone already needs no telling.
            Err(e) if e.kind() != ErrorKind::NotConnected => Err(e),
            _ => Ok(()),
        }
    }

    /// Fails where the peer has not only ended its stream but is gone. Over vsock a reset reads like an
    /// end, and only an empty write tells them apart.
    fn check_that_it_listens(&mut self) -> io::Result<()> {
        if self.write_ended { Ok(()) } else { ready(|| self.stream.write(&[])).map(drop) }
    }
}

/// None where the socket would have to wait.
fn ready(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(moved) => return Ok(Some(moved)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The most bytes read at once, and so the most that wait in one direction.
pub(super) const CHUNK: usize = 64 * 1024;
/// From here on bytes that wait are many: slow readers of all pairs together.
pub(super) const ENOUGH: usize = 16 * 1024 * 1024;
/// The most bytes read at once when many wait. A pair that reads on holds up nobody and takes little.
pub(super) const SMALL_CHUNK: usize = 1024;
/// Chunks that one direction moves before others have their turn.
const TURN: usize = 8;
