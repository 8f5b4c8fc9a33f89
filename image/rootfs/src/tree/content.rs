//! Where the content of files lies: inside the archives of layers, in a nameless temporary file, or in a folder.

use super::RootfsError;
use crate::section::{Section, State};
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a file's content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Content {
    /// In which of the tree's files.
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// What holds the content of all files.
#[derive(Debug)]
pub(crate) enum Contents {
    /// Files that are open, whatever becomes of their names; those of others with the state in which they were
    /// checked.
    Open(Vec<(Arc<File>, Option<State>)>),
    /// Files that lie in a folder, which nobody changes.
    Folder(Vec<PathBuf>),
}

impl Contents {
    /// Reads a file; needs no exclusive access.
    pub(crate) fn open(&self, Content { file, offset, size }: Content) -> io::Result<Box<dyn Read>> {
        let index = usize::try_from(file).unwrap_or(usize::MAX);
        Ok(match self {
            Self::Open(files) => {
                let (file, _) = files.get(index).ok_or(io::ErrorKind::NotFound)?;
                Box::new(Section::new(Arc::clone(file), offset, size))
            }
            // Whole, so that a file whose length has changed is noticed.
            Self::Folder(paths) => Box::new(File::open(paths.get(index).ok_or(io::ErrorKind::NotFound)?)?),
        })
    }
}

impl Contents {
    /// Whether every file is as it was when it was checked.
    pub(crate) fn are_unchanged(&self) -> io::Result<bool> {
        let Self::Open(files) = self else { return Ok(true) };
        for (file, checked) in files {
            if let Some(checked) = checked
                && State::of(file)? != *checked
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A temporary file that grows: content that lies in no archive as it is.
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

    pub(crate) fn finish(self) -> Result<Arc<File>, RootfsError> {
        let file = self.out.into_inner().map_err(|error| failed(error.into_error()))?;
        // A hole at the very end was never written.
        file.set_len(self.end).map_err(failed)?;
        Ok(Arc::new(file))
    }
}

/// Passes on what is read, and writes it to a file.
pub(crate) struct Copying<R> {
    pub(crate) from: R,
    pub(crate) to: SpoolWriter,
}

impl<R: Read> Read for Copying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.to.write(&buffer[..n]).map_err(io::Error::other)?;
        Ok(n)
    }
}

fn failed(source: io::Error) -> RootfsError {
    RootfsError::Scratch { doing: "write", source }
}

const BUFFER: usize = 256 * 1024;
