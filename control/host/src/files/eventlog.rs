//! The event logs of each app's last run and of the one before: JSON lines, bounded, readable after the end.
//!
//! ```text
//! <state>/logs/<name>.jsonl               the last run
//! <state>/logs/<name>.jsonl.1             what it wrote before, where it wrote much
//! <state>/logs/<name>.jsonl.previous[.1]  the same of the run before
//! <state>/logs/<name>.jsonl.next          of one that boots to take the place of another
//! ```

use crate::config::Dirs;
use crate::error::HostError;
use crate::event::{HostEvent, LogEntry};
use crate::files::private_dir::private_dir;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

mod read;

pub(crate) use read::last_event;
pub use read::{Logs, logs, previous_logs};

/// A log of this size becomes the older half and a new one begins.
const ROTATE_AT: u64 = 8 * 1024 * 1024;

/// Writes the log of one run.
#[derive(Debug)]
pub(crate) struct EventLog {
    path: PathBuf,
    file: File,
    written: u64,
    /// Where it is to be when its run takes the place of another.
    place: Option<PathBuf>,
}

impl EventLog {
    /// Begins the log of a new run of `name`; that of the run before becomes the previous one. A run of the same
    /// name that still goes on keeps writing its own there.
    pub(crate) fn create(dirs: &Dirs, name: &str) -> Result<Self, HostError> {
        let path = log_path(dirs, name);
        make_room(&path);
        Self::begin(dirs, path, None)
    }

    /// Begins the log of a run that boots beside another of `name`, which is the app until [`EventLog::take_place`].
    /// Without that the log goes with its run: what the app did last is in the other one's.
    pub(crate) fn beside(dirs: &Dirs, name: &str) -> Result<Self, HostError> {
        let place = log_path(dirs, name);
        Self::begin(dirs, place.with_extension("jsonl.next"), Some(place))
    }

    /// From now on this is the log of the app.
    pub(crate) fn take_place(&mut self) {
        let Some(place) = self.place.take() else { return };
        make_room(&place);
        // A log that cannot be found never stops an enclave.
        if fs::rename(&self.path, &place).is_ok() {
            self.path = place;
        }
    }

    fn begin(dirs: &Dirs, path: PathBuf, place: Option<PathBuf>) -> Result<Self, HostError> {
        private_dir(&dirs.logs())?;
        let _ = fs::remove_file(&path);
        let file = create(&path).map_err(HostError::file("Creating", &path))?;
        Ok(Self { path, file, written: 0, place })
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
            && let Ok(file) = create(&self.path)
        {
            (self.file, self.written) = (file, 0);
        }
        if self.file.write_all(&line).is_ok() {
            self.written += line.len() as u64;
        }
    }

    /// Whether the path still leads to this log, not to that of a later run of the same name.
    fn is_named(&self) -> bool {
        let identity = |found: io::Result<fs::Metadata>| found.ok().map(|found| read::identity(&found));
        let own = identity(self.file.metadata());
        own.is_some() && own == identity(fs::metadata(&self.path))
    }
}

