//! Connections between sockets of this machine and of an enclave: one thread, one epoll, no copy of ours.
//!
//! ```text
//! client ──▶ HostStream ══Flow══▶ socket ──▶ port of the enclave      asked for by Connector
//! service ◀── HostStream ◀══Flow══ socket ◀── enclave                  arrived at a port of the parent
//! ```
//! It knows nothing of vsock: who dials gives it a socket of any kind. What vsock cannot say, it cannot pass on: the
//! reset of a client reaches the enclave as an end (`specs/host.md`).

use super::flow::{Flow, Moved, Pipes};
use crate::driver::{
    Connect, Connector, HostStream, MAX_CONNECTIONS, MAX_FROM_GUEST, MAX_PLATFORM_CONNECTIONS, PATIENCE,
    Patience, Services,
};
use crate::error::HostError;
use crate::run::Message;
use caution_abi::ports::leads_to_the_app;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{getsockopt, sockopt};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::JoinHandle;

/// Begins to connect to a port of the enclave: a socket that never blocks, writable when it is connected.
pub(super) type Dial = Box<dyn Fn(u32) -> io::Result<OwnedFd> + Send>;

/// The bridge of one enclave; every connection is reset when it is dropped.
#[derive(Debug)]
pub(super) struct Bridge {
    connector: Connector,
    arrivals: Arrivals,
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

/// Takes connections that the enclave made to ports of its parent; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Arrivals {
    sender: Sender<(u32, OwnedFd)>,
    wake: Arc<EventFd>,
}

impl Arrivals {
    /// Takes a socket that never blocks.
    pub(super) fn arrived(&self, port: u32, socket: OwnedFd) {
        // Fails only when the bridge is gone, and closes the socket.
        if self.sender.send((port, socket)).is_ok() {
            let _ = self.wake.write(1);
        }
    }
}

impl Bridge {
    /// `messages` hears of connections that were refused.
    pub(super) fn start(
        dial: Dial,
        services: Services,
        messages: SyncSender<Message>,
    ) -> Result<Self, HostError> {
        let failed = |cause| HostError::System { doing: "Starting the bridge to the enclave", cause };
        let (commands, asked) = channel();
        let (sender, arrived) = channel();
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let wake = Arc::new(wake.map_err(|e| failed(e.into()))?);
        let (quit, ended) = UnixStream::pair().map_err(failed)?;
        let hub = Hub::new(dial, services, messages, &wake, &ended).map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("bridge".to_owned())
            .spawn(move || hub.run(&asked, &arrived, &ended))
            .map_err(failed)?;
        let connector = Connector::new(commands, Arc::clone(&wake));
        Ok(Self { connector, arrivals: Arrivals { sender, wake }, quit: Some(quit), thread: Some(thread) })
    }

