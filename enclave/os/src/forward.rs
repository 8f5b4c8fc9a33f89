//! Forwarders: each declared TCP port of the app, reached over the vsock port of the same number.
//!
//! ```text
//! client ──vsock──▶ Listener ──accept──▶ Pair ──▶ 127.0.0.1:port
//! ```
//! One thread waits for all sockets of all ports. A connection costs its state: two descriptors, and
//! a buffer only while one side sent what the other did not take yet, at most [`pair::CHUNK`] bytes a
//! direction and little more than [`pair::ENOUGH`] in all.
//!
//! Bytes pass unchanged and in order. The end of one direction passes on while the other lives; a
//! broken connection breaks its partner. A side that does not read stops the other's sending.

mod pair;

use crate::say;
use caution_enclave_sys::network;
use caution_enclave_sys::poll::{self, Events, Poll};
use caution_enclave_sys::vsock::Listener;
use pair::{End, Fate, Pair, Room};
use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;

/// All forwarders.
#[derive(Debug)]
pub(crate) struct Forwarder {
    poll: Poll,
    doors: Vec<Door>,
    pairs: Pairs,
    /// Pairs that could go on at once, each once.
    queue: VecDeque<usize>,
    room: Room,
    limit: usize,
    /// Connections refused because there were as many as that.
    refused: u64,
}

/// A way in: connections to `listener` go to the app's `port`.
#[derive(Debug)]
struct Door {
    listener: Listener,
    port: u16,
}

/// Pairs by number; numbers of ended ones are used again.
#[derive(Debug, Default)]
struct Pairs {
    slots: Vec<Option<Pair>>,
    free: Vec<usize>,
}

impl Forwarder {
    /// Forwards from each listener to the port beside it, for at most `limit` connections at a time.
    pub(crate) fn new(doors: impl IntoIterator<Item = (Listener, u16)>, limit: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let doors: Vec<Door> = doors.into_iter().map(|(listener, port)| Door { listener, port }).collect();
        for (door, at) in doors.iter().zip(0_u64..) {
            door.listener.set_nonblocking()?;
            poll.add_listener(&door.listener, DOOR | at)?;
        }
        let (pairs, queue) = (Pairs::default(), VecDeque::new());
        Ok(Self { poll, doors, pairs, queue, room: Room::new(), limit, refused: 0 })
    }

    /// Forwards for ever; returns only when a listener is broken.
    pub(crate) fn run(mut self) -> io::Error {
        let mut events = Events::with_room_for(EVENTS);
        loop {
            if let Err(e) = self.turn(&mut events, true) {
                return e;
            }
        }
    }

    /// Does what there is to do; waits for it where `block` says so and nothing is left from before.
    fn turn(&mut self, events: &mut Events, block: bool) -> io::Result<()> {
        let left = self.queue.len();
        let mut knocking = Vec::new();
        for ready in self.poll.wait(events, block && left == 0)? {
            match token(ready.token) {
                Token::Door(at) => knocking.push(at),
                // What is reported of a pair that has ended in this very turn may reach a new one with its
                // number, which then tries in vain and nothing else.
                Token::Pair(at, end) => {
                    if let Some(pair) = self.pairs.get_mut(at) {
                        pair.note(end, ready);
                        self.advance(at);
                    }
                }
            }
        }
        for _ in 0..left {
            if let Some(at) = self.queue.pop_front() {
                if let Some(pair) = self.pairs.get_mut(at) {
                    pair.queued = false;
                }
                self.advance(at);
            }
        }
        knocking.into_iter().try_for_each(|at| self.accept_some(at))
    }

    fn advance(&mut self, at: usize) {
        let Some(pair) = self.pairs.get_mut(at) else { return };
        match pair.advance(&mut self.room) {
            Ok(Fate::Waits) => {}
            Ok(Fate::GoesOn) => {
                if !std::mem::replace(&mut pair.queued, true) {
                    self.queue.push_back(at);
                }
            }
            Ok(Fate::Over) => self.remove(at),
            Err(_) => {
                pair.reset();
                self.remove(at);
            }
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(pair) = self.pairs.remove(at) {
            self.room.waiting -= pair.waiting();
        }
    }

    /// Takes what waits at a door, but not more than [`IN_A_ROW`], so that nothing else waits for long.
    fn accept_some(&mut self, at: usize) -> io::Result<()> {
        for _ in 0..IN_A_ROW {
            let door = &self.doors[at];
            match door.listener.accept_nonblocking() {
                Ok(outside) => {
                    let port = door.port;
                    self.take(outside, port);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => crate::serve::outlast(e)?,
            }
        }
        Ok(())
    }

    /// Connects a client with the app, or resets it.
    fn take(&mut self, outside: TcpStream, port: u16) {
        if self.pairs.count() >= self.limit {
            self.refused += 1;
            // Told less and less often, so that a flood of connections is none of lines.
            if self.refused.is_power_of_two() {
                let (limit, refused) = (self.limit, self.refused);
                say(&format!("{limit} connections to the app are open; so far {refused} more were refused."));
            }
            return poll::reset_on_close(&outside);
        }
        let begun = network::connect_loopback(port).and_then(|app| {
            app.set_nodelay(true)?;
            Ok(app)
        });
        let Ok(app) = begun else {
            return poll::reset_on_close(&outside);
        };
        let at = self.pairs.next();
        let watched = self
            .poll
            .add_stream(&outside, at_token(at, End::Outside))
            .and_then(|()| self.poll.add_stream(&app, at_token(at, End::App)));
        let pair = Pair::new(outside, app);
        if watched.is_err() {
            return pair.reset();
        }
        self.pairs.insert(at, pair);
    }
}

impl Pairs {
    /// How many there are.
    fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The number that the next one gets.
    fn next(&self) -> usize {
        self.free.last().copied().unwrap_or(self.slots.len())
    }

    /// Puts a pair where [`Pairs::next`] said.
    fn insert(&mut self, at: usize, pair: Pair) {
        if self.free.pop().is_none() {
            self.slots.push(None);
        }
        self.slots[at] = Some(pair);
    }

    fn get_mut(&mut self, at: usize) -> Option<&mut Pair> {
        self.slots.get_mut(at)?.as_mut()
    }

    fn remove(&mut self, at: usize) -> Option<Pair> {
        let pair = self.slots.get_mut(at)?.take()?;
        self.free.push(at);
        Some(pair)
    }
}

/// Whose event it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Door(usize),
    Pair(usize, End),
}

fn token(number: u64) -> Token {
    let index = |number| usize::try_from(number).unwrap_or(usize::MAX);
    if number & DOOR != 0 {
        return Token::Door(index(number & !DOOR));
    }
    let end = if number & 1 == 0 { End::Outside } else { End::App };
    Token::Pair(index(number >> 1), end)
}

fn at_token(at: usize, end: End) -> u64 {
    let number = u64::try_from(at).unwrap_or(u64::MAX >> 2);
    (number << 1) | u64::from(end == End::App)
}

/// Connections at a time, over all ports.
pub(crate) const MAX_CONNECTIONS: usize = 16 * 1024;
/// Numbers of doors have this bit, those of pairs never.
const DOOR: u64 = 1 << 63;
/// Sockets looked at between two system calls.
const EVENTS: usize = 256;
/// Connections taken from one door before the pairs have their turn.
const IN_A_ROW: usize = 64;

#[cfg(test)]
mod tests;
