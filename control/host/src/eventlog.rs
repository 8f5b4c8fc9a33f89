//! The event log of each app's last run: JSON lines, bounded, readable after the end.

use crate::config::Dirs;
use crate::error::HostError;
use crate::event::{HostEvent, LogEntry};
use crate::record;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A log of this size becomes the older half and a new one begins.
const ROTATE_AT: u64 = 8 * 1024 * 1024;
/// The longest line read back, in bytes: an event of the longest control line, escaped.
const MAX_LINE: u64 = 256 * 1024;

/// Writes the log of one run.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    file: File,
    written: u64,
}

impl EventLog {
    /// Begins the log of a new run of `name`; the log of the run before is removed. A run of the same
    /// name that still goes on keeps writing its own, which nobody can open any more.
    pub(crate) fn create(dirs: &Dirs, name: &str) -> Result<Self, HostError> {
        let folder = dirs.logs();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |cause| HostError::File { doing: "Creating", path, cause }
        };
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let path = log_path(dirs, name);
        for old in [older(&path), path.clone()] {
            let _ = fs::remove_file(old);
        }
        let file = File::create(&path).map_err(failed(&path))?;
        Ok(Self { path, file, written: 0 })
    }

    /// Adds one event. A log that cannot be written never stops an enclave.
    pub(crate) fn write(&mut self, event: &HostEvent) {
        let entry = LogEntry { unix_ms: unix_ms(), event: event.clone() };
        let Ok(mut line) = serde_json::to_vec(&entry) else { return };
        line.push(b'\n');
        if self.written > ROTATE_AT && !self.is_named() {
            return;
        }
        if self.written > ROTATE_AT
            && fs::rename(&self.path, older(&self.path)).is_ok()
            && let Ok(file) = File::create(&self.path)
        {
            (self.file, self.written) = (file, 0);
        }
        if self.file.write_all(&line).is_ok() {
            self.written += line.len() as u64;
        }
    }

    /// Whether the path still leads to this log, not to that of a later run of the same name.
    fn is_named(&self) -> bool {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let named = fs::metadata(&self.path).map(identity);
        self.file.metadata().map(identity).is_ok_and(|own| named.is_ok_and(|named| named == own))
    }
}

/// The log of the last run of an app, oldest entry first.
///
/// With `follow`, the iterator waits for further entries until the run ends.
pub fn logs(dirs: &Dirs, name_or_id: &str, follow: bool) -> Result<Logs, HostError> {
    let record = record::find(dirs, name_or_id).ok();
    let name = record.map_or_else(|| name_or_id.to_owned(), |record| record.name);
    let path = log_path(dirs, &name);
    if name.contains('/') || !path.exists() {
        return Err(HostError::NoLog(name));
    }
    let mut logs =
        Logs { dirs: dirs.clone(), name, path, position: 0, ready: VecDeque::new(), follow, ended: false };
    logs.read_older();
    Ok(logs)
}

/// Entries of an event log; see [`logs`].
#[derive(Debug)]
pub struct Logs {
    dirs: Dirs,
    name: String,
    path: PathBuf,
    position: u64,
    ready: VecDeque<LogEntry>,
    follow: bool,
    ended: bool,
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
        if let Some(entry) = self.ready.pop_front() {
            self.ended |= matches!(entry.event, HostEvent::Ended(_) | HostEvent::Failed { .. });
            return Some(Some(entry));
        }
        if self.ended {
            return None;
        }
        // Watch before reading: what is written in between wakes the wait.
        let watch = self.follow.then(|| self.watch()).flatten();
        self.read_new();
        if self.ready.is_empty() {
            match watch {
                Some(watch) if self.running() => wait(&watch),
                _ => self.ended = true,
            }
            self.read_new();
        }
        Some(self.ready.pop_front().inspect(|entry| {
            self.ended |= matches!(entry.event, HostEvent::Ended(_) | HostEvent::Failed { .. });
        }))
    }

    fn watch(&self) -> Option<Inotify> {
        let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
        let folder = self.path.parent()?;
        watch.add_watch(folder, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE).ok()?;
        Some(watch)
    }

    fn running(&self) -> bool {
        record::list(&self.dirs).is_ok_and(|records| records.iter().any(|r| r.name == self.name))
    }

    fn read_older(&mut self) {
        if let Ok(file) = File::open(older(&self.path)) {
            read_entries(file, &mut self.ready);
        }
    }

    fn read_new(&mut self) {
        let Ok(mut file) = File::open(&self.path) else { return };
        if file.metadata().is_ok_and(|m| m.len() < self.position) {
            // Rotated, or a new run began: the rest of what was read before is in the older half.
            if let Ok(mut older) = File::open(older(&self.path))
                && io::Seek::seek(&mut older, io::SeekFrom::Start(self.position)).is_ok()
            {
                read_entries(older, &mut self.ready);
            }
            self.position = 0;
        }
        if io::Seek::seek(&mut file, io::SeekFrom::Start(self.position)).is_ok() {
            self.position += read_entries(file, &mut self.ready);
        }
    }
}