impl Drop for EventLog {
    fn drop(&mut self) {
        if self.place.is_some() {
            let _ = fs::remove_file(&self.path);
            let _ = fs::remove_file(older(&self.path));
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn log_path(dirs: &Dirs, name: &str) -> PathBuf {
    dirs.logs().join(format!("{name}.jsonl"))
}

/// Names of apps may hold dots, so what stands behind them must not look like the end of a name.
fn older(path: &Path) -> PathBuf {
    behind(path, ".1")
}

fn previous(path: &Path) -> PathBuf {
    behind(path, ".previous")
}

fn behind(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// What stands at a log's place becomes the log of the run before.
fn make_room(place: &Path) {
    let previous = previous(place);
    for (from, to) in [(older(place), older(&previous)), (place.to_owned(), previous)] {
        // Nothing to keep: neither may what was kept before pass for it.
        if fs::rename(&from, &to).is_err() {
            let _ = fs::remove_file(from);
            let _ = fs::remove_file(to);
        }
    }
}

/// The host's clock; nothing verifiable depends on it.
pub(crate) fn now_since_epoch() -> std::time::Duration {
    #[expect(clippy::disallowed_methods, reason = "the host agent's one clock: log lines and `started_at`")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The same, in milliseconds.
pub(crate) fn unix_ms() -> u64 {
    u64::try_from(now_since_epoch().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Ending;
    use std::os::unix::fs::PermissionsExt as _;

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
    fn the_log_of_the_run_before_is_kept_and_no_other_apps() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let previous = |name: &str| -> Option<Vec<HostEvent>> {
            Some(previous_logs(&dirs, name).ok()?.map(|entry| entry.event).collect())
        };
        let mut first = EventLog::create(&dirs, "hello").unwrap();
        assert!(matches!(previous_logs(&dirs, "hello"), Err(HostError::NoPreviousLog(_))));
        let line = HostEvent::Console("x".repeat(128 * 1024));
        (0..70).for_each(|_| first.write(&line));
        first.write(&HostEvent::Ended(Ending::Stopped));
        for name in ["hello.previous", "hello.jsonl.previous"] {
            EventLog::create(&dirs, name).unwrap();
        }
        let mut second = EventLog::create(&dirs, "hello").unwrap();
        second.write(&HostEvent::Booting);
        let kept = previous("hello").unwrap();
        assert_eq!((kept.len(), kept.last()), (71, Some(&HostEvent::Ended(Ending::Stopped))));
        // Of the run before the last alone.
        EventLog::create(&dirs, "hello").unwrap();
        assert_eq!(previous("hello"), Some(vec![HostEvent::Booting]));
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
    fn a_run_beside_another_has_the_apps_log_once_it_takes_its_place() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let mut old = EventLog::create(&dirs, "hello").unwrap();
        old.write(&HostEvent::Booting);
        let ended = HostEvent::Ended(Ending::Stopped);
        let mut failed = EventLog::beside(&dirs, "hello").unwrap();
        failed.write(&ended);
        assert_eq!(last_event(&dirs, "hello"), Some(HostEvent::Booting));
        drop(failed);
        let mut reader = logs(&dirs, "hello", true).unwrap();
        let mut new = EventLog::beside(&dirs, "hello").unwrap();
        new.write(&HostEvent::Heartbeat);
        old.write(&HostEvent::Heartbeat);
        new.take_place();
        new.write(&ended);
        let rest: Vec<_> = (0..4).filter_map(|_| Some(reader.next()?.event)).collect();
        assert_eq!(rest, [HostEvent::Booting, HostEvent::Heartbeat, HostEvent::Heartbeat, ended]);
        drop((old, new));
        let mut names: Vec<_> =
            fs::read_dir(dirs.logs()).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["hello.jsonl", "hello.jsonl.previous"]);
        let previous: Vec<_> = previous_logs(&dirs, "hello").unwrap().map(|entry| entry.event).collect();
        assert_eq!(previous, [HostEvent::Booting, HostEvent::Heartbeat]);
    }

    #[test]
    fn no_name_of_an_app_is_a_part_of_anothers_log() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        for name in ["hello.1", "hello.jsonl.1", "hello.next"] {
            EventLog::create(&dirs, name).unwrap().write(&HostEvent::Booting);
        }
        drop(EventLog::beside(&dirs, "hello").unwrap());
        EventLog::create(&dirs, "hello").unwrap();
        assert_eq!((last_event(&dirs, "hello"), logs(&dirs, "hello", false).unwrap().count()), (None, 0));
        for name in ["hello.1", "hello.jsonl.1", "hello.next"] {
            assert_eq!(last_event(&dirs, name), Some(HostEvent::Booting), "{name}");
        }
    }

    #[test]
    fn who_follows_misses_nothing_when_a_log_begins_anew() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let mut log = EventLog::create(&dirs, "hello").unwrap();
        let mut reader = logs(&dirs, "hello", true).unwrap();
        let line = "x".repeat(128 * 1024);
        for _ in 0..150 {
            log.write(&HostEvent::Console(line.clone()));
            assert_eq!(reader.next().unwrap().event, HostEvent::Console(line.clone()));
        }
        assert_eq!(last_event(&dirs, "hello"), Some(HostEvent::Console(line)));
        log.write(&HostEvent::Ended(Ending::Stopped));
        assert_eq!(last_event(&dirs, "hello"), Some(HostEvent::Ended(Ending::Stopped)));
        assert_eq!(reader.map(|entry| entry.event).collect::<Vec<_>>(), [HostEvent::Ended(Ending::Stopped)]);
    }

    #[test]
    fn who_reads_slowly_misses_only_what_is_not_kept() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let mut log = EventLog::create(&dirs, "hello").unwrap();
        let mut reader = logs(&dirs, "hello", false).unwrap();
        let line = |n: usize| HostEvent::Console(format!("{n} {}", "x".repeat(128 * 1024)));
        for n in 0..160 {
            log.write(&line(n));
        }
        assert_eq!(reader.next().unwrap().event, line(0));
        let rest: Vec<_> = reader.map(|entry| entry.event).collect();
        // Three files were begun: the reader had the first open, two have names.
        assert_eq!(rest, (1..160).map(line).collect::<Vec<_>>());
    }

    #[test]
    fn who_follows_an_app_that_the_agent_starts_again_goes_on_with_its_next_run() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let mut first = EventLog::create(&dirs, "hello").unwrap();
        first.write(&HostEvent::Booting);
        let mut reader = logs(&dirs, "hello", true).unwrap();
        assert_eq!(reader.next().unwrap().event, HostEvent::Booting);
        let ended = HostEvent::Ended(Ending::Stopped);
        first.write(&ended);
        let mut second = EventLog::create(&dirs, "hello").unwrap();
        second.write(&HostEvent::Heartbeat);
        second.write(&ended);
        let rest: Vec<_> = reader.map(|entry| entry.event).collect();
        assert_eq!(rest, [ended.clone(), HostEvent::Heartbeat, ended]);
    }

    #[test]
    fn a_line_that_is_half_written_is_read_once_it_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let mut log = EventLog::create(&dirs, "hello").unwrap();
        log.write(&HostEvent::Ended(Ending::Stopped));
        let path = log_path(&dirs, "hello");
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..20]).unwrap();
        let mut reader = logs(&dirs, "hello", false).unwrap();
        assert!(reader.step().is_none());
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&whole[20..]).unwrap();
        assert_eq!(reader.next().unwrap().event, HostEvent::Ended(Ending::Stopped));
    }

    #[test]
    fn nobody_else_reads_a_log() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        fs::create_dir_all(dirs.logs()).unwrap();
        EventLog::create(&dirs, "hello").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&dirs.logs()), mode(&log_path(&dirs, "hello"))), (0o700, 0o600));
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
