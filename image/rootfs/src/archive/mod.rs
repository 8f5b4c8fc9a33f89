//! Reading tar archives that nobody vouches for.
//!
//! Its own reader rather than a library's: extension headers must be bounded before they are read into
//! memory, and what is not understood must be refused by name. Sources of the format: POSIX.1-2017 `pax`,
//! the GNU tar manual ("Basic Tar Format", "Storing Sparse Files"), and for what tools make of ambiguous
//! archives Go's `archive/tar`, which every container engine uses.

mod error;
mod header;
mod pax;
mod sparse;

use crate::bounded;
use crate::cpio::display;
pub use error::TarError;
use header::{BLOCK, Block};
use pax::Pax;
pub use sparse::SparseMap;
use std::io::{self, Read, Seek, SeekFrom};

/// One member of an archive.
#[derive(Debug)]
pub struct Member {
    /// The name as it stands in the archive. Like a link's target it holds no NUL.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Names of the extended attributes.
    pub(crate) xattrs: Vec<Vec<u8>>,
    /// Where in the archive the content begins.
    pub(crate) data_offset: u64,
}

/// What a member is.
#[derive(Debug)]
pub enum MemberKind {
    /// A regular file.
    File {
        /// Length of the file; that of the stored content where there are no holes.
        size: u64,
        /// Which parts are stored, where not all are.
        holes: Option<SparseMap>,
    },
    /// Another name of the member that is named.
    HardLink(Vec<u8>),
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A folder.
    Directory,
    /// A named pipe.
    Fifo,
}

/// What global extended headers say, about the archive as a whole.
#[derive(Debug, Default)]
pub struct Globals {
    /// The comment: `git archive` writes the commit's id there.
    pub comment: Option<Vec<u8>>,
    /// Whether there was a second comment, any other record or a malformed header: something that tools
    /// disagree about.
    pub others: bool,
}

/// Reads an archive member by member. As a `Read` it gives the stored content of the member at hand.
pub struct Reader<R> {
    input: R,
    skip: fn(&mut R, u64) -> io::Result<u64>,
    extension_limit: u64,
    position: u64,
    content: u64,
    padding: u64,
    ended: bool,
    globals: Globals,
}

impl<R: Read> Reader<R> {
    /// A reader of an archive, with a limit on the bytes of extended headers before one member.
    pub fn new(input: R, extension_limit: u64) -> Self {
        Self::with_skip(input, extension_limit, |input, count| {
            io::copy(&mut input.take(count), &mut io::sink())
        })
    }

    fn with_skip(input: R, extension_limit: u64, skip: fn(&mut R, u64) -> io::Result<u64>) -> Self {
        Self {
            input,
            skip,
            extension_limit,
            position: 0,
            content: 0,
            padding: 0,
            ended: false,
            globals: Globals::default(),
        }
    }

