//! Forwarders: each declared TCP port of the app, reached over the vsock port of the same number.
//!
//! Bytes pass unchanged and in order. The end of one direction passes on while the other lives; a
//! broken connection breaks its partner. A side that does not read stops the other's sending: at
//! most [`BUFFER`] bytes a direction wait here.

use caution_enclave_sys::poll::{self, Interest};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Connects `outside` with the app's `port` until both directions have ended. Where nobody listens,
/// or one side breaks, both are reset as far as their sockets know of resets.
pub(crate) fn forward(outside: &TcpStream, port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let forwarded = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).and_then(|app| {
        app.set_nodelay(true)?;
        couple(outside, &app).inspect_err(|_| poll::reset_on_close(&app))
    });
    if forwarded.is_err() {
        poll::reset_on_close(outside);
    }
}

/// Copies both ways until both have ended; an error of either socket is an error of the pair.
fn couple(left: &TcpStream, right: &TcpStream) -> io::Result<()> {
    left.set_nonblocking(true)?;
    right.set_nonblocking(true)?;
    let (mut rightward, mut leftward) = (Direction::new(), Direction::new());
    while !(rightward.ended && leftward.ended) {
        poll::wait([
            (left, Interest { read: rightward.wants_read(), write: leftward.wants_write() }),
            (right, Interest { read: leftward.wants_read(), write: rightward.wants_write() }),
        ])?;
        rightward.advance(left, right)?;
        leftward.advance(right, left)?;
    }
    Ok(())
}

/// One direction: `buffer[start..end]` was read and waits to be written.
struct Direction {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The source has ended.
    source_ended: bool,
    /// The target has been told so.
    ended: bool,
}

impl Direction {
    fn new() -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { buffer, start: 0, end: 0, source_ended: false, ended: false }
    }

    fn wants_read(&self) -> bool {
        !self.source_ended && self.start == self.end
    }

    fn wants_write(&self) -> bool {
        self.start < self.end
    }

    /// Moves what can be moved now.
    fn advance(&mut self, mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
        if self.wants_read()
            && let Some(n) = ready(from.read(&mut self.buffer))?
        {
            (self.start, self.end) = (0, n);
            self.source_ended = n == 0;
        }
        if self.wants_write()
            && let Some(n) = ready(to.write(&self.buffer[self.start..self.end]))?
        {
            self.start += n;
        }
        if self.source_ended && !self.ended {
            // A target that has gone already needs no telling.
            match to.shutdown(Shutdown::Write) {
                Err(e) if e.kind() != ErrorKind::NotConnected => return Err(e),
                _ => self.ended = true,
            }
        }
        Ok(())
    }
}

/// None where the socket would have to wait.
fn ready(moved: io::Result<usize>) -> io::Result<Option<usize>> {
    match moved {
        Ok(n) => Ok(Some(n)),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Connections at a time, over all ports.
pub(crate) const MAX_CONNECTIONS: usize = 1024;
/// Bytes that wait in each direction.
const BUFFER: usize = 16 * 1024;
/// Loopback answers at once unless the app's queue is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// A client connected through a forwarder with an app.
    fn forwarded() -> (TcpStream, TcpStream, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (client, outside) = pair();
        let forwarder = thread::spawn(move || forward(&outside, port));
        (client, listener.accept().unwrap().0, forwarder)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn bytes_pass_unchanged_both_ways_at_once() {
        let (client, app, forwarder) = forwarded();
        let send = |stream: &TcpStream, bytes: Vec<u8>| {
            let mut stream = stream.try_clone().unwrap();
            thread::spawn(move || {
                stream.write_all(&bytes).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            })
        };
        let (there, back) = (noise(3_000_001), noise(2_000_003));
        let senders = [send(&client, there.clone()), send(&app, back.clone())];
        let receive = |mut stream: TcpStream| {
            thread::spawn(move || {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).unwrap();
                bytes
            })
        };
        let (client, app) = (receive(client), receive(app));
        assert!(client.join().unwrap() == back);
        assert!(app.join().unwrap() == there);
        for sender in senders {
            sender.join().unwrap();
        }
        forwarder.join().unwrap();
    }

    #[test]
    fn the_end_of_one_direction_passes_on_while_the_other_lives() {
        let (mut client, mut app, forwarder) = forwarded();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut question = String::new();
        app.read_to_string(&mut question).unwrap();
        assert_eq!(question, "question");
        app.write_all(b"answer").unwrap();
        drop(app);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "answer");
        forwarder.join().unwrap();
    }

    #[test]
    fn a_reset_is_not_taken_for_an_end() {
        let (mut client, app, forwarder) = forwarded();
        poll::reset_on_close(&app);
        drop(app);
        let read = client.read(&mut [0; 1]);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        forwarder.join().unwrap();
    }

    #[test]
    fn a_port_nobody_listens_on_resets_the_connection() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (mut client, outside) = pair();
        forward(&outside, port);
        drop(outside);
        assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
