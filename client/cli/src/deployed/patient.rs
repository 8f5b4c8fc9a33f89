//! A reader that gives up on a source which says nothing.

use std::io::{self, ErrorKind, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Reads in a thread of its own, which ends with its source or once nobody takes what it has read.
pub(super) struct Patient {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    limit: Duration,
}

impl Patient {
    pub(super) fn new(mut source: impl Read + Send + 'static, limit: Duration) -> Self {
        let (tell, pieces) = sync_channel(1);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE];
                let read = source.read(&mut piece);
                let ended = !matches!(read, Ok(1..));
                let said = tell.send(read.map(|length| {
                    piece.truncate(length);
                    piece
                }));
                if ended || said.is_err() {
                    return;
                }
            }
        });
        Self { pieces, piece: io::Cursor::default(), limit }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.position() == self.piece.get_ref().len() as u64 {
            self.piece = match self.pieces.recv_timeout(self.limit) {
                Ok(piece) => io::Cursor::new(piece?),
                // It said its end before.
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) => {
                    let text = format!("nothing came for {} s", self.limit.as_secs());
                    return Err(io::Error::new(ErrorKind::TimedOut, text));
                }
            };
        }
        self.piece.read(buffer)
    }
}

const PIECE: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_whole_and_a_source_that_says_nothing_is_left() {
        let mut all = Vec::new();
        let bytes = vec![7; 3 * PIECE + 1];
        Patient::new(io::Cursor::new(bytes.clone()), Duration::from_mins(1)).read_to_end(&mut all).unwrap();
        assert!(all == bytes);

        let (silent, _kept_open) = std::os::unix::net::UnixStream::pair().unwrap();
        let error = Patient::new(silent, Duration::from_millis(1)).read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
