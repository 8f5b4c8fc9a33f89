//! EnclaveOS' resolver: asks the parent's, and passes on allowed addresses only.

use caution_abi::egress::{DNS_PORT, ENCLAVE, EgressRule, PARENT_RESOLVER, RESOLVER_PORT};
use caution_egress::dns::{MAX_QUERY, MAX_RESPONSE, Query, Step};
use caution_enclave_sys::poll::{self, Interest};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

/// The two sockets and what waits for an answer.
pub(super) struct Resolver {
    /// Where the app asks.
    inside: UdpSocket,
    /// Where we ask; the only socket whose packets the filter lets to the parent's resolver.
    outside: UdpSocket,
    rules: Vec<EgressRule>,
    /// By our number of the question.
    pending: BTreeMap<u16, Pending>,
    last: u16,
}

/// A question that was passed on.
struct Pending {
    query: Query,
    asker: SocketAddr,
    until: Instant,
}

impl Resolver {
    /// Takes the ports.
    pub(super) fn open(rules: Vec<EgressRule>) -> io::Result<Self> {
        let outside = UdpSocket::bind((ENCLAVE, RESOLVER_PORT))?;
        outside.connect((PARENT_RESOLVER, DNS_PORT))?;
        Self::with(UdpSocket::bind((Ipv4Addr::LOCALHOST, DNS_PORT))?, outside, rules)
    }

    fn with(inside: UdpSocket, outside: UdpSocket, rules: Vec<EgressRule>) -> io::Result<Self> {
        inside.set_nonblocking(true)?;
        outside.set_nonblocking(true)?;
        Ok(Self { inside, outside, rules, pending: BTreeMap::new(), last: 0 })
    }

    /// Answers for ever; returns only when waiting itself fails.
    pub(super) fn run(mut self) -> io::Error {
        let interest = Interest { read: true, write: false };
        loop {
            let next = self.pending.values().map(|pending| pending.until).min();
            let limit = next.map(|until| until.saturating_duration_since(Instant::now()));
            let sockets = [(self.inside.as_fd(), interest), (self.outside.as_fd(), interest)];
            if let Err(e) = poll::wait_for(sockets, limit) {
                return e;
            }
            self.take_questions();
            self.take_responses();
            self.give_up();
        }
    }

    fn take_questions(&mut self) {
        let mut message = [0; MAX_QUERY + 1];
        while let Some((length, asker)) = received(|| self.inside.recv_from(&mut message)) {
            let Some(query) = Query::parse(&message[..length]) else { continue };
            let answer = match query.step() {
                Step::Answer(answer) => answer,
                Step::Ask => match self.ask(query, asker) {
                    None => continue,
                    Some(query) => query.server_failure(),
                },
            };
            self.tell(&answer, asker);
        }
    }

    /// Passes a question on, or gives it back where that cannot be done.
    fn ask(&mut self, query: Query, asker: SocketAddr) -> Option<Query> {
        if self.pending.len() >= MAX_PENDING {
            return Some(query);
        }
        // There are far more numbers than questions pending.
        self.last = self.last.wrapping_add(1);
        while self.pending.contains_key(&self.last) {
            self.last = self.last.wrapping_add(1);
        }
        if self.outside.send(&query.upstream(self.last.to_be_bytes())).is_err() {
            return Some(query);
        }
        self.pending.insert(self.last, Pending { query, asker, until: Instant::now() + LIMIT });
        None
    }

    fn take_responses(&mut self) {
        let mut message = [0; MAX_RESPONSE as usize];
        while let Some(length) = received(|| self.outside.recv(&mut message)) {
            let message = &message[..length];
            let Some(id) = message.first_chunk::<2>() else { continue };
            let number = u16::from_be_bytes(*id);
            let Some(pending) = self.pending.get(&number) else { continue };
            let allowed = |address| self.rules.iter().any(|rule| rule.reaches(address));
            if let Some(answer) = pending.query.answer_from(*id, message, allowed) {
                self.tell(&answer, pending.asker);
                self.pending.remove(&number);
            }
        }
    }

