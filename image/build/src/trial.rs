//! Two builds of one commit, in surroundings that differ in what should not matter.
//!
//! Both get the same files mounted, so that what a mount leaves behind is in both images; only what those
//! files say differs.

use crate::engine::{EngineName, LineSink};
use crate::stage::StageError;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Which of two builds that are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// In the usual surroundings.
    First,
    /// In others, as far as the engine lets us.
    Second,
}

/// Something that should not matter to a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variation {
    /// What it is, in a word or two.
    pub what: &'static str,
    /// Whether it was another one in the second build.
    pub varied: bool,
    /// How it was varied, or why not.
    pub how: String,
}

/// What an engine is given beside the usual; nothing outside of trials.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// For the engine's own process.
    pub(crate) environment: &'static [(&'static str, &'static str)],
    /// Values of `--volume`, each for every step.
    pub(crate) volumes: Vec<OsString>,
    variations: Vec<Variation>,
    one_processor: bool,
    /// Whether a program of the image said that it cannot load the other clock.
    clock_refused: bool,
}

impl Surroundings {
    /// What `engine` is given in a trial. Files of it are written into the folder `work`; `networked` says that a
    /// step of the Containerfile may use a network.
    pub(crate) fn of(trial: Trial, engine: &str, networked: bool, work: &Path) -> Result<Self, StageError> {
        let mut all = Self::default();
        if engine == EngineName::Buildah.as_str() {
            let clock = all.set_clock(trial, networked, work)?;
            all.say("clock", clock);
            // It names the container of each step, at random.
            all.say("host name", Ok("buildah gives each step another one".into()));
            let processors = all.set_processors(trial);
            all.say("processors", processors);
            if trial == Trial::Second {
                all.environment = ELSEWHERE;
            }
            let elsewhere = "of the engine's own process; a step has those of its image".to_owned();
            all.say("locale, time zone", Ok(elsewhere));
        } else {
            let why = format!("a service may do the work of {engine}; `--engine buildah` varies it");
            all.say("clock", Err(format!("{why}; it moved on by itself between the builds")));
            for what in ["host name", "processors", "locale, time zone"] {
                all.say(what, Err(why.clone()));
            }
        }
        all.say("umask", Err("caution starts engines with 022, whatever its caller has".into()));
        all.say("user", Err("a step runs as the USER of its image".into()));
        all.say("order of folders", Err("the engine's storage decides it".into()));
        Ok(all)
    }

    /// Does what an engine does, in these surroundings: what it starts inherits the processors of this thread.
    pub(crate) fn within<T>(
        &mut self,
        sink: &mut LineSink<'_>,
        work: impl FnOnce(&Self, &mut LineSink<'_>) -> T,
    ) -> T {
        let _processors = self.one_processor.then(OneProcessor::begin).flatten();
        let mut refused = false;
        let done = work(self, &mut |line| {
            refused |= line.contains(LIBRARY_INSIDE) && line.contains("cannot be preloaded");
            sink(line);
        });
        self.clock_refused |= refused;
        done
    }

    /// Whether programs are told another time. They then leave notes in the memory that they share.
    pub(crate) const fn has_other_clock(&self) -> bool {
        !self.volumes.is_empty()
    }

    /// What was varied and what was not.
    pub(crate) fn into_variations(mut self) -> Vec<Variation> {
        if let Some(clock) = self.variations.iter_mut().find(|one| one.what == "clock" && self.clock_refused)
        {
            clock.varied = false;
            clock.how = "the C library of a base image cannot load this machine's libfaketime".into();
        }
        self.variations
    }

    fn say(&mut self, what: &'static str, how: Result<String, String>) {
        let varied = how.is_ok();
        let (Ok(how) | Err(how)) = how;
        self.variations.push(Variation { what, varied, how });
    }

    /// Another clock for every program of a step that glibc loads: a library that its loader puts before others.
    fn set_clock(
        &mut self,
        trial: Trial,
        networked: bool,
        work: &Path,
    ) -> Result<Result<String, String>, StageError> {
        if networked {
            // Certificates of servers and lists of packages would have expired.
            let why = "a step may use a network, which needs the right time; `--no-network` forbids it";
            return Ok(Err(format!("{why}; it moved on by itself between the builds")));
        }
        let Some(library) = libfaketime() else {
            let why = "libfaketime is not installed; the clock moved on by itself between the builds";
            return Ok(Err(why.into()));
        };
        let seconds = if trial == Trial::Second { LATER } else { 0 };
        let files = [
            ("clock.preload", "/etc/ld.so.preload", format!("{LIBRARY_INSIDE}\n")),
            ("clock.rc", "/etc/faketimerc", format!("+{seconds}\n")),
        ];
        let mut volumes = vec![(library, LIBRARY_INSIDE)];
        for (name, inside, text) in files {
            let path = work.join(name);
            std::fs::write(&path, text).map_err(StageError::io(&path))?;
            // Steps of any USER read it, whatever the umask is here.
            std::fs::set_permissions(&path, Permissions::from_mode(0o644)).map_err(StageError::io(&path))?;
            volumes.push((path, inside));
        }
        if let Some((path, _)) = volumes.iter().find(|(path, _)| path.to_string_lossy().contains(':')) {
            return Ok(Err(format!("engines cannot mount {}, whose name has a colon", path.display())));
        }
        for (path, inside) in volumes {
            let mut volume = path.into_os_string();
            volume.push(format!(":{inside}:ro"));
            self.volumes.push(volume);
        }
        Ok(Ok("400 days, an hour and a minute later, for programs that glibc loads (libfaketime)".into()))
    }

    fn set_processors(&mut self, trial: Trial) -> Result<String, String> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        if count < 2 {
            return Err("this machine gives this program one".into());
        }
        self.one_processor = trial == Trial::Second;
        Ok(format!("1 instead of {count}"))
    }
}

