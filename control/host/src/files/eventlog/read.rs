//! Reading an event log: to its end, or on and on.

use super::{log_path, older, previous};
use crate::agent;
use crate::config::{Dirs, name_is_valid};
use crate::error::HostError;
use crate::event::{HostEvent, LogEntry};
use crate::files::record;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The longest line read back, in bytes: an event of the longest control line, escaped.
const MAX_LINE: u64 = 256 * 1024;

/// The log of the last run of an app, oldest entry first.
///
/// With `follow`, the iterator waits for further entries until the run ends and the agent, where it looks
/// after the app, starts it no more.
pub fn logs(dirs: &Dirs, name_or_id: &str, follow: bool) -> Result<Logs, HostError> {
    let name = name_of(dirs, name_or_id);
    open(dirs, &name, Path::to_owned, follow).ok_or(HostError::NoLog(name))
}

/// The log of the run of an app that began before its last one, oldest entry first.
pub fn previous_logs(dirs: &Dirs, name_or_id: &str) -> Result<Logs, HostError> {
    let name = name_of(dirs, name_or_id);
    open(dirs, &name, previous, false).ok_or(HostError::NoPreviousLog(name))
}

fn name_of(dirs: &Dirs, name_or_id: &str) -> String {
    let record = record::find(dirs, name_or_id).ok();
    record.map_or_else(|| name_or_id.to_owned(), |record| record.name)
}

/// The log that stands where `which` says, beside the last one of this name.
fn open(dirs: &Dirs, name: &str, which: fn(&Path) -> PathBuf, follow: bool) -> Option<Logs> {
    // Any other name leads somewhere else.
    if !name_is_valid(name) {
        return None;
    }
    let path = which(&log_path(dirs, name));
    let part = [older(&path), path.clone()].iter().find_map(|path| Part::open(path))?;
    Some(Logs { dirs: dirs.clone(), name: name.to_owned(), path, part, follow, over: false })
}

/// The last event of a log, without reading the rest.
pub(crate) fn last_event(dirs: &Dirs, name: &str) -> Option<HostEvent> {
    let path = log_path(dirs, name);
    let last = |path: &Path| {
        let mut part = Part::open(path)?;
        let length = part.reader.get_ref().metadata().ok()?.len();
        part.reader.seek(SeekFrom::Start(length.saturating_sub(MAX_LINE))).ok()?;
        // What the seek cut in two is no entry, so nothing is made of it.
        std::iter::from_fn(|| part.next()).last()
    };
    // A log that has just begun anew is empty.
    last(&path).or_else(|| last(&older(&path))).map(|entry| entry.event)
}

/// Entries of an event log; see [`logs`].
#[derive(Debug)]
pub struct Logs {
    dirs: Dirs,
    name: String,
    path: PathBuf,
    part: Part,
    follow: bool,
    /// The run has ended; what comes is another one.
    over: bool,
}

impl Iterator for Logs {
    type Item = LogEntry;

    fn next(&mut self) -> Option<LogEntry> {
        loop {
            if let Some(entry) = self.step()? {
                return Some(entry);
            }
        }
    }
}

impl Logs {
    /// The next entry; `Some(None)` after a second in which there was none, so that whoever reads can look after
    /// something else.
    pub fn step(&mut self) -> Option<Option<LogEntry>> {
        if self.over && !self.follow {
            return None;
        }
        if let Some(entry) = self.written() {
            return Some(Some(entry));
        }
        if !self.follow {
            return None;
        }
        // Watch before reading again: what is written in between wakes the wait.
        let watch = self.watch()?;
        let goes_on = if self.over { self.is_wanted() } else { self.is_running() || self.is_wanted() };
        if let Some(entry) = self.written() {
            return Some(Some(entry));
        }
        if !goes_on {
            return None;
        }
        wait(&watch);
        Some(self.written())
    }

    /// The next entry that is there, in this file or the one after it.
    fn written(&mut self) -> Option<LogEntry> {
        loop {
            if let Some(entry) = self.part.next() {
                self.over = matches!(entry.event, HostEvent::Ended(_) | HostEvent::Failed { .. });
                return Some(entry);
            }
            let next = self.next_part()?;
            // Nothing is written to a file that has another name or none; but something may have been, since.
            match self.part.next() {
                Some(entry) => {
                    self.over = matches!(entry.event, HostEvent::Ended(_) | HostEvent::Failed { .. });
                    return Some(entry);
                }
                None => self.part = next,
            }
        }
    }

    /// The file after the one that is read: the newest, or the one before it where that is not read yet.
    fn next_part(&self) -> Option<Part> {
        let other = |part: &Part| part.identity != self.part.identity;
        let newest = Part::open(&self.path).filter(other)?;
        match Part::open(&older(&self.path)) {
            Some(before) if other(&before) => Some(before),
            _ => Some(newest),
        }
    }

    fn watch(&self) -> Option<Inotify> {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        let folder = self.path.parent()?;
        watch.add_watch(folder, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE).ok()?;
        Some(watch)
    }

    fn is_running(&self) -> bool {
        record::list(&self.dirs).is_ok_and(|records| records.iter().any(|r| r.name == self.name))
    }

    fn is_wanted(&self) -> bool {
        agent::is_wanted(&self.dirs, &self.name)
    }
}

/// A file of a log. Open, it stays what it was, whatever becomes of its name.
#[derive(Debug)]
struct Part {
    reader: BufReader<File>,
    /// Device and inode.
    identity: (u64, u64),
    /// A line that has no end yet.
    begun: Vec<u8>,
}

impl Part {
    fn open(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let identity = identity(&file.metadata().ok()?);
        Some(Self { reader: BufReader::new(file), identity, begun: Vec::new() })
    }

    /// The next whole line that is an entry.
    fn next(&mut self) -> Option<LogEntry> {
        loop {
            let room = MAX_LINE.saturating_sub(self.begun.len() as u64);
            match self.reader.by_ref().take(room).read_until(b'\n', &mut self.begun) {
                Ok(_) if self.begun.ends_with(b"\n") || self.begun.len() as u64 >= MAX_LINE => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => return None,
            }
            let line = std::mem::take(&mut self.begun);
            if let Ok(entry) = serde_json::from_slice(&line) {
                return Some(entry);
            }
        }
    }
}

/// What tells files apart, whatever they are called.
pub(super) fn identity(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Waits for a change, or a second: an agent killed with `kill -9` writes nothing more.
fn wait(watch: &Inotify) {
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::from(1000u16));
}
