//! Running git where a stranger decides what it gets: bounded in bytes, in silence and in time.

use super::{GitError, RemoteError, RemoteLimits};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

/// How it went.
pub(super) enum Outcome {
    /// It succeeded, with this on standard output.
    Done(String),
    /// It failed, with this on standard error.
    Failed(String),
    /// It wrote nothing for as long as that may be.
    Stalled,
    /// It wrote, and was not done in the time that the whole may take.
    TooSlow,
}

/// Runs git to its end. It writes into files of `folder`, not into pipes: a helper that outlives it, as a
/// shared connection of ssh does, would keep a pipe open.
pub(super) fn run(
    git: &Command,
    folder: &Path,
    limits: RemoteLimits,
    may_ask: bool,
) -> Result<Outcome, RemoteError> {
    let (out, err) = (folder.join("stdout"), folder.join("stderr"));
    let mut command = bounded(git, limits, may_ask);
    command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
    let mut child = command.spawn().map_err(GitError::Process)?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    let (ended, wait) = channel();
    // Waits without reaping, so that the number stays this child's until it is known to have ended.
    let watch = std::thread::spawn(move || {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while waitid(Id::Pid(pid), flags) == Err(nix::errno::Errno::EINTR) {}
        // Nobody listens any more when the other side has failed.
        let _ = ended.send(());
    });
    let started = Instant::now();
    let (mut seen, mut end) = (0, None);
    loop {
        let left = limits.whole.saturating_sub(started.elapsed());
        let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(left.min(limits.silence)) else { break };
        let written = length(&out) + length(&err);
        if started.elapsed() >= limits.whole {
            end = Some(Outcome::TooSlow);
        } else if written == seen {
            end = Some(Outcome::Stalled);
        }
        seen = written;
        if end.is_some() {
            // One that may ask shares its group with us, and takes its helpers along when asked to end.
            let _ = if may_ask { kill(pid, Signal::SIGTERM) } else { killpg(pid, Signal::SIGKILL) };
            break;
        }
    }
    let status = child.wait().map_err(GitError::Process)?;
    let _ = watch.join();
    end.map_or_else(|| outcome(status, &out, &err), Ok)
}

fn outcome(status: ExitStatus, out: &Path, err: &Path) -> Result<Outcome, RemoteError> {
    if status.success() { Ok(Outcome::Done(read(out)?)) } else { read(err).map(Outcome::Failed) }
}

/// The same command, for which no file may grow beyond the limit nor its memory beyond [`memory`], and which ends when
/// this program does.
///
/// Without somebody to answer it has no terminal either: ssh and helpers would ask there, whatever stands in
/// their standard input. `setsid` and `setpriv` belong to util-linux.
fn bounded(git: &Command, limits: RemoteLimits, may_ask: bool) -> Command {
    let mut command = Command::new("/bin/sh");
    // Where less memory is allowed already, that stays.
    let script =
        "umask 077 && ulimit -f \"$1\" && { ulimit -d \"$2\" 2>/dev/null || :; } && shift 2 && exec \"$@\"";
    command.args(["-c", script, "sh"]).arg((most(limits) / BLOCK).to_string());
    command.arg((memory(limits) / 1024).to_string());
    if !may_ask {
        command.arg("setsid");
    }
    command.args(["setpriv", "--pdeathsig", "TERM", "--"]).arg(git.get_program()).args(git.get_args());
    command.env_clear();
    command.envs(git.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

/// The length that no file may exceed.
pub(super) const fn most(limits: RemoteLimits) -> u64 {
    limits.bytes / BLOCK * BLOCK
}

/// Bytes of memory that a process may write to. A pack of some kilobytes can describe objects of any size as
/// differences from others, and git makes each in memory to check it.
const fn memory(limits: RemoteLimits) -> u64 {
    limits.bytes.saturating_add(4 << 30)
}

fn create(path: &Path) -> Result<File, RemoteError> {
    File::create(path).map_err(|source| RemoteError::Io { path: path.to_owned(), source })
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// The last 64 KiB, as text.
fn read(path: &Path) -> Result<String, RemoteError> {
    use std::io::{Seek as _, SeekFrom};
    let io = |source| RemoteError::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    file.seek(SeekFrom::Start(length(path).saturating_sub(SHOWN))).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(SHOWN).read_to_end(&mut bytes).map_err(io)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What POSIX' `ulimit -f` counts in.
const BLOCK: u64 = 512;
const SHOWN: u64 = 64 * 1024;
