//! A short answer of a program, or the end of patience.

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How a program ended, what it wrote to standard output, and to standard error.
type Answer = (ExitStatus, Vec<u8>, Vec<u8>);

/// Runs a program to its end; `None` when that has not come within `limit`, and it was killed with all it started.
pub(super) fn of(command: &mut Command, limit: Duration) -> io::Result<Option<Answer>> {
    // A group of its own, so that what it starts (docker's components) cannot keep the pipes open.
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let deadline = Instant::now() + limit;
    let (sender, ended) = mpsc::channel();
    let out = child.stdout.take().map(|from| reader(from, sender.clone())).transpose()?;
    let err = child.stderr.take().map(|from| reader(from, sender.clone())).transpose()?;
    let group = Pid::from_raw(child.id().cast_signed());
    // One that closes both and goes on is no less silent.
    thread::Builder::new().name("engine end".into()).spawn(move || {
        // Not reaped here: its number must stay its own until nobody signals it any more.
        let _ = waitid(Id::Pid(group), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        let _ = sender.send(());
    })?;
    for _ in 0..3 {
        if ended.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_err() {
            nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL)?;
            child.wait()?;
            return Ok(None);
        }
    }
    let read = |thread: Option<thread::JoinHandle<io::Result<Vec<u8>>>>| match thread
        .map(thread::JoinHandle::join)
    {
        Some(Ok(bytes)) => bytes,
        _ => Err(io::Error::other("a reader of the engine's answer ended early")),
    };
    let (out, err) = (read(out)?, read(err)?);
    Ok(Some((child.wait()?, out, err)))
}

fn reader(
    mut from: impl Read + Send + 'static,
    ended: mpsc::Sender<()>,
) -> io::Result<thread::JoinHandle<io::Result<Vec<u8>>>> {
    thread::Builder::new().name("engine answer".into()).spawn(move || {
        let mut bytes = Vec::new();
        let read = from.by_ref().take(MAX_BYTES).read_to_end(&mut bytes);
        // More than anybody asked for: read and forgotten.
        let rest = read.and_then(|_| io::copy(&mut from, &mut io::sink()));
        // Nobody listens any more after the limit.
        let _ = ended.send(());
        rest.map(|_| bytes)
    })
}

const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Option<Answer> {
        of(Command::new("/bin/sh").args(["-c", script]), limit).expect("runs")
    }

    #[test]
    fn both_streams_and_the_status_are_told() {
        let (status, out, err) =
            shell("echo out; echo err >&2; exit 3", Duration::from_mins(1)).expect("ends");
        assert_eq!((status.code(), out.as_slice(), err.as_slice()), (Some(3), &b"out\n"[..], &b"err\n"[..]));
        let (_, out, _) = shell("head -c 2000000 /dev/zero", Duration::from_mins(1)).expect("ends");
        assert_eq!(out.len() as u64, MAX_BYTES);
    }

    /// A client that waits, and a component of its that keeps its pipes.
    #[test]
    fn who_says_nothing_is_not_waited_for_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! >'{}'; wait", pid.display());
        assert_eq!(shell(&script, Duration::from_secs(5)), None);
        assert_eq!(shell("exec >&- 2>&-; sleep 1000", Duration::from_secs(1)), None);
        let pid = std::fs::read_to_string(pid).expect("was started");
        let gone =
            Command::new("timeout").args(["60", "tail", "-f", "/dev/null", "--pid", pid.trim()]).status();
        assert!(gone.is_ok_and(|status| status.success()), "{pid} still runs");
    }
}
