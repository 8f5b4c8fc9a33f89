//! One vsock connection: bytes between the guest and a host stream, with credit in both directions.
//!
//! ```text
//! host stream ──read──▶ Data packets (as far as the guest's credit goes) ──▶ guest
//! host stream ◀─write── `out` (as far as the credit goes that we give) ◀── guest
//! ```
//! The credit is this connection's share of what the device holds for all of them, told in every packet. What was
//! promised stays promised: a smaller share only means that what the guest uses up is not given again.
//!
//! Each direction ends on its own: end of file on the host stream becomes `SHUTDOWN_SEND`, the
//! guest's `SHUTDOWN_SEND` becomes `shutdown(Write)` once everything before it is written.

use super::memory::Slices;
use super::packet::{Header, MAX_PACKET, Op, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};
use crate::driver::HostStream;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write as _};
use std::num::Wrapping;
use std::os::fd::{AsFd, BorrowedFd};

const BOTH: u32 = SHUTDOWN_SEND | SHUTDOWN_RECEIVE;
/// The most we hold for a slow host program, in bytes.
pub(super) const BUFFER: u32 = 256 * 1024;

/// A connection.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about two directions")]
pub(super) struct Connection {
    stream: HostStream,
    state: State,
    /// Asked for by the host: a client of a published port.
    published: bool,
    readable: bool,
    writable: bool,
    /// From the guest, not yet written to the stream.
    out: VecDeque<u8>,
    /// Bytes the guest can still take: its buffer and what it has taken from it.
    guest_alloc: u32,
    guest_taken: Wrapping<u32>,
    /// Bytes sent to the guest.
    sent: Wrapping<u32>,
    /// Bytes taken from the guest, and what we last said about that.
    taken: Wrapping<u32>,
    announced: Wrapping<u32>,
    /// The guest may send as far as this, counted from its first byte.
    promised: Wrapping<u32>,
    credit_asked: bool,
    owed: Owed,
    closed: Closed,
    /// Whether the device has it in its queue of connections with output.
    pub(super) queued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// We asked the guest; the number of the asking.
    Asked(u64),
    Open,
}

/// Packets to send when there is room.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent debts")]
struct Owed {
    request: bool,
    response: bool,
    reset: bool,
    credit: bool,
    shutdown: u32,
}

/// Directions that ended.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of independent facts")]
struct Closed {
    /// The host stream ended, or the guest wants no more of it.
    from_host: bool,
    /// The guest said it sends no more.
    guest_done: bool,
    /// The host stream takes no more: everything was written and ended, or its peer is gone.
    to_host: bool,
    /// The guest said it receives no more.
    guest_deaf: bool,
}

/// What a connection wants after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on.
    Keep,
    /// It is over; nothing more is said to the guest.
    Remove,
    /// It is over and the guest must be told.
    Reset,
}

/// A packet without addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outgoing {
    pub(super) op: Op,
    pub(super) flags: u32,
    pub(super) len: usize,
}

impl Connection {
    /// A connection the host asks for.
    pub(super) fn to_guest(stream: HostStream, asking: u64) -> Self {
        Self::new(stream, State::Asked(asking), Owed { request: true, ..Owed::default() })
    }

    /// A connection the guest asked for and gets.
    pub(super) fn from_guest(stream: HostStream, request: &Header) -> Self {
        let mut new = Self::new(stream, State::Open, Owed { response: true, ..Owed::default() });
        new.credit(request);
        new
    }

    fn new(stream: HostStream, state: State, owed: Owed) -> Self {
        Self {
            stream,
            state,
            published: matches!(state, State::Asked(_)),
            readable: true,
            writable: true,
            out: VecDeque::new(),
            guest_alloc: 0,
            guest_taken: Wrapping(0),
            sent: Wrapping(0),
            taken: Wrapping(0),
            announced: Wrapping(0),
            promised: Wrapping(0),
            credit_asked: false,
            owed,
            closed: Closed::default(),
            queued: false,
        }
    }

