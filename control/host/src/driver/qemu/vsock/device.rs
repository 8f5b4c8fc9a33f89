//! All connections of one guest, without the virtqueues: packets in, packets out.

use super::connection::{BUFFER, Connection, Fate};
use super::memory::Slices;
use super::packet::{HOST_CID, Header, Op, TYPE_STREAM};
use crate::driver::{
    HostStream, MAX_CONNECTIONS, MAX_FROM_GUEST, MAX_PLATFORM_CONNECTIONS, PATIENCE, Patience, Services,
};
use caution_abi::ports::leads_to_the_app;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write as _};
use std::time::Duration;

/// The guest's context id; each guest has a device of its own, so one number serves all.
pub(crate) const GUEST_CID: u64 = 4;
/// What is held for slow host programs over all connections is shared out among them as they come, in bytes: of `n`
/// connections the newest is promised an `n`th. Older ones were promised more, and that is theirs until they
/// use it, so altogether it is this times 1 + ln(18,432 / 256), 340 MiB, at the very most.
const ALL_BUFFERS: u32 = 64 * 1024 * 1024;
/// Refusals that wait for room in the guest's queue; a guest that makes more of them waits too.
const MAX_REFUSALS: usize = 1024;
/// Ephemeral ports of the host's side begin here; 2³⁰ keeps clear of every service port.
const FIRST_EPHEMERAL: u32 = 1 << 30;

/// A connection's name: (host port, guest port).
type Key = (u32, u32);

/// The device's state.
#[derive(Debug)]
pub(super) struct Device {
    services: Services,
    connections: HashMap<Key, Connection>,
    /// Connections that may have something for the guest, each once, in turn.
    ready: VecDeque<Key>,
    refusals: VecDeque<Header>,
    /// Streams whose guest is gone and whose last bytes are not written yet.
    lingering: HashMap<u64, (HostStream, VecDeque<u8>)>,
    next_lingering: u64,
    next_port: u32,
    /// Connections that the guest was asked for, with the number of the asking.
    asked: Patience<(Key, u64)>,
    next_asking: u64,
    /// How many of the connections the guest asked for.
    from_guest: usize,
    epoll: Epoll,
    pub(super) max_connections: usize,
    /// Connections refused because there were as many as that.
    refused: u64,
    /// How many it were when that was last worth a line.
    news: Option<u64>,
}

/// Tokens of lingering streams have this bit; guest ports of connections never do, see [`token`].
const LINGERING: u64 = 1 << 63;
/// The token of [`Device::asked`], which no lingering stream counts up to.
const TIMER: u64 = u64::MAX;

impl Device {
    /// The token of events that are not a stream's: no guest port of a service connection is 0.
    pub(super) const WAKE: u64 = 0;

    /// A device with these services.
    pub(super) fn new(services: Services) -> io::Result<Self> {
        Self::with_patience(services, PATIENCE)
    }

    /// A device whose guest may take as long to answer.
    pub(super) fn with_patience(services: Services, patience: Duration) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let patience = Patience::new(patience)?;
        epoll.add(&patience, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        Ok(Self {
            services,
            connections: HashMap::new(),
            ready: VecDeque::new(),
            refusals: VecDeque::new(),
            lingering: HashMap::new(),
            next_lingering: 0,
            next_port: FIRST_EPHEMERAL,
            asked: patience,
            next_asking: 0,
            from_guest: 0,
            epoll,
            max_connections: MAX_CONNECTIONS,
            refused: 0,
            news: None,
        })
    }

    /// What becomes readable when [`Device::poll_streams`] has work.
    pub(super) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    /// Connects `stream` to a port of the guest. A stream that cannot be taken is reset.
    pub(super) fn connect(&mut self, port: u32, stream: HostStream) {
        let to_the_app = u16::try_from(port).is_ok_and(leads_to_the_app);
        if self.held() >= self.limit(to_the_app) {
            self.refused += 1;
            // Less and less often, so that a flood of connections is none of lines.
            if self.refused.is_power_of_two() {
                self.news = Some(self.refused);
            }
            return stream.abort();
        }
        let mut host_port = self.next_port;
        while self.connections.contains_key(&(host_port, port)) {
            host_port = host_port.wrapping_add(1).max(FIRST_EPHEMERAL) & !(1 << 31);
        }
        self.next_port = host_port.wrapping_add(1).max(FIRST_EPHEMERAL) & !(1 << 31);
        let (key, asking) = ((host_port, port), self.next_asking);
        self.next_asking += 1;
        self.insert(key, Connection::to_guest(stream, asking));
        let connections = &self.connections;
        self.asked.ask((key, asking), |(key, asking)| {
            connections.get(key).is_none_or(|connection| !connection.still_asks(*asking))
        });
    }

