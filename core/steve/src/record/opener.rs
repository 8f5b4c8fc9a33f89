//! Bytes in, records out.

use super::{Block, Kind, Record, aad};
use crate::error::RecordError;
use crate::hpke::TAG;
use crate::varint;

/// Opens one direction of an exchange: bytes in, records out, in order.
pub struct Opener {
    block: Block,
    max_sealed: usize,
    /// Bytes that came and are not opened: a part of one chunk, or the final one.
    waiting: Vec<u8>,
    /// How many bytes at the start of `waiting` are opened already.
    done: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A length comes next.
    Length,
    /// A chunk of this length comes next.
    Chunk(usize),
    /// The rest of the stream is the final chunk.
    Final,
    /// The final chunk was opened, or the stream broke.
    Ended,
}

impl Opener {
    pub(crate) fn new(block: Block, max_chunk: u32) -> Self {
        let max_sealed = max_chunk as usize + 1 + TAG;
        Self { block, max_sealed, waiting: Vec::new(), done: 0, state: State::Length }
    }

    /// Takes bytes of the stream. Call [`Opener::next_record`] until there is none before the next
    /// bytes: so no more than these and one chunk ever wait here.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        if self.state == State::Ended && !bytes.is_empty() {
            return Err(RecordError::AfterEnd);
        }
        self.waiting.drain(..self.done);
        self.done = 0;
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// The next record that is there as a whole. An error ends the stream.
    pub fn next_record(&mut self) -> Result<Option<Record>, RecordError> {
        self.advance().inspect_err(|_| self.break_off())
    }

    /// The stream has ended: what is left of it, record after record, then none. The last of them is
    /// the final one, or there is an error.
    pub fn end(&mut self) -> Result<Option<Record>, RecordError> {
        if let Some(record) = self.next_record()? {
            return Ok(Some(record));
        }
        match self.state {
            State::Ended => return Ok(None),
            State::Final => {}
            State::Length | State::Chunk(_) => {
                self.break_off();
                return Err(RecordError::Truncated);
            }
        }
        let length = self.waiting.len() - self.done;
        let record = self.open(length, true);
        self.break_off();
        record.map(Some)
    }

    /// Whether nothing that came waits to be opened.
    pub fn is_empty(&self) -> bool {
        self.done == self.waiting.len()
    }

    /// Takes a message of what keeps the borders of messages, a WebSocket: exactly one chunk.
    pub fn message(&mut self, bytes: &[u8]) -> Result<Record, RecordError> {
        self.feed(bytes)?;
        let record = match self.next_record()? {
            Some(record) => record,
            None => self.end()?.ok_or(RecordError::Truncated)?,
        };
        if self.is_empty() {
            return Ok(record);
        }
        self.break_off();
        Err(RecordError::Length)
    }

    fn advance(&mut self) -> Result<Option<Record>, RecordError> {
        if self.state == State::Length {
            match varint::read(&self.waiting[self.done..]).map_err(|_| RecordError::Length)? {
                None => return Ok(None),
                Some((0, used)) => {
                    self.done += used;
                    self.state = State::Final;
                }
                Some((length, used)) => {
                    self.check(length)?;
                    self.done += used;
                    self.state = State::Chunk(length);
                }
            }
        }
        let there = self.waiting.len() - self.done;
        match self.state {
            State::Chunk(length) if there >= length => {
                let record = self.open(length, false)?;
                self.state = State::Length;
                Ok(Some(record))
            }
            State::Final => self.check(there).map(|()| None),
            State::Length | State::Chunk(_) | State::Ended => Ok(None),
        }
    }

    fn check(&self, length: usize) -> Result<(), RecordError> {
        if length > self.max_sealed {
            return Err(RecordError::TooLong { length, most: self.max_sealed });
        }
        Ok(())
    }

    fn open(&mut self, length: usize, last: bool) -> Result<Record, RecordError> {
        let sealed = &mut self.waiting[self.done..self.done + length];
        let inner = self
            .block
            .next(|key, nonce| key.open_in_place(nonce, aad(last), sealed))
            .map_err(|_| RecordError::NotAuthentic)?;
        // Padding is zeros, a type is not.
        let at = inner.iter().rposition(|byte| *byte != 0).ok_or(RecordError::Type(0))?;
        let kind = Kind::from_byte(inner[at])?;
        let content = inner[..at].to_vec();
        erase(inner);
        self.done += length;
        Ok(Record { kind, content, last })
    }

    fn break_off(&mut self) {
        self.state = State::Ended;
        erase(&mut self.waiting);
        self.waiting.clear();
        self.done = 0;
    }
}

/// Overwrites what was secret. As a whole: `zeroize` writes byte by byte, which takes longer than opening a chunk.
fn erase(bytes: &mut [u8]) {
    bytes.fill(0);
    // Somebody might still look, as far as the compiler knows.
    std::hint::black_box(bytes);
}
