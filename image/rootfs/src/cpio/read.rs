//! Reading archives back, for comparisons and tests.

use super::{
    CHECKED_MAGIC, CpioError, Entry, EntryKind, HEADER_SIZE, MAGIC, PATH_MAX, S_IFBLK, S_IFCHR, S_IFDIR,
    S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, TRAILER,
};
use crate::bounded;
use std::io::{self, Read};

/// Reads a newc archive entry by entry with bounded memory.
///
/// It takes what the kernel takes, not only canonical archives; hard links keep the inode number as their group.
pub struct Reader<R: Read> {
    input: R,
    position: u64,
    /// Content of the entry at hand that was not read yet, without padding.
    content: u64,
    padding: u64,
    ended: bool,
}

/// An entry with the numbers that a canonical archive fixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderEntry {
    /// The entry. A hard link's `size` is what this name stores: 0 for all but one name of a file.
    pub entry: Entry,
    /// Inode number.
    pub inode: u32,
    /// Link count.
    pub links: u32,
    /// Modification time, seconds since the epoch.
    pub mtime: u32,
    /// Major and minor number of the device the inode number belongs to.
    pub device: (u32, u32),
    /// In archives of the `070702` kind the sum of the content's bytes, modulo 2³².
    pub check: Option<u32>,
}

impl<R: Read> Reader<R> {
    /// A reader at the start of an archive.
    pub fn new(input: R) -> Self {
        Self { input, position: 0, content: 0, padding: 0, ended: false }
    }

    /// The next entry, or `None` at the trailer. Content that was not read is skipped.
    pub fn next_entry(&mut self) -> Result<Option<ReaderEntry>, CpioError> {
        if self.ended {
            return Ok(None);
        }
        self.skip_content()?;
        let offset = self.position;
        let malformed = |reason| CpioError::Malformed { offset, reason };
        let mut header = [0u8; HEADER_SIZE];
        self.exact(&mut header)?;
        let (magic, digits) = header.split_at(MAGIC.len());
        if magic != MAGIC && magic != CHECKED_MAGIC {
            return Err(malformed("an entry must begin with 070701 or 070702"));
        }
        let mut fields = [0u32; 13];
        for (field, digits) in fields.iter_mut().zip(digits.chunks_exact(8)) {
            *field = hex(digits).ok_or_else(|| malformed("a number is not eight hex digits"))?;
        }
        let [inode, mode, uid, gid, links, mtime, size, d_major, d_minor, major, minor, name_size, check] =
            fields;
        let name_size = name_size as usize;
        if !(2..=PATH_MAX).contains(&name_size) {
            return Err(malformed("a path's length is impossible"));
        }
        let mut path = vec![0; name_size];
        self.exact(&mut path)?;
        if path.pop() != Some(0) || path.contains(&0) {
            return Err(malformed("a path does not end with its only NUL"));
        }
        self.skip(self.position.next_multiple_of(4) - self.position)?;
        self.content = size.into();
        self.padding = u64::from(size).next_multiple_of(4) - u64::from(size);
        if path == TRAILER {
            self.ended = true;
            return Ok(None);
        }
        let kind = match mode & S_IFMT {
            S_IFREG if links > 1 => {
                EntryKind::HardLink { group: inode.into(), names: links, size: size.into() }
            }
            S_IFREG => EntryKind::File { size: size.into() },
            S_IFDIR => EntryKind::Directory,
            S_IFLNK => EntryKind::Symlink(self.target().map_err(|reason| reason.at(offset))?),
            S_IFCHR => EntryKind::CharDevice { major, minor },
            S_IFBLK => EntryKind::BlockDevice { major, minor },
            S_IFIFO => EntryKind::Fifo,
            _ => return Err(malformed("a file type is unknown")),
        };
        let entry = Entry { path, kind, mode: mode & !S_IFMT, uid, gid };
        let check = (magic == CHECKED_MAGIC).then_some(check);
        Ok(Some(ReaderEntry { entry, inode, links, mtime, device: (d_major, d_minor), check }))
    }

    /// The input, for its own settings: reading from it would lose the place in the archive.
    pub fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// The input behind the archive's trailer, where another archive may follow.
    pub fn into_rest(mut self) -> Result<R, CpioError> {
        while self.next_entry()?.is_some() {}
        // A trailer can claim content; the kernel skips it.
        self.skip_content()?;
        Ok(self.input)
    }

    /// Reads the rest after the trailer and returns the input; anything but zeros is refused.
    pub fn finish(mut self) -> Result<R, CpioError> {
        while self.next_entry()?.is_some() {}
        let mut buffer = [0; 4096];
        loop {
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(self.input),
                Ok(n) if buffer[..n].iter().all(|b| *b == 0) => self.position += n as u64,
                Ok(_) => {
                    return Err(CpioError::Malformed {
                        offset: self.position,
                        reason: "something follows the archive's end",
                    });
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(failed(source)),
            }
        }
    }

    fn target(&mut self) -> Result<Vec<u8>, TargetError> {
        if !(1..PATH_MAX as u64).contains(&self.content) {
            return Err(TargetError::Length);
        }
        let mut target = Vec::new();
        self.by_ref().read_to_end(&mut target).map_err(TargetError::Io)?;
        Ok(target)
    }

    fn skip_content(&mut self) -> Result<(), CpioError> {
        let left = self.content + self.padding;
        (self.content, self.padding) = (0, 0);
        self.skip(left)
    }

    fn skip(&mut self, count: u64) -> Result<(), CpioError> {
        let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink()).map_err(failed)?;
        self.position += skipped;
        if skipped < count {
            return Err(CpioError::Malformed { offset: self.position, reason: "the archive is truncated" });
        }
        Ok(())
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), CpioError> {
        self.input.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                CpioError::Malformed { offset: self.position, reason: "the archive is truncated" }
            }
            _ => failed(error),
        })?;
        self.position += buffer.len() as u64;
        Ok(())
    }
}

/// The content of the entry at hand.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        bounded::read(&mut self.input, &mut self.content, &mut self.position, buffer)
    }
}

enum TargetError {
    Length,
    Io(io::Error),
}

impl TargetError {
    fn at(self, offset: u64) -> CpioError {
        match self {
            Self::Length => CpioError::Malformed { offset, reason: "a link target's length is impossible" },
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                CpioError::Malformed { offset, reason: "the archive is truncated" }
            }
            Self::Io(source) => failed(source),
        }
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

fn failed(source: io::Error) -> CpioError {
    CpioError::Io { doing: "read", source }
}