    pub(super) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    pub(super) fn arrivals(&self) -> Arrivals {
        self.arrivals.clone()
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A connection.
#[derive(Debug)]
struct Link {
    host: HostStream,
    guest: OwnedFd,
    out: Flow,
    back: Flow,
    /// Whether both sockets are connected.
    open: bool,
    /// Whether the other end of a socket takes nothing more either: the guest's, the host's.
    gone: [bool; 2],
    from_guest: bool,
    /// Whether it waits for its turn.
    queued: bool,
}

impl Link {
    fn new(host: HostStream, guest: OwnedFd, out: Flow, from_guest: bool) -> Self {
        Self {
            host,
            guest,
            out,
            back: Flow::default(),
            open: false,
            gone: [false; 2],
            from_guest,
            queued: false,
        }
    }
}

struct Hub {
    dial: Dial,
    services: Services,
    messages: SyncSender<Message>,
    /// Connections refused because too many were open.
    refused: u64,
    links: HashMap<u64, Link>,
    next: u64,
    from_guest: usize,
    /// Links that can go on, each once, in turn.
    ready: VecDeque<u64>,
    asked: Patience<u64>,
    pipes: Pipes,
    wake: Arc<EventFd>,
    epoll: Epoll,
}

impl Hub {
    fn new(
        dial: Dial,
        services: Services,
        messages: SyncSender<Message>,
        wake: &Arc<EventFd>,
        ended: &UnixStream,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let asked = Patience::new(PATIENCE)?;
        epoll.add(wake, EpollEvent::new(EpollFlags::EPOLLIN, WAKE))?;
        epoll.add(&asked, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        epoll.add(ended, EpollEvent::new(EpollFlags::EPOLLIN, QUIT))?;
        Ok(Self {
            dial,
            services,
            messages,
            refused: 0,
            links: HashMap::new(),
            next: 0,
            from_guest: 0,
            ready: VecDeque::new(),
            asked,
            pipes: Pipes::new(),
            wake: Arc::clone(wake),
            epoll,
        })
    }

    /// Runs until the other end of `_ended` is closed, then resets what is open.
    fn run(mut self, commands: &Receiver<Connect>, arrived: &Receiver<(u32, OwnedFd)>, _ended: &UnixStream) {
        let mut events = [EpollEvent::empty(); 64];
        'run: loop {
            let timeout = if self.ready.is_empty() { EpollTimeout::NONE } else { EpollTimeout::ZERO };
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(_) => break,
            };
            for event in &events[..count] {
                match event.data() {
                    QUIT => break 'run,
                    TIMER => self.give_up_overdue(),
                    WAKE => {
                        // Before looking: what comes later wakes again.
                        let _ = self.wake.read();
                        for command in commands.try_iter() {
                            self.connect(command);
                        }
                        for (port, socket) in arrived.try_iter() {
                            self.accept(port, socket);
                        }
                    }
                    token => self.happened(token >> 1, token & OF_HOST != 0, event.events()),
                }
            }
            for _ in 0..self.ready.len() {
                let Some(id) = self.ready.pop_front() else { break };
                if let Some(link) = self.links.get_mut(&id) {
                    link.queued = false;
                    self.pump(id);
                }
            }
        }
        for (_, link) in self.links.drain() {
            link.host.abort();
        }
    }

    /// Connects `stream` to a port of the enclave. A stream that cannot be taken is reset.
    fn connect(&mut self, Connect { port, stream }: Connect) {
        let to_the_app = u16::try_from(port).is_ok_and(leads_to_the_app);
        let limit = MAX_CONNECTIONS + if to_the_app { 0 } else { MAX_PLATFORM_CONNECTIONS };
        if self.links.len() >= limit {
            self.refused += 1;
            // Less and less often, so that a flood of connections is none of lines.
            if self.refused.is_power_of_two() {
                let _ = self.messages.try_send(Message::Refused(self.refused));
            }
            return stream.abort();
        }
        let Ok(guest) = (self.dial)(port) else { return stream.abort() };
        let before = match &stream {
            HostStream::Announced { before, .. } => before.as_slice(),
            _ => &[],
        };
        let Ok(out) = Flow::with(before, &mut self.pipes) else { return stream.abort() };
        if let Some(id) = self.insert(Link::new(stream, guest, out, false)) {
            let links = &self.links;
            self.asked.ask(id, |id| links.get(id).is_none_or(|link| link.open));
        }
    }

    /// Takes a connection of the enclave's making to a port of its parent.
    fn accept(&mut self, port: u32, guest: OwnedFd) {
        let room =
            self.from_guest < MAX_FROM_GUEST && self.links.len() < MAX_CONNECTIONS + MAX_PLATFORM_CONNECTIONS;
        let service = self.services.get(&port).filter(|_| room);
        let Some((service, (host, theirs))) = service.zip(HostStream::pair().ok()) else { return };
        if service.try_send(theirs).is_err() {
            return;
        }
        self.from_guest += 1;
        if let Some(id) = self.insert(Link::new(host, guest, Flow::default(), true)) {
            self.open(id);
        }
    }

    fn insert(&mut self, link: Link) -> Option<u64> {
        let id = self.next;
        self.next += 1;
        if self.epoll.add(&link.guest, EpollEvent::new(EDGES, id << 1)).is_err() {
            self.from_guest -= usize::from(link.from_guest);
            link.host.abort();
            return None;
        }
        self.links.insert(id, link);
        Some(id)
    }

    fn happened(&mut self, id: u64, of_host: bool, flags: EpollFlags) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let gone = flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
        link.gone[usize::from(of_host)] |= gone;
        if link.open {
            return self.pump(id);
        }
        let settled = EpollFlags::EPOLLOUT | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        if flags.intersects(settled) {
            match getsockopt(&link.guest, sockopt::SocketError) {
                Ok(0) if flags.contains(EpollFlags::EPOLLOUT) => self.open(id),
                _ => self.reset(id),
            }
        }
    }

    /// Both sockets are connected.
    fn open(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.open = true;
        match self.epoll.add(&link.host, EpollEvent::new(EDGES, id << 1 | OF_HOST)) {
            Ok(()) => self.pump(id),
            Err(_) => self.reset(id),
        }
    }

    /// Moves bytes both ways.
    fn pump(&mut self, id: u64) {
        let count = self.links.len();
        let Some(link) = self.links.get_mut(&id) else { return };
        let (host, guest) = (link.host.as_fd(), link.guest.as_fd());
        self.pipes.share_among(count);
        let out = link.out.run(host, guest, &mut self.pipes);
        let back = link.back.run(guest, host, &mut self.pipes);
        match (out, back) {
            (Ok(out), Ok(back)) => {
                let (out_ended, back_ended) = (out == Moved::Ended, back == Moved::Ended);
                // Nobody is left to take what the other side might still say.
                let [guest_gone, host_gone] = link.gone;
                if out_ended && (back_ended || host_gone) || back_ended && guest_gone {
                    return drop(self.take_out(id));
                }
                if (out == Moved::MayGoOn || back == Moved::MayGoOn) && !link.queued {
                    link.queued = true;
                    self.ready.push_back(id);
                }
            }
            _ => self.reset(id),
        }
    }

    fn reset(&mut self, id: u64) {
        if let Some(link) = self.take_out(id) {
            link.host.abort();
        }
    }

    /// Closing a socket takes it out of the epoll, too: no other descriptor of it exists here.
    fn take_out(&mut self, id: u64) -> Option<Link> {
        let link = self.links.remove(&id)?;
        self.from_guest -= usize::from(link.from_guest);
        Some(link)
    }

    /// Gives up connections that the enclave was asked for and did not answer.
    fn give_up_overdue(&mut self) {
        while let Some(id) = self.asked.overdue() {
            if self.links.get(&id).is_some_and(|link| !link.open) {
                self.reset(id);
            }
        }
    }
}

/// The bit of a token that tells a link's sockets apart.
const OF_HOST: u64 = 1;
/// Tokens that are no link's.
const WAKE: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
const QUIT: u64 = u64::MAX - 2;
/// What is told of a socket, once each time it changes.
const EDGES: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);