    /// How many connections were refused here so far, where that is worth a line; once.
    pub(super) fn take_news(&mut self) -> Option<u64> {
        self.news.take()
    }

    /// Gives up connections that the guest was asked for and did not answer.
    fn give_up_overdue(&mut self) {
        while let Some((key, asking)) = self.asked.overdue() {
            if self.connections.get(&key).is_some_and(|connection| connection.still_asks(asking)) {
                self.settle(key, Fate::Reset);
            }
        }
    }

    /// Whether the guest's packets must wait until some refusals were delivered.
    pub(super) fn input_paused(&self) -> bool {
        self.refusals.len() >= MAX_REFUSALS
    }

    /// Takes a packet from the guest.
    pub(super) fn receive(&mut self, header: &Header, data: Slices<'_>) {
        if header.src_cid != GUEST_CID || header.dst_cid != HOST_CID || header.socket_type != TYPE_STREAM {
            return self.refuse(header);
        }
        let key = (header.dst_port, header.src_port);
        match (self.connections.get_mut(&key), header.op) {
            (Some(_), Op::Reset) => self.reset_by_guest(key),
            (Some(connection), _) => {
                let fate = connection.receive(header, data);
                self.settle(key, fate);
            }
            (None, Op::Request) => self.accept(key, header),
            (None, _) => self.refuse(header),
        }
    }

