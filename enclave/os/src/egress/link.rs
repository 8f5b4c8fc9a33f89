//! The stream of frames to the parent's network stack.

use caution_abi::ports::PARENT_EGRESS;
use caution_egress::frame::{self, BrokenStream, MAX_FRAME};
use caution_enclave_sys::vsock;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

/// A connection over which a gateway has answered.
pub(super) struct Link {
    stream: TcpStream,
    /// Frames to be sent; `waiting[sent..]` is left.
    waiting: Vec<u8>,
    sent: usize,
    /// `received[start..end]` was read and not yet looked at.
    received: Box<[u8]>,
    start: usize,
    end: usize,
    /// The parent's own addresses, as it says.
    host: Vec<Ipv4Addr>,
}

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LinkError {
    /// Nobody listens, or the connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The parent closed it.
    #[error("it ended the connection")]
    Ended,
    /// Something else than frames.
    #[error(transparent)]
    Broken(#[from] BrokenStream),
    /// A connection without a network behind it.
    #[error("its gateway did not answer within {} s", ANSWER_LIMIT.as_secs())]
    Silent,
}

impl Link {
    /// Connects to the parent and waits until its gateway answers.
    pub(super) fn open(parent: u32) -> Result<Self, LinkError> {
        Self::over(vsock::connect(parent, PARENT_EGRESS, CONNECT_LIMIT)?)
    }

    /// A link over a connected stream.
    fn over(stream: TcpStream) -> Result<Self, LinkError> {
        let mut link = Self {
            stream,
            waiting: Vec::new(),
            sent: 0,
            received: vec![0; RECEIVE].into_boxed_slice(),
            start: 0,
            end: 0,
            host: Vec::new(),
        };
        link.await_gateway()?;
        link.stream.set_read_timeout(None)?;
        link.stream.set_nonblocking(true)?;
        Ok(link)
    }

    fn await_gateway(&mut self) -> Result<(), LinkError> {
        let until = Instant::now() + ANSWER_LIMIT;
        let mut question = Vec::new();
        frame::ask_for_gateway(&mut question);
        self.stream.write_all(&question)?;
        loop {
            while let Some(frame) = self.next_frame()? {
                if frame::is_gateways_answer(frame) {
                    return Ok(());
                }
                if let Some(addresses) = frame::host(frame) {
                    self.host = addresses;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LinkError::Silent);
            }
            self.stream.set_read_timeout(Some(left))?;
            self.receive()?;
        }
    }

    /// The parent's own addresses, where it said any before its gateway answered.
    pub(super) fn host(&self) -> &[Ipv4Addr] {
        &self.host
    }

    /// The connection, to be waited for.
    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether there is something to send.
    pub(super) fn wants_to_send(&self) -> bool {
        self.sent < self.waiting.len()
    }

    /// Whether another packet may be added to what is to be sent.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() - self.sent < MAX_WAITING
    }

    /// Adds a packet.
    pub(super) fn add(&mut self, packet: &[u8]) {
        frame::wrap(packet, &mut self.waiting);
    }

    /// Sends what can be sent now.
    pub(super) fn send(&mut self) -> Result<(), LinkError> {
        while self.wants_to_send() {
            match self.stream.write(&self.waiting[self.sent..]) {
                Ok(0) => return Err(LinkError::Ended),
                Ok(n) => self.sent += n,
                Err(e) if is_transient(&e) => break,
                Err(e) => return Err(e.into()),
            }
        }
        self.waiting.drain(..self.sent);
        self.sent = 0;
        Ok(())
    }

    /// Reads once, where something can be read.
    pub(super) fn receive(&mut self) -> Result<(), LinkError> {
        // What is left is less than a frame, and the buffer holds two.
        self.received.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        match self.stream.read(&mut self.received[self.end..]) {
            Ok(0) => Err(LinkError::Ended),
            Ok(n) => {
                self.end += n;
                Ok(())
            }
            Err(e) if is_transient(&e) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The next whole frame that was received.
    pub(super) fn next_frame(&mut self) -> Result<Option<&[u8]>, BrokenStream> {
        let found = frame::split(&self.received[self.start..self.end])?;
        Ok(found.map(|(frame, length)| {
            self.start += length;
            frame
        }))
    }
}

/// A read with a time limit ends the same way as one that would have to wait.
fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A parent that listens accepts at once.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long the parent may take to start a network stack for us.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Bytes read at most at once; two of the longest frames fit.
const RECEIVE: usize = 2 * (4 + MAX_FRAME);
/// Bytes that wait to be sent before packets wait in the interface's own queue.
const MAX_WAITING: usize = 256 * 1024;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use caution_abi::egress::{ENCLAVE, ENCLAVE_MAC, GATEWAY, GATEWAY_MAC};
    use std::net::TcpListener;
    use std::thread;

    /// A connected pair: the enclave's end, the parent's.
    pub(in crate::egress) fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    /// The gateway's answer to the first question, with its length.
    pub(in crate::egress) fn answer() -> Vec<u8> {
        let answer = [0, 1, 8, 0, 6, 4, 0, 2];
        [
            &[0, 0, 0, 42][..],
            &ENCLAVE_MAC,
            &GATEWAY_MAC,
            &[8, 6],
            &answer,
            &GATEWAY_MAC,
            &GATEWAY.octets(),
            &ENCLAVE_MAC,
            &ENCLAVE.octets(),
        ]
        .concat()
    }

    /// A link whose gateway has answered, and the parent's end.
    pub(in crate::egress) fn linked() -> (Link, TcpStream) {
        let (ours, mut parent) = pair();
        parent.write_all(&answer()).unwrap();
        let link = Link::over(ours).unwrap();
        parent.read_exact(&mut [0; 46]).unwrap();
        (link, parent)
    }

    #[test]
    fn other_frames_may_come_before_the_gateways_answer() {
        let (ours, mut parent) = pair();
        let sender = thread::spawn(move || {
            let mut host = Vec::new();
            frame::announce_host(&[Ipv4Addr::new(10, 0, 0, 7)], &mut host);
            parent.write_all(&[&[0, 0, 0, 14][..], &[7; 14], &host].concat()).unwrap();
            for byte in answer() {
                parent.write_all(&[byte]).unwrap();
            }
            parent
        });
        let link = Link::over(ours).unwrap();
        assert_eq!(link.host(), [Ipv4Addr::new(10, 0, 0, 7)]);
        drop(sender.join());
    }

    #[test]
    fn a_parent_without_a_network_is_told_apart() {
        let (ours, parent) = pair();
        drop(parent);
        assert!(Link::over(ours).is_err());
        let (ours, mut parent) = pair();
        parent.write_all(b"HTTP/1.1 404 Not Found\r\n").unwrap();
        assert!(matches!(Link::over(ours), Err(LinkError::Broken(_))));
    }
}