/// Reads whole lines; returns the bytes of those.
fn read_entries(file: File, entries: &mut VecDeque<LogEntry>) -> u64 {
    let mut reader = BufReader::new(file);
    let mut consumed = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(length) if length > 0 && line.ends_with(b"\n") => {
                consumed += length as u64;
                entries.extend(serde_json::from_slice::<LogEntry>(&line));
            }
            _ => return consumed,
        }
    }
}

/// Waits for a change, or a second: an agent killed with `kill -9` writes nothing more.
fn wait(watch: &Inotify) {
    let mut fds = [PollFd::new(watch.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::from(1000u16));
}

fn log_path(dirs: &Dirs, name: &str) -> PathBuf {
    dirs.logs().join(format!("{name}.jsonl"))
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("1.jsonl")
}

fn unix_ms() -> u64 {
    u64::try_from(now_since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// The host's clock; nothing verifiable depends on it.
pub(crate) fn now_since_epoch() -> std::time::Duration {
    #[expect(clippy::disallowed_methods, reason = "the host agent's one clock: log lines and `started_at`")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ending;

    fn dirs(root: &Path) -> Dirs {
        Dirs { state: root.join("s"), runtime: root.join("r"), cache: root.join("c") }
    }

    #[test]
    fn a_log_reads_back_and_ends_with_the_run() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        assert!(matches!(logs(&dirs, "hello", false), Err(HostError::NoLog(_))));
        assert!(matches!(logs(&dirs, "../hello", false), Err(HostError::NoLog(_))));
        let mut log = EventLog::create(&dirs, "hello").unwrap();
        log.write(&HostEvent::Booting);
        log.write(&HostEvent::Ended(Ending::Stopped));
        let events: Vec<_> = logs(&dirs, "hello", true).unwrap().map(|entry| entry.event).collect();
        assert_eq!(events, [HostEvent::Booting, HostEvent::Ended(Ending::Stopped)]);
        EventLog::create(&dirs, "hello").unwrap();
        assert_eq!(logs(&dirs, "hello", false).unwrap().count(), 0);
    }

    #[test]
    fn a_log_holds_the_last_run_alone_though_an_earlier_one_goes_on() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let mut first = EventLog::create(&dirs, "hello").unwrap();
        for _ in 0..10 {
            first.write(&HostEvent::Heartbeat);
        }
        let mut second = EventLog::create(&dirs, "hello").unwrap();
        second.write(&HostEvent::Booting);
        // Past the size at which its own log would begin anew.
        let line = "x".repeat(128 * 1024);
        for _ in 0..70 {
            first.write(&HostEvent::Console(line.clone()));
        }
        second.write(&HostEvent::Ended(Ending::Stopped));
        let events: Vec<_> = logs(&dirs, "hello", false).unwrap().map(|entry| entry.event).collect();
        assert_eq!(events, [HostEvent::Booting, HostEvent::Ended(Ending::Stopped)]);
    }

    #[test]
    fn a_long_log_is_bounded_and_keeps_its_end() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let mut log = EventLog::create(&dirs, "hello").unwrap();
        let line = "x".repeat(128 * 1024);
        for _ in 0..300 {
            log.write(&HostEvent::Console(line.clone()));
        }
        log.write(&HostEvent::Ended(Ending::Stopped));
        let size: u64 =
            fs::read_dir(dirs.logs()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        assert!(size < 3 * ROTATE_AT, "{size}");
        let last = logs(&dirs, "hello", false).unwrap().last().unwrap();
        assert_eq!(last.event, HostEvent::Ended(Ending::Stopped));
    }
}
