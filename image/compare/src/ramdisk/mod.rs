//! Ramdisks as Linux unpacks them: archives that follow each other, each compressed or not.
//!
//! The rules are those of `init/initramfs.c` and `Documentation/driver-api/early-userspace/buffer-format.rst`: zeros
//! stand between archives, a compressed part may follow one that is not, and a compressed part can hold several
//! archives. Somewhat more than Linux takes is read: streams of one form that follow each other count as one, so an
//! archive may go on in the next.

mod error;
mod stream;
#[cfg(test)]
mod tests;
mod unpack;

use crate::entry::{Entry, Kind};
use caution_rootfs::Limits;
use caution_rootfs::cpio::{EntryKind, Reader, ReaderEntry};
pub use error::RamdiskError;
use std::collections::HashMap;
use std::io::{self, Read};
use stream::{Next, Stream};
pub(crate) use unpack::Beginning;

/// How much may still be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    limits: Limits,
    entries: u64,
    metadata_bytes: u64,
    uncompressed_bytes: u64,
}

impl Budget {
    /// As much as the limits allow.
    pub fn new(limits: &Limits) -> Self {
        let Limits { entries, metadata_bytes, uncompressed_bytes, .. } = *limits;
        Self { limits: *limits, entries, metadata_bytes, uncompressed_bytes }
    }

    /// Counts an entry, and the bytes of its path and link target.
    pub(crate) fn take_entry(&mut self, bytes: usize) -> Result<(), RamdiskError> {
        let Limits { entries, metadata_bytes, .. } = self.limits;
        self.entries = self.entries.checked_sub(1).ok_or(RamdiskError::Limit {
            name: "entries",
            what: "entries",
            most: entries,
        })?;
        self.metadata_bytes = self.metadata_bytes.checked_sub(bytes as u64).ok_or(RamdiskError::Limit {
            name: "metadata_bytes",
            what: "bytes of paths and link targets",
            most: metadata_bytes,
        })?;
        Ok(())
    }

    fn take_bytes(&mut self, bytes: usize) -> Result<(), RamdiskError> {
        let most = self.limits.uncompressed_bytes;
        self.uncompressed_bytes = self
            .uncompressed_bytes
            .checked_sub(bytes as u64)
            .ok_or(RamdiskError::Limit { name: "uncompressed_bytes", what: "bytes once unpacked", most })?;
        Ok(())
    }
}

/// Reads the entries of a ramdisk in the order they stand in it, with bounded memory.
///
/// Between two entries it is a reader of the content of the first.
pub struct Ramdisk<R: Read> {
    /// `None` once something failed.
    state: Option<State<R>>,
    /// Of the entry at hand.
    content: Content,
    links: Links,
}

enum State<R: Read> {
    Inside(Reader<Stream<R>>),
    Between(Stream<R>),
    Ended(Budget),
}

/// Content of the entry at hand, as far as it was read.
#[derive(Default)]
struct Content {
    left: u64,
    sum: u32,
    /// The path, and the sum that its header names.
    check: Option<(Vec<u8>, u32)>,
}

/// Numbers for files that have several names. An inode number means something within one archive.
#[derive(Default)]
struct Links {
    known: HashMap<(u32, u32, u32), u64>,
    count: u64,
}

impl<R: Read> Ramdisk<R> {
    /// A reader at the beginning of a ramdisk.
    pub fn new(input: R, budget: Budget) -> Self {
        let state = Some(State::Between(Stream::new(input, budget)));
        Self { state, content: Content::default(), links: Links::default() }
    }

    /// The next entry; content that was not read is skipped. `None` at the end.
    ///
    /// # Errors
    /// A [`RamdiskError`], after which there is nothing more to read.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, RamdiskError> {
        self.content = Content::default();
        while let Some(state) = self.state.take() {
            match state {
                State::Inside(mut reader) => match reader.next_entry()? {
                    Some(found) => {
                        let target =
                            if let EntryKind::Symlink(target) = &found.entry.kind { target.len() } else { 0 };
                        reader.input_mut().budget.take_entry(found.entry.path.len() + target)?;
                        self.state = Some(State::Inside(reader));
                        return Ok(Some(self.entry(found)));
                    }
                    None => self.state = Some(State::Between(reader.into_rest()?)),
                },
                State::Between(stream) => match stream.next_archive()? {
                    Next::Archive(mut stream) => {
                        // An archive without entries costs something, too.
                        stream.budget.take_entry(0)?;
                        self.links.known.clear();
                        self.state = Some(State::Inside(Reader::new(stream)));
                    }
                    Next::End(budget) => self.state = Some(State::Ended(budget)),
                },
                State::Ended(budget) => {
                    self.state = Some(State::Ended(budget));
                    break;
                }
            }
        }
        Ok(None)
    }

    /// What is left of the budget once [`Ramdisk::next_entry`] has said `None`.
    pub fn budget(&self) -> Option<Budget> {
        if let Some(State::Ended(budget)) = &self.state { Some(*budget) } else { None }
    }

    fn entry(&mut self, found: ReaderEntry) -> Entry {
        let ReaderEntry { entry, inode, mtime, device: (major, minor), check, .. } = found;
        let kind = match entry.kind {
            EntryKind::File { size } => Kind::File { size, group: None },
            EntryKind::HardLink { size, .. } => {
                Kind::File { size, group: Some(self.links.number((major, minor, inode))) }
            }
            EntryKind::Directory => Kind::Directory,
            EntryKind::Symlink(target) => Kind::Symlink(target),
            EntryKind::CharDevice { major, minor } => Kind::CharDevice { major, minor },
            EntryKind::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
            EntryKind::Fifo => Kind::Fifo,
        };
        if let Kind::File { size, .. } = &kind {
            self.content.left = *size;
            self.content.check = check.map(|sum| (entry.path.clone(), sum));
        }
        let mode = entry.mode & 0o7777;
        Entry { path: entry.path, kind, mode, uid: entry.uid, gid: entry.gid, mtime: Some(mtime.into()) }
    }
}

impl Links {
    fn number(&mut self, inode: (u32, u32, u32)) -> u64 {
        *self.known.entry(inode).or_insert_with(|| {
            self.count += 1;
            self.count
        })
    }
}

/// The content of the entry at hand.
impl<R: Read> Read for Ramdisk<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(State::Inside(reader)) = &mut self.state else { return Ok(0) };
        let n = reader.read(buffer)?;
        let content = &mut self.content;
        content.left = content.left.saturating_sub(n as u64);
        if let Some((path, expected)) = &content.check {
            for byte in &buffer[..n] {
                content.sum = content.sum.wrapping_add((*byte).into());
            }
            if n > 0 && content.left == 0 && content.sum != *expected {
                return Err(RamdiskError::Checksum(path.clone()).into_io());
            }
        }
        Ok(n)
    }
}