    /// Handles what happened on the host streams.
    pub(super) fn poll_streams(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(_) => return,
            };
            for event in &events[..count] {
                let flags = event.events();
                let gone = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
                let readable = gone || flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP);
                let writable = gone || flags.contains(EpollFlags::EPOLLOUT);
                if event.data() == TIMER {
                    self.give_up_overdue();
                    continue;
                }
                if event.data() & LINGERING != 0 {
                    self.drain(event.data());
                    continue;
                }
                let key = key_of(event.data());
                if let Some(connection) = self.connections.get_mut(&key) {
                    let fate = connection.stream_ready(readable, writable);
                    self.settle(key, fate);
                }
            }
            if count < events.len() {
                return;
            }
        }
    }

    /// Whether [`Device::next`] may have a packet.
    pub(super) fn has_output(&self) -> bool {
        !self.refusals.is_empty() || !self.ready.is_empty()
    }

    /// The next packet for the guest; its data is put into `space`.
    pub(super) fn next(&mut self, space: &Slices<'_>) -> Option<(Header, usize)> {
        if let Some(refusal) = self.refusals.pop_front() {
            return Some((refusal, 0));
        }
        let share = self.share();
        while let Some(key) = self.ready.pop_front() {
            let Some(connection) = self.connections.get_mut(&key) else { continue };
            connection.queued = false;
            let Some(packet) = connection.next(space) else {
                let fate = connection.fate();
                self.settle(key, fate);
                continue;
            };
            let (buf_alloc, fwd_cnt) = connection.announce(share);
            let header = Header {
                op: packet.op,
                flags: packet.flags,
                len: u32::try_from(packet.len).expect("a packet is shorter than 4 GiB"),
                buf_alloc,
                fwd_cnt,
                ..header_to_guest(key)
            };
            if packet.op == Op::Reset {
                self.remove(key, Connection::abort);
            } else {
                let fate = connection.fate();
                self.settle(key, fate);
            }
            return Some((header, packet.len));
        }
        None
    }

    /// Connections, and streams whose last bytes are not written yet.
    pub(super) fn held(&self) -> usize {
        self.connections.len() + self.lingering.len()
    }

    /// What a connection may be promised now, in bytes.
    fn share(&self) -> u32 {
        let held = u32::try_from(self.held()).unwrap_or(u32::MAX).max(1);
        (ALL_BUFFERS / held).min(BUFFER)
    }

    /// Everything there is a place for; a question that was answered may be remembered until the next.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.held()
            + self.ready.len()
            + self.refusals.len()
            + self.asked.len().saturating_sub(1)
            + self.from_guest
    }

    /// Bytes from the guest that wait for host programs.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.connections.values().map(Connection::buffered).sum()
    }

    fn accept(&mut self, key: Key, request: &Header) {
        let room = self.held() < self.limit(false) && self.from_guest < MAX_FROM_GUEST;
        let service = self.services.get(&key.0).filter(|_| room);
        let Some((service, (ours, theirs))) = service.zip(HostStream::pair().ok()) else {
            return self.refuse(request);
        };
        if service.try_send(theirs).is_err() {
            return self.refuse(request);
        }
        self.insert(key, Connection::from_guest(ours, request));
    }

    fn insert(&mut self, key: Key, connection: Connection) {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
        if self.epoll.add(&connection, EpollEvent::new(flags, token(key))).is_err() {
            return connection.abort();
        }
        self.from_guest += usize::from(is_from_guest(key));
        self.connections.insert(key, connection);
        self.settle(key, Fate::Keep);
    }

    /// Acts on what became of a connection, and queues it when it has something to say.
    fn settle(&mut self, key: Key, fate: Fate) {
        match fate {
            Fate::Keep => {
                if let Some(connection) = self.connections.get_mut(&key)
                    && !connection.queued
                    && connection.has_output()
                {
                    connection.queued = true;
                    self.ready.push_back(key);
                }
            }
            Fate::Remove => self.remove(key, drop),
            Fate::Reset => {
                self.refusals.push_back(Header { op: Op::Reset, ..header_to_guest(key) });
                let graceful = self.connections.get(&key).is_some_and(|c| c.fate() == Fate::Reset);
                self.remove(key, if graceful { drop } else { Connection::abort });
            }
        }
    }

    fn remove(&mut self, key: Key, end: fn(Connection)) {
        if let Some(connection) = self.take_out(key) {
            end(connection);
        }
    }

    fn take_out(&mut self, key: Key) -> Option<Connection> {
        let connection = self.connections.remove(&key)?;
        self.from_guest -= usize::from(is_from_guest(key));
        let _ = self.epoll.delete(&connection);
        Some(connection)
    }

    fn reset_by_guest(&mut self, key: Key) {
        let Some(connection) = self.take_out(key) else { return };
        let room = !is_from_guest(key) || self.lingering.len() < MAX_FROM_GUEST;
        if let Some((stream, rest)) = connection.reset_by_guest().filter(|_| room) {
            let token = LINGERING | self.next_lingering;
            self.next_lingering += 1;
            if self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLOUT, token)).is_ok() {
                self.lingering.insert(token, (stream, rest));
            }
        }
    }

    fn drain(&mut self, token: u64) {
        let Some((stream, rest)) = self.lingering.get_mut(&token) else { return };
        while !rest.is_empty() {
            match stream.write(rest.as_slices().0) {
                Ok(written) => drop(rest.drain(..written)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        if let Some((stream, _)) = self.lingering.remove(&token) {
            let _ = self.epoll.delete(&stream);
        }
    }

    /// Answers a packet of no connection; a reset needs no answer.
    fn refuse(&mut self, header: &Header) {
        if header.op == Op::Reset {
            return;
        }
        self.refusals.push_back(Header {
            src_cid: header.dst_cid,
            dst_cid: header.src_cid,
            src_port: header.dst_port,
            dst_port: header.src_port,
            len: 0,
            socket_type: header.socket_type,
            op: Op::Reset,
            flags: 0,
            buf_alloc: 0,
            fwd_cnt: 0,
        });
    }

    /// As many connections leave no room for one more of this kind.
    fn limit(&self, to_the_app: bool) -> usize {
        self.max_connections + if to_the_app { 0 } else { MAX_PLATFORM_CONNECTIONS }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The guest is gone: an open transfer must not look complete.
        for (_, connection) in self.connections.drain() {
            connection.abort();
        }
    }
}

/// Whether the guest asked for it: the host's side of all others has an ephemeral port.
fn is_from_guest((host_port, _): Key) -> bool {
    host_port < FIRST_EPHEMERAL
}

fn header_to_guest((host_port, guest_port): Key) -> Header {
    Header {
        src_cid: HOST_CID,
        dst_cid: GUEST_CID,
        src_port: host_port,
        dst_port: guest_port,
        len: 0,
        socket_type: TYPE_STREAM,
        op: Op::Unknown(0),
        flags: 0,
        buf_alloc: 0,
        fwd_cnt: 0,
    }
}

/// A connection's epoll token. Host ports are services (16 bits) or ephemeral ones below 2³¹, so
/// the highest bit is free for [`LINGERING`].
fn token((host_port, guest_port): Key) -> u64 {
    (u64::from(host_port) << 32) | u64::from(guest_port)
}

fn key_of(token: u64) -> Key {
    let guest_port = u32::try_from(token & u64::from(u32::MAX)).expect("masked to 32 bits");
    let host_port = u32::try_from(token >> 32).expect("64 bits less 32");
    (host_port, guest_port)
}
