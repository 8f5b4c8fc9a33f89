//! Processes: children that die with the agent, and finding those that did not.

use crate::error::HostError;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Every child carries this variable with the folder of its run, so that a leftover is recognised
/// for certain: no other process has it.
pub(crate) const MARKER: &str = "CAUTION_ENCLAVE_RUN";

/// A command that dies with the *thread* that spawns it and keeps out of the terminal's signals.
///
/// `setpriv` sets the parent-death signal and then becomes the program, so the child's id is the
/// program's. `PR_SET_PDEATHSIG` follows the parent thread (prctl(2)): spawn from the one that
/// lives as long as the run.
pub(crate) fn bound_to_parent(program: impl AsRef<OsStr>, run: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--no-new-privs", "--"]).arg(program);
    command.env(MARKER, run).process_group(0).stdin(Stdio::null());
    command
}

/// Spawns a command made by [`bound_to_parent`].
pub(crate) fn spawn_bound(command: &mut Command) -> Result<Child, HostError> {
    command.spawn().map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => HostError::SetprivMissing,
        _ => HostError::System { doing: "Starting a process", cause },
    })
}

/// A process's identity: its number is reused, its number with its start time is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct ProcessId {
    /// Process number.
    pub(crate) pid: i32,
    /// Start in clock ticks since boot: field 22 of `/proc/PID/stat`, proc(5).
    pub(crate) start: u64,
}

impl ProcessId {
    /// The identity of the living process `pid`.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        // A zombie is not alive: it only waits for its parent.
        if stat.is_zombie() { None } else { Some(Self { pid, start: stat.number(22)? }) }
    }

    /// This process.
    pub(crate) fn own() -> io::Result<Self> {
        let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        Self::of(pid).ok_or_else(|| io::Error::other("/proc is not mounted"))
    }

    /// Whether this very process still lives.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Kills it, if it still is this very process.
    pub(crate) fn kill(self) {
        if self.is_alive() {
            let pid = nix::unistd::Pid::from_raw(self.pid);
            // Gone in between is what was wanted.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// The living processes of this user that carry the marker of `run`.
pub(crate) fn marked(run: &Path) -> Vec<ProcessId> {
    carrying(MARKER, run)
}

/// The living processes of this user in whose environment `variable` is this path.
pub(crate) fn carrying(variable: &str, path: &Path) -> Vec<ProcessId> {
    let wanted = [variable.as_bytes(), b"=", path.as_os_str().as_bytes()].concat();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            // Identity first: if the number is reused in between, `kill` sees another start time.
            let identity = ProcessId::of(pid)?;
            environment(pid)?.split(|b| *b == 0).any(|variable| variable == wanted).then_some(identity)
        })
        .collect()
}

/// The environment of a living process; none of one whose environment is not this user's to read.
fn environment(pid: i32) -> Option<Vec<u8>> {
    // `setpriv` becomes another program: in the middle of execve(2) the environment reads as empty, and
    // one that is being read then ends early. A second for that is plenty; a program on a file system
    // that hangs must not hold us up.
    for _ in 0..1000 {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        if is_whole(pid, environment.len()).unwrap_or(true) {
            return Some(environment);
        }
        pause(std::time::Duration::from_millis(1));
    }
    None
}

/// Whether the process's environment has this many bytes; `None` of what never has any.
fn is_whole(pid: i32, length: usize) -> Option<bool> {
    let stat = Stat::of(pid)?;
    if stat.is_zombie() || stat.number(9)? & KERNEL_THREAD != 0 {
        return None;
    }
    let (code_end, begin, end) = (stat.number(27)?, stat.number(50)?, stat.number(51)?);
    // Set when a program has been loaded (load_elf_binary of fs/binfmt_elf.c), after the environment.
    Some(code_end != 0 && length as u64 == end.saturating_sub(begin))
}

/// The text of `/proc/PID/stat`.
struct Stat(String);

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().map(Self)
    }

    /// A field behind the name, by its number in proc(5).
    fn field(&self, number: usize) -> Option<&str> {
        // The name, field 2, is in parentheses and may hold anything, parentheses too.
        self.0.rsplit_once(')')?.1.split_whitespace().nth(number - 3)
    }

    fn number(&self, number: usize) -> Option<u64> {
        self.field(number)?.parse().ok()
    }

    fn is_zombie(&self) -> bool {
        self.field(3) == Some("Z")
    }
}

/// Kills everything that carries the marker of `run`, until nothing does.
pub(crate) fn kill_marked(run: &Path) {
    // A process may fork while we look; its child carries the marker too. More than a few rounds
    // mean a process that cannot be killed (uninterruptible), which waiting would not change.
    for _ in 0..50 {
        let found = marked(run);
        if found.is_empty() {
            return;
        }
        found.into_iter().for_each(ProcessId::kill);
        pause(std::time::Duration::from_millis(2));
    }
}

/// Reads to the end and keeps the last bytes, as one line.
pub(crate) fn tail(stderr: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    let mut stderr = stderr;
    while let Ok(length @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..length]);
        let excess = kept.len().saturating_sub(MAX_STDERR);
        kept.drain(..excess);
    }
    let text = String::from_utf8_lossy(&kept);
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// A pause between two looks at something that cannot be waited for.
pub(crate) fn pause(duration: std::time::Duration) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel offers no way to wait for a stranger's end or a first listener"
    )]
    std::thread::sleep(duration);
}

/// What is kept of a program's stderr, in bytes.
const MAX_STDERR: usize = 2048;
/// `PF_KTHREAD` of include/linux/sched.h: a thread of the kernel, which never has an environment.
const KERNEL_THREAD: u64 = 0x0020_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stderr_is_kept_to_its_end() {
        let long = format!("{}\nlast words\n", "x".repeat(10_000));
        let kept = tail(long.as_bytes());
        assert!(kept.len() <= MAX_STDERR && kept.ends_with("; last words"));
        assert_eq!(tail(&b""[..]), "");
    }

    #[test]
    fn a_dead_process_is_not_alive_and_identity_needs_the_start_time() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessId { start: own.start + 1, ..own }.is_alive());
        let mut child = Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        assert_eq!(ProcessId::of(pid), None);
    }

    #[test]
    fn marked_children_are_found_and_killed_and_no_others() {
        let run = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        let mut ours = spawn_bound(bound_to_parent("sleep", run.path()).arg("1000")).unwrap();
        let mut others = spawn_bound(bound_to_parent("sleep", other.path()).arg("1000")).unwrap();
        kill_marked(run.path());
        assert!(!ours.wait().unwrap().success());
        assert!(marked(run.path()).is_empty());
        assert!(others.try_wait().unwrap().is_none());
        others.kill().unwrap();
        others.wait().unwrap();
    }

    /// `setpriv` becomes `sleep` while it is looked for.
    #[test]
    fn a_marked_child_is_found_while_it_becomes_another_program() {
        let run = tempfile::tempdir().unwrap();
        for _ in 0..200 {
            let mut child = spawn_bound(bound_to_parent("sleep", run.path()).arg("1000")).unwrap();
            kill_marked(run.path());
            // It was killed, and may still be on its way out.
            let ends = (0..5000).any(|_| {
                pause(std::time::Duration::from_millis(1));
                child.try_wait().unwrap().is_some()
            });
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(ends, "it was not found");
        }
    }
}
