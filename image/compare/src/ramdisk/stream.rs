//! The bytes of archives that follow each other, whatever is compressed of them.

use super::unpack::{Beginning, Unpacker};
use super::{Budget, RamdiskError};
use std::io::{self, BufRead, Read};

/// What archives are read from.
pub(super) struct Stream<R: Read> {
    bytes: Bytes<R>,
    pub(super) budget: Budget,
}

enum Bytes<R: Read> {
    Plain(Buffered<R>),
    /// Buffered again, since headers are short and decoders are slow with short reads.
    Packed(Buffered<Unpacker<R>>),
}

/// What stands behind an archive.
pub(super) enum Next<R: Read> {
    Archive(Stream<R>),
    End(Budget),
}

impl<R: Read> Stream<R> {
    pub(super) fn new(input: R, budget: Budget) -> Self {
        Self { bytes: Bytes::Plain(Buffered::new(input)), budget }
    }

    /// Moves to where the next archive begins.
    pub(super) fn next_archive(mut self) -> Result<Next<R>, RamdiskError> {
        loop {
            self.skip_zeros()?;
            let magic = match &mut self.bytes {
                Bytes::Plain(input) => input.peek(MAGIC),
                Bytes::Packed(input) => input.peek(MAGIC),
            };
            let magic = magic.map_err(RamdiskError::from_io)?.to_vec();
            self.bytes = match (Beginning::of(&magic), self.bytes) {
                (Beginning::Archive, bytes) => {
                    return Ok(Next::Archive(Self { bytes, budget: self.budget }));
                }
                (Beginning::Packed(format), Bytes::Plain(input)) => {
                    Bytes::Packed(Buffered::new(Unpacker::new(format, input)))
                }
                (_, Bytes::Packed(input)) if magic.is_empty() => match input.input.into_inner() {
                    Some(rest) => Bytes::Plain(rest),
                    None => return Ok(Next::End(self.budget)),
                },
                (_, Bytes::Plain(_)) if magic.is_empty() => return Ok(Next::End(self.budget)),
                (Beginning::Unsupported(name), Bytes::Plain(_)) => {
                    return Err(RamdiskError::Unsupported(name));
                }
                _ => return Err(RamdiskError::Unknown(magic)),
            };
        }
    }

    fn skip_zeros(&mut self) -> Result<(), RamdiskError> {
        loop {
            let bytes: &mut dyn BufRead = match &mut self.bytes {
                Bytes::Plain(input) => input,
                Bytes::Packed(input) => input,
            };
            let buffered = bytes.fill_buf().map_err(RamdiskError::from_io)?;
            let zeros = buffered.iter().take_while(|byte| **byte == 0).count();
            bytes.consume(zeros);
            self.budget.take_bytes(zeros)?;
            if zeros == 0 {
                return Ok(());
            }
        }
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &mut self.bytes {
            Bytes::Plain(input) => input.read(buffer)?,
            Bytes::Packed(input) => input.read(buffer)?,
        };
        self.budget.take_bytes(n).map_err(RamdiskError::into_io)?;
        Ok(n)
    }
}

/// A buffer before a reader, of which several bytes can be seen before they are read.
pub(super) struct Buffered<R> {
    input: R,
    buffer: Box<[u8]>,
    at: usize,
    end: usize,
}

impl<R: Read> Buffered<R> {
    fn new(input: R) -> Self {
        Self { input, buffer: vec![0; BUFFER].into(), at: 0, end: 0 }
    }

    /// The next `count` bytes, or all there are.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.end - self.at < count {
            self.buffer.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(n) => self.end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.at..self.end.min(self.at + count)])
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
            self.end = self.input.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.at..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.end && buffer.len() >= self.buffer.len() {
            return self.input.read(buffer);
        }
        let n = self.fill_buf()?.read(buffer)?;
        self.consume(n);
        Ok(n)
    }
}

/// Of every form known here: xz has the longest.
const MAGIC: usize = 6;
const BUFFER: usize = 128 * 1024;