/// This thread, and what it starts, on one processor; on all that it had when dropped.
struct OneProcessor(CpuSet);

impl OneProcessor {
    fn begin() -> Option<Self> {
        let this_thread = Pid::from_raw(0);
        let all = sched_getaffinity(this_thread).ok()?;
        let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu) == Ok(true))?;
        let mut one = CpuSet::new();
        one.set(first).ok()?;
        sched_setaffinity(this_thread, &one).ok()?;
        Some(Self(all))
    }
}

impl Drop for OneProcessor {
    fn drop(&mut self) {
        // Fewer processors than before slow down what comes, and no more.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// Where distributions put it; `MT` is the one for programs with threads.
fn libfaketime() -> Option<PathBuf> {
    [
        "/usr/lib/x86_64-linux-gnu/faketime",
        "/usr/lib64/faketime",
        "/usr/lib/faketime",
        "/usr/local/lib/faketime",
    ]
    .map(|folder| Path::new(folder).join("libfaketimeMT.so.1"))
    .into_iter()
    .find(|path| path.is_file())
}

/// Where a step finds it.
const LIBRARY_INSIDE: &str = "/caution-clock/libfaketime.so";
/// Seconds: year, month, day, hour and minute are other ones, whatever the date is.
const LATER: u32 = 400 * 86_400 + 3_600 + 61;
/// Letters without a dot on the i, and the first hours of the next day.
const ELSEWHERE: &[(&str, &str)] = &[("LC_ALL", "tr_TR.UTF-8"), ("TZ", "Pacific/Kiritimati")];

#[cfg(test)]
mod tests {
    use super::*;

    fn varied(all: &[Variation]) -> Vec<&str> {
        all.iter().filter(|one| one.varied).map(|one| one.what).collect()
    }

    #[test]
    fn what_cannot_be_varied_is_said_with_the_reason() {
        let work = tempfile::tempdir().expect("a folder");
        let of = |engine, networked| {
            Surroundings::of(Trial::Second, engine, networked, work.path()).expect("is written")
        };
        for engine in ["docker", "podman"] {
            let there = of(engine, false);
            assert!(there.volumes.is_empty() && there.environment.is_empty());
            assert!(varied(&there.into_variations()).is_empty());
        }
        let networked = of("buildah", true);
        assert!(networked.volumes.is_empty());
        let all = networked.into_variations();
        assert!(varied(&all).contains(&"host name") && !varied(&all).contains(&"clock"));
        assert!(all.iter().all(|one| !one.how.is_empty()));
    }

    #[test]
    fn a_clock_that_an_image_cannot_load_does_not_count_as_varied() {
        let clock = Variation { what: "clock", varied: true, how: "later".into() };
        let refusal = "ERROR: ld.so: object '/caution-clock/libfaketime.so' from /etc/ld.so.preload cannot be \
                       preloaded (cannot open shared object file): ignored.";
        for (line, expected) in [("all is well", true), (refusal, false)] {
            let mut all = Surroundings { variations: vec![clock.clone()], ..Surroundings::default() };
            let mut seen = Vec::new();
            all.within(&mut |line| seen.push(line.to_owned()), |_, sink| sink(line));
            assert_eq!((all.into_variations()[0].varied, seen.len()), (expected, 1), "{line}");
        }
    }

    #[test]
    fn an_engine_gets_one_processor_and_this_thread_keeps_its_own() {
        let count = || {
            let output = std::process::Command::new("nproc").output().expect("nproc runs");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let before = count();
        let mut one = Surroundings { one_processor: true, ..Surroundings::default() };
        assert_eq!(one.within(&mut |_| {}, |_, _| count()), "1");
        assert_eq!(count(), before);
    }
}