    /// Whether the guest did not answer that asking yet.
    pub(super) fn still_asks(&self, asking: u64) -> bool {
        self.state == State::Asked(asking)
    }

    /// The credit for a header, of which `share` bytes are this connection's: bytes that may wait here, and our
    /// count of those that were taken. Remembers that it was told.
    pub(super) fn announce(&mut self, share: u32) -> (u32, u32) {
        let room = share.max((self.promised - self.taken).0);
        self.promised = self.taken + Wrapping(room);
        self.announced = self.taken;
        self.owed.credit = false;
        (room, self.taken.0)
    }

    /// The host stream became readable or writable (edge-triggered).
    pub(super) fn stream_ready(&mut self, readable: bool, writable: bool) -> Fate {
        self.readable |= readable;
        self.writable |= writable;
        self.flush();
        self.fate()
    }

    /// Takes a packet from the guest. A violation of the protocol ends the connection.
    pub(super) fn receive(&mut self, header: &Header, data: Slices<'_>) -> Fate {
        self.credit(header);
        match (header.op, self.state) {
            (Op::Response, State::Asked(_)) if !self.owed.request => self.state = State::Open,
            (Op::Data, State::Open) if !self.closed.guest_done => {
                if data.len() > self.promised_room() {
                    return Fate::Reset;
                }
                self.take(data);
            }
            (Op::CreditUpdate, _) => {}
            (Op::CreditRequest, _) => self.owed.credit = true,
            (Op::Shutdown, State::Open) => {
                // vsock has no way to say that a stream broke. EnclaveOS ends its sending before it closes in
                // order, so one that it closes at once is broken.
                if self.published && !self.closed.guest_done && header.flags & BOTH == BOTH {
                    return Fate::Reset;
                }
                self.closed.guest_done |= header.flags & SHUTDOWN_SEND != 0;
                if header.flags & SHUTDOWN_RECEIVE != 0 {
                    self.closed.guest_deaf = true;
                    self.closed.from_host = true;
                }
                self.flush();
            }
            _ => return Fate::Reset,
        }
        self.fate()
    }

    /// The next packet for the guest; data is put into `space`.
    pub(super) fn next(&mut self, space: &Slices<'_>) -> Option<Outgoing> {
        let bare = |op, flags| Some(Outgoing { op, flags, len: 0 });
        if std::mem::take(&mut self.owed.reset) {
            return bare(Op::Reset, 0);
        }
        if std::mem::take(&mut self.owed.request) {
            return bare(Op::Request, 0);
        }
        if std::mem::take(&mut self.owed.response) {
            return bare(Op::Response, 0);
        }
        if self.can_read() {
            let room = self.room();
            if room == 0 {
                self.credit_asked = true;
                return bare(Op::CreditRequest, 0);
            }
            let limit = room.min(space.len()).min(MAX_PACKET);
            match space.read_from(&mut self.stream, limit) {
                Ok(0) => {
                    self.closed.from_host = true;
                    self.owed.shutdown |= SHUTDOWN_SEND;
                }
                Ok(len) => {
                    self.sent += u32::try_from(len).expect("a packet is shorter than 4 GiB");
                    return Some(Outgoing { op: Op::Data, flags: 0, len });
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
                // Left readable: the next turn tries again.
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return bare(Op::Reset, 0),
            }
        }
        match std::mem::take(&mut self.owed.shutdown) {
            0 => {}
            flags => return bare(Op::Shutdown, flags),
        }
        std::mem::take(&mut self.owed.credit).then_some(Outgoing { op: Op::CreditUpdate, flags: 0, len: 0 })
    }

    /// Whether [`Connection::next`] may have something.
    pub(super) fn has_output(&self) -> bool {
        let owed = &self.owed;
        owed.request || owed.response || owed.reset || owed.credit || owed.shutdown != 0 || self.can_read()
    }

    /// Whether it goes on, after any change.
    pub(super) fn fate(&self) -> Fate {
        if self.closed.guest_done && self.closed.guest_deaf && self.closed.to_host {
            // The guest closed its socket and waits for our last word (Linux: up to 8 s).
            Fate::Reset
        } else if self.closed.from_host && self.closed.to_host && self.owed.shutdown == 0 {
            // Both directions ended in order. What the guest still says is answered with a reset.
            Fate::Remove
        } else {
            Fate::Keep
        }
    }

    /// The guest reset the connection: what it sent before that is still delivered.
    ///
    /// Returns the stream and the rest when they must outlive the connection.
    pub(super) fn reset_by_guest(mut self) -> Option<(HostStream, VecDeque<u8>)> {
        if !self.closed.guest_done {
            self.stream.abort();
            return None;
        }
        self.flush();
        if self.out.is_empty() { None } else { Some((self.stream, self.out)) }
    }

    /// Ends the host's side as a failure.
    pub(super) fn abort(self) {
        self.stream.abort();
    }

    /// Bytes from the guest that wait.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.out.len()
    }

