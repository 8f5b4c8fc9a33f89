//! A part of a file, read where it lies.

use caution_measure::Sha256Digest;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;

/// A range of a file with a position of its own; any number of them share one open file.
#[derive(Debug, Clone)]
pub struct Section {
    file: Arc<File>,
    start: u64,
    length: u64,
    position: u64,
}

impl Section {
    /// The range of `length` bytes from `start` on, at its beginning.
    pub fn new(file: Arc<File>, start: u64, length: u64) -> Self {
        Self { file, start, length, position: 0 }
    }

    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Digest of the whole range.
    pub(crate) fn digest(&self) -> io::Result<Sha256Digest> {
        let mut all = Self { position: 0, ..self.clone() };
        let mut sha256 = Sha256::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            match all.read(&mut buffer)? {
                0 => return Ok(Sha256Digest::new(sha256.finalize().into())),
                n => sha256.update(&buffer[..n]),
            }
        }
    }
}

impl Read for Section {
    /// A file that has become shorter than the range is an error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.file.read_at(&mut buffer[..wanted], self.start + self.position)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += n as u64;
        Ok(n)
    }
}

impl Seek for Section {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// What changes with a file, as far as its file system tells: a writer in the middle of a write, or one who
/// means to deceive and maps the file into memory, can change content without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl State {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

const BUFFER: usize = 256 * 1024;
