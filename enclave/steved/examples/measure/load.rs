//! Requests that were made before, and responses that are read and not opened: what a client does is not measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

/// A connection, and what was read of it and not used.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
}

impl Connection {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("a TCP connection");
        Self { stream, buffer: vec![0; 256 * 1024], at: 0, end: 0 }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it reads");
    }

    /// The next response, piece by piece.
    pub(crate) fn response(&mut self, mut take: impl FnMut(&[u8])) {
        let head = self.until(b"\r\n\r\n").to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if let Some(length) = length {
            return self.bytes(length.trim().parse().expect("a length"), &mut take);
        }
        loop {
            let line = self.until(b"\r\n");
            let length = u64::from_str_radix(line.trim(), 16).expect("a chunk's length");
            self.bytes(length, &mut take);
            self.until(b"\r\n");
            if length == 0 {
                return;
            }
        }
    }

    fn until(&mut self, mark: &[u8]) -> String {
        loop {
            let there = &self.buffer[self.at..self.end];
            if let Some(found) = there.windows(mark.len()).position(|window| window == mark) {
                let text = String::from_utf8_lossy(&there[..found]).into_owned();
                self.at += found + mark.len();
                return text;
            }
            self.more();
        }
    }

    fn bytes(&mut self, mut left: u64, take: &mut impl FnMut(&[u8])) {
        while left > 0 {
            if self.at == self.end {
                self.more();
            }
            let there = (self.end - self.at).min(usize::try_from(left).unwrap_or(usize::MAX));
            take(&self.buffer[self.at..self.at + there]);
            self.at += there;
            left -= there as u64;
        }
    }

    fn more(&mut self) {
        self.buffer.copy_within(self.at..self.end, 0);
        (self.end, self.at) = (self.end - self.at, 0);
        let read = self.stream.read(&mut self.buffer[self.end..]).expect("it answers");
        assert!(read > 0, "it closed the connection");
        self.end += read;
    }
}