    fn can_read(&self) -> bool {
        self.state == State::Open
            && !self.owed.response
            && self.readable
            && !self.closed.from_host
            && (self.room() > 0 || !self.credit_asked)
    }

    /// Bytes the guest has room for.
    fn room(&self) -> usize {
        // A guest that claims to have taken more than it got has no room.
        let in_flight = (self.sent - self.guest_taken).0;
        self.guest_alloc.saturating_sub(in_flight) as usize
    }

    /// Bytes the guest may still send.
    fn promised_room(&self) -> usize {
        ((self.promised - self.taken).0 as usize).saturating_sub(self.out.len())
    }

    fn credit(&mut self, header: &Header) {
        self.guest_alloc = header.buf_alloc;
        self.guest_taken = Wrapping(header.fwd_cnt);
        if self.room() > 0 {
            self.credit_asked = false;
        }
    }

    fn take(&mut self, mut data: Slices<'_>) {
        while self.writable && self.out.is_empty() && !self.closed.to_host && !data.is_empty() {
            match data.write_to(&mut self.stream) {
                Ok(written) => self.count(written),
                Err(e) => self.write_failed(&e),
            }
        }
        if self.closed.to_host {
            // Nobody reads it; taken so that the guest is not stuck before it learns that.
            self.count(data.len());
        } else if !data.is_empty() {
            data.append_to(&mut self.out);
        }
    }

    /// Writes what is waiting, and ends the direction after its last byte.
    fn flush(&mut self) {
        while self.writable && !self.out.is_empty() && !self.closed.to_host {
            let (front, _) = self.out.as_slices();
            match self.stream.write(front) {
                Ok(written) => {
                    self.out.drain(..written);
                    self.count(written);
                }
                Err(e) => self.write_failed(&e),
            }
        }
        if self.out.is_empty() {
            // An idle connection holds no buffer.
            self.out = VecDeque::new();
        }
        if self.closed.guest_done && self.out.is_empty() && !self.closed.to_host {
            self.stream.shutdown_write();
            self.closed.to_host = true;
        }
    }

    fn write_failed(&mut self, error: &io::Error) {
        match error.kind() {
            ErrorKind::WouldBlock => self.writable = false,
            ErrorKind::Interrupted => {}
            _ => {
                // The program is gone, but what it wrote before may still be unread.
                self.closed.to_host = true;
                self.owed.shutdown |= SHUTDOWN_RECEIVE;
                self.count(self.out.len());
                self.out.clear();
            }
        }
    }

    fn count(&mut self, bytes: usize) {
        self.taken += u32::try_from(bytes).expect("at most BUFFER bytes wait");
        // A quarter of the credit was used, or more.
        if (self.taken - self.announced).0 >= (self.promised - self.announced).0 / 4 {
            self.owed.credit = true;
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