    fn give_up(&mut self) {
        let now = Instant::now();
        let late = self.pending.extract_if(.., |_, pending| pending.until <= now).collect::<Vec<_>>();
        for (_, pending) in late {
            self.tell(&pending.query.server_failure(), pending.asker);
        }
    }

    /// An answer that cannot be delivered is lost, as datagrams are; its asker asks again.
    fn tell(&self, answer: &[u8], asker: SocketAddr) {
        let _ = self.inside.send_to(answer, asker);
    }
}

/// What was received; none where nothing more waits. That an earlier datagram found nobody is no
/// matter of this one.
fn received<T>(mut receive: impl FnMut() -> io::Result<T>) -> Option<T> {
    loop {
        match receive() {
            Ok(received) => return Some(received),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
            Err(_) => {}
        }
    }
}

/// Questions that wait for the parent's resolver at a time.
const MAX_PENDING: usize = 256;
/// How long each waits; less than the 5 s after which C libraries ask again.
const LIMIT: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;
    use caution_abi::egress::Protocol;
    use std::thread;

    /// A resolver at work: the app's socket and the parent's.
    fn resolving() -> (UdpSocket, UdpSocket) {
        let bind = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket
        };
        let (app, parent, inside, outside) = (bind(), bind(), bind(), bind());
        app.connect(inside.local_addr().unwrap()).unwrap();
        outside.connect(parent.local_addr().unwrap()).unwrap();
        parent.connect(outside.local_addr().unwrap()).unwrap();
        let network = "203.0.113.0/24".parse().unwrap();
        let rule = EgressRule { network, ports: (443, 443), protocol: Protocol::Tcp };
        let resolver = Resolver::with(inside, outside, vec![rule]).unwrap();
        thread::spawn(move || resolver.run());
        (app, parent)
    }

    fn question(id: u8) -> Vec<u8> {
        [&[0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &b"\x01a\x04test\0\0\x01\0\x01"[..]].concat()
    }

    /// The parent's response to what it received, with one address.
    fn response(upstream: &[u8], address: [u8; 4]) -> Vec<u8> {
        let question = &upstream[12..upstream.len() - 11];
        let record = [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4][..], &address].concat();
        [&upstream[..2], &[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0], question, &record].concat()
    }

    #[test]
    fn each_asker_gets_its_own_answer_and_only_allowed_addresses() {
        let (app, parent) = resolving();
        let mut message = [0; 600];
        let mut upstream = Vec::new();
        for id in [1, 2] {
            app.send(&question(id)).unwrap();
            let length = parent.recv(&mut message).unwrap();
            upstream.push(message[..length].to_vec());
        }
        // In the other order, and one of them not allowed.
        for (upstream, address) in [(&upstream[1], [203, 0, 113, 7]), (&upstream[0], [10, 0, 0, 1])] {
            parent.send(&response(upstream, address)).unwrap();
        }
        let length = app.recv(&mut message).unwrap();
        assert_eq!((message[1], message[3], &message[length - 4..length]), (2, 0x80, &[203, 0, 113, 7][..]));
        let length = app.recv(&mut message).unwrap();
        assert_eq!((message[1], message[3], length), (1, 0x85, question(1).len()));
    }

    #[test]
    fn a_parent_that_does_not_answer_is_given_up() {
        let (app, parent) = resolving();
        app.send(&question(1)).unwrap();
        let mut message = [0; 600];
        parent.recv(&mut message).unwrap();
        let length = app.recv(&mut message).unwrap();
        assert_eq!((message[1], message[3], length), (1, 0x82, question(1).len()));
    }

    #[test]
    fn questions_have_a_limit() {
        let (app, _parent) = resolving();
        let mut message = [0; 600];
        for _ in 0..MAX_PENDING {
            app.send(&question(1)).unwrap();
            // Lets no datagram be lost: this one is answered at once.
            app.send(&[&[0, 9], &question(9)[2..20], &[0, 28, 0, 1][..]].concat()).unwrap();
            app.recv(&mut message).unwrap();
            assert_eq!(message[1], 9);
        }
        app.send(&question(3)).unwrap();
        app.recv(&mut message).unwrap();
        assert_eq!((message[1], message[3]), (3, 0x82));
    }
}
