//! What jobs say, line by line: kept in a file for each, and followed while it grows.

use crate::store::JobId;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Where logs lie.
#[derive(Debug, Clone)]
pub struct Logs {
    folder: PathBuf,
}

/// A log that grows.
#[derive(Debug)]
pub struct Log {
    file: File,
    left: u64,
}

/// A log that is read from its beginning.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    at: u64,
}

impl Logs {
    /// Logs in this folder, which exists.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The file of a job.
    pub fn path(&self, job: JobId) -> PathBuf {
        self.folder.join(format!("{job}.log"))
    }

    /// Goes on with a job's log, or begins it.
    pub fn open(&self, job: JobId) -> io::Result<Log> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(self.path(job))?;
        let left = MAX_LOG.saturating_sub(file.metadata()?.len());
        Ok(Log { file, left })
    }

    /// Reads a job's log.
    pub fn read(&self, job: JobId) -> Reader {
        Reader { path: self.path(job), at: 0 }
    }
}

impl Log {
    /// Adds a line. What is longer than a log may be is left out, and that is said once.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        let long = text.len() as u64 + 1;
        if long <= self.left {
            self.left -= long;
            return self.file.write_all(format!("{text}\n").as_bytes());
        }
        match std::mem::take(&mut self.left) {
            0 => Ok(()),
            _ => self.file.write_all(b"(the rest is left out: a log has at most 64 MiB)\n"),
        }
    }
}

impl Reader {
    /// What was added since; whole lines, at most some KiB.
    pub fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut file = match File::open(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        file.seek(SeekFrom::Start(self.at))?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes)?;
        // A line that is longer than a chunk comes in parts.
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if end > 0 || (bytes.len() as u64) < CHUNK {
            bytes.truncate(end);
        }
        self.at += bytes.len() as u64;
        Ok(bytes)
    }
}

/// The longest log, in bytes.
const MAX_LOG: u64 = 64 << 20;
/// How much is read at a time, in bytes.
const CHUNK: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_while_it_grows() {
        let dir = tempfile::tempdir().unwrap();
        let (logs, job) = (Logs::new(dir.path()), JobId::new().unwrap());
        let mut reader = logs.read(job);
        assert_eq!(reader.more().unwrap(), b"");
        logs.open(job).unwrap().line("one").unwrap();
        let mut log = logs.open(job).unwrap();
        log.line("two").unwrap();
        assert_eq!(reader.more().unwrap(), b"one\ntwo\n");
        assert_eq!(reader.more().unwrap(), b"");
        log.line(&"x".repeat(20_000)).unwrap();
        assert_eq!(reader.more().unwrap().len() + reader.more().unwrap().len(), 20_001);
        log.left = 3;
        log.line("three").unwrap();
        log.line("3").unwrap();
        let last = reader.more().unwrap();
        assert_eq!(last.split(|byte| *byte == b'\n').count(), 2, "{}", last.escape_ascii());
    }
}