    /// The next member, or `None` at the end; content that was not read is skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let mut extensions = Extensions::default();
        loop {
            self.skip_content()?;
            let position = self.position;
            let Some(block) = self.header()? else {
                self.ended = true;
                // A name without its member.
                return if extensions.length > 0 { Err(TarError::Truncated { position }) } else { Ok(None) };
            };
            let size = block.size(position)?;
            match block.type_flag() {
                b'x' | b'X' => {
                    let records = self.extension(size, &mut extensions)?;
                    extensions.pax.add(&records, position)?;
                }
                // Go's reader hands global headers to engines, which ignore them; so does what reads layers.
                b'g' => {
                    let records = self.extension(size, &mut extensions)?;
                    pax::add_globals(&mut self.globals, &records);
                }
                b'L' => extensions.path = Some(until_nul(self.extension(size, &mut extensions)?)),
                b'K' => extensions.link = Some(until_nul(self.extension(size, &mut extensions)?)),
                _ => return self.member(&block, position, size, extensions).map(Some),
            }
        }
    }

    /// What the global headers so far say.
    pub const fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Reads what follows the last member and returns the input; anything but zeros is refused.
    pub fn finish(mut self) -> Result<R, TarError> {
        while self.next_member()?.is_some() {}
        let end = self.position;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match self.input.read(&mut buffer) {
                Ok(0) => return Ok(self.input),
                Ok(n) if buffer[..n].iter().all(|b| *b == 0) => {}
                Ok(_) => return Err(TarError::TrailingData { position: end }),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TarError::Io(e)),
            }
        }
    }

    fn member(
        &mut self,
        block: &Block,
        position: u64,
        size: u64,
        extensions: Extensions,
    ) -> Result<Member, TarError> {
        let Extensions { path, link, pax, .. } = extensions;
        let path = pax.path.or(path).unwrap_or_else(|| block.path());
        let link = pax.link.or(link).unwrap_or_else(|| block.link());
        let size = match pax.size {
            // Only a file beyond 8 GiB needs the record, and none of that size is accepted; so a record that
            // contradicts the header is an archive made to be read differently by different tools.
            Some(other) if other != size => return Err(TarError::Number { position, field: "size" }),
            _ => size,
        };
        let type_flag = match block.type_flag() {
            0 if path.ends_with(b"/") => b'5',
            0 | b'7' => b'0',
            flag => flag,
        };
        // Only files have content; a size at another member means nothing (Go: `isHeaderOnly`).
        let has_content = matches!(type_flag, b'0' | b'S');
        self.content = if has_content { size } else { 0 };
        self.padding = self.content.next_multiple_of(BLOCK as u64) - self.content;
        let (major, minor) = block.device(position)?;
        let kind = match type_flag {
            b'0' if pax.sparse.is_present() => {
                let (size, map) = sparse::from_pax(self, &pax.sparse, &path)?;
                MemberKind::File { size, holes: Some(map) }
            }
            b'0' => MemberKind::File { size, holes: None },
            b'S' => {
                let (size, map) = sparse::from_gnu(self, block, &path)?;
                MemberKind::File { size, holes: Some(map) }
            }
            b'1' => MemberKind::HardLink(link),
            b'2' => MemberKind::Symlink(link),
            b'3' => MemberKind::CharDevice { major, minor },
            b'4' => MemberKind::BlockDevice { major, minor },
            b'5' => MemberKind::Directory,
            b'6' => MemberKind::Fifo,
            found => {
                let found = found.escape_ascii().to_string();
                return Err(TarError::MemberType { path: display(&path), found });
            }
        };
        Ok(Member {
            path: pax.sparse.name.unwrap_or(path),
            kind,
            mode: block.mode(position)? & 0o7777,
            uid: pax.uid.map_or_else(|| block.uid(position), Ok)?,
            gid: pax.gid.map_or_else(|| block.gid(position), Ok)?,
            xattrs: pax.xattrs,
            data_offset: self.position,
        })
    }

    /// The next header, or `None` where the archive ends.
    fn header(&mut self) -> Result<Option<Block>, TarError> {
        let position = self.position;
        let mut bytes = [0; BLOCK];
        match self.fill(&mut bytes)? {
            // Some writers leave the final zero blocks out.
            0 => Ok(None),
            BLOCK if bytes.iter().all(|b| *b == 0) => Ok(None),
            BLOCK => Block::new(&bytes).map(Some).ok_or(TarError::Checksum { position }),
            _ => Err(TarError::Truncated { position: self.position }),
        }
    }

    /// The content of an extended header.
    fn extension(&mut self, size: u64, extensions: &mut Extensions) -> Result<Vec<u8>, TarError> {
        extensions.length = extensions.length.saturating_add(size).saturating_add(1);
        let limit = self.extension_limit;
        if extensions.length > limit {
            return Err(TarError::ExtensionTooLarge {
                position: self.position,
                found: extensions.length,
                limit,
            });
        }
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let mut records = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
        self.exact_content(&mut records)?;
        Ok(records)
    }

    pub(crate) fn exact_content(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        self.read_exact(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Truncated { position: self.position },
            _ => TarError::Io(error),
        })
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        let (content, padding) = (self.content, self.padding);
        (self.content, self.padding) = (0, 0);
        let skipped = (self.skip)(&mut self.input, content + padding).map_err(TarError::Io)?;
        self.position += skipped;
        // Writers that leave the final zero blocks out may leave the last padding out too, and Go's reader,
        // so every engine, takes it.
        if skipped < content {
            return Err(TarError::Truncated { position: self.position });
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(TarError::Io(e)),
            }
        }
        self.position += filled as u64;
        Ok(filled)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// A reader that jumps over content, for an archive in a file.
    pub(crate) fn seeking(input: R, extension_limit: u64) -> Self {
        Self::with_skip(input, extension_limit, |input, count| {
            let from = input.stream_position()?;
            let end = input.seek(SeekFrom::End(0))?;
            let skipped = count.min(end.saturating_sub(from));
            input.seek(SeekFrom::Start(from + skipped))?;
            Ok(skipped)
        })
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        bounded::read(&mut self.input, &mut self.content, &mut self.position, buffer)
    }
}

/// What the headers before a member said about it.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
    /// Bytes of all of them, and one for each.
    length: u64,
}

fn until_nul(mut name: Vec<u8>) -> Vec<u8> {
    if let Some(end) = name.iter().position(|b| *b == 0) {
        name.truncate(end);
    }
    name
}
