//! Where the content of files lies: one after the other in a nameless temporary file, or in a folder.

use super::RootfsError;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Where a file's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// In the temporary file; or which of a folder's files it is.
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// What holds the content of all files.
#[derive(Debug)]
pub(crate) enum Spool {
    /// Nothing yet: the tree is still growing.
    Empty,
    /// The temporary file, complete.
    File(File),
    /// Files that lie in a folder, which nobody changes.
    Folder(Vec<PathBuf>),
}

impl Spool {
    /// Reads a file; needs no exclusive access.
    pub(crate) fn open(&self, content: Content) -> io::Result<Box<dyn Read + '_>> {
        match self {
            Self::Empty => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::File(file) => {
                Ok(Box::new(SpoolReader { file, offset: content.offset, left: content.size }))
            }
            Self::Folder(paths) => {
                let path = usize::try_from(content.offset).ok().and_then(|at| paths.get(at));
                Ok(Box::new(File::open(path.ok_or(io::ErrorKind::NotFound)?)?))
            }
        }
    }
}

struct SpoolReader<'s> {
    file: &'s File,
    offset: u64,
    left: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if wanted == 0 {
            return Ok(0);
        }
        let n = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// The temporary file while layers are read.
pub(crate) struct SpoolWriter {
    out: BufWriter<File>,
    end: u64,
}

impl SpoolWriter {
    /// A nameless file in `scratch`: it vanishes with the process, whatever ends it.
    pub(crate) fn create(scratch: &Path) -> Result<Self, RootfsError> {
        let file = tempfile::tempfile_in(scratch)
            .map_err(|source| RootfsError::Scratch { doing: "create", source })?;
        Ok(Self { out: BufWriter::with_capacity(BUFFER, file), end: 0 })
    }

    /// Bytes so far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), RootfsError> {
        self.out.write_all(bytes).map_err(failed)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Zeros that take no room on disk.
    pub(crate) fn hole(&mut self, length: u64) -> Result<(), RootfsError> {
        if length > 0 {
            self.end += length;
            self.out.seek(SeekFrom::Start(self.end)).map_err(failed)?;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Spool, RootfsError> {
        let file = self.out.into_inner().map_err(|error| failed(error.into_error()))?;
        // A hole at the very end was never written.
        file.set_len(self.end).map_err(failed)?;
        Ok(Spool::File(file))
    }
}

fn failed(source: io::Error) -> RootfsError {
    RootfsError::Scratch { doing: "write", source }
}

const BUFFER: usize = 256 * 1024;
