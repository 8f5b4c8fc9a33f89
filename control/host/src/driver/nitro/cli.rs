//! Running nitro-cli: with a limit to its time and to what it prints.

use super::error::NitroError;
use super::output::refusal;
use crate::error::HostError;
use crate::process::{bound_to_parent, spawn_bound};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// nitro-cli, for one run.
#[derive(Debug)]
pub(super) struct Cli<'a> {
    pub(super) program: &'a Path,
    /// The run's folder, which marks every process that comes of it: the enclave's own process, too, because
    /// nitro-cli makes that by forking.
    pub(super) run: &'a Path,
}

impl Cli<'_> {
    /// Runs a command to its end and returns what it printed; `None` when `quit` became readable before.
    ///
    /// Call it from a thread that lives as long as the command.
    pub(super) fn call(
        &self,
        command: &'static str,
        arguments: &[&str],
        patience: Duration,
        quit: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Vec<u8>>, HostError> {
        let until = Instant::now() + patience;
        let mut process = bound_to_parent(self.program, self.run);
        process.arg(command).args(arguments).env("LC_ALL", "C");
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Killed(spawn_bound(&mut process)?);
        let failed = |cause| HostError::System { doing: "Watching nitro-cli", cause };
        let end = end_of(i32::try_from(child.0.id()).unwrap_or_default()).map_err(failed)?;
        let mut stdout = Pipe::of(child.0.stdout.take()).map_err(failed)?;
        let mut stderr = Pipe::of(child.0.stderr.take()).map_err(failed)?;
        loop {
            stdout.read().map_err(failed)?;
            stderr.read().map_err(failed)?;
            stdout.check(command)?;
            // Its pipes can be held by others; its own end is what counts.
            if is_readable(end.as_fd()) {
                break;
            }
            if quit.is_some_and(is_readable) {
                return Ok(None);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NitroError::Hung { command, seconds: patience.as_secs() }.into());
            }
            let mut fds = vec![PollFd::new(end.as_fd(), PollFlags::POLLIN)];
            fds.extend(quit.map(|quit| PollFd::new(quit, PollFlags::POLLIN)));
            fds.extend(stdout.waits().into_iter().chain(stderr.waits()));
            let _ = poll(&mut fds, PollTimeout::try_from(left.min(LONGEST)).unwrap_or(PollTimeout::MAX));
        }
        // All that it wrote is in the pipes by now.
        stdout.read().map_err(failed)?;
        stderr.read().map_err(failed)?;
        stdout.check(command)?;
        let status = child.0.wait().map_err(failed)?;
        let said = refusal(command, &String::from_utf8_lossy(&stderr.bytes), &status.to_string());
        // An error and no answer is a refusal, whatever it ended with.
        let refused =
            stdout.bytes.trim_ascii().is_empty() && matches!(said, NitroError::Refused { code: Some(_), .. });
        match status.code() {
            Some(0) if !refused => Ok(Some(stdout.bytes)),
            // setpriv could not find it.
            Some(127) => Err(NitroError::CliMissing(self.program.to_owned()).into()),
            _ => Err(said.into()),
        }
    }
}

/// A descriptor that becomes readable when this process ends.
pub(super) fn end_of(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Whether there is something to read, or the other end is gone.
pub(super) fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// Killed and waited for when dropped, unless it ended.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The reading end of a pipe, that never blocks.
struct Pipe<R> {
    source: Option<R>,
    bytes: Vec<u8>,
}

impl<R: Read + AsFd> Pipe<R> {
    fn of(source: Option<R>) -> io::Result<Self> {
        if let Some(source) = &source {
            fcntl(source, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self { source, bytes: Vec::new() })
    }

    /// Takes what is there, though not without end, and keeps it up to the limit.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        for _ in 0..IN_A_ROW {
            let Some(source) = &mut self.source else { return Ok(()) };
            match source.read(&mut buffer) {
                Ok(0) => self.source = None,
                Ok(length) if self.bytes.len() <= MAX_STDOUT => {
                    self.bytes.extend_from_slice(&buffer[..length]);
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn check(&self, command: &'static str) -> Result<(), NitroError> {
        if self.bytes.len() <= MAX_STDOUT {
            return Ok(());
        }
        let why = format!("it printed more than {MAX_STDOUT} bytes");
        Err(NitroError::Answer { command, why })
    }

    fn waits(&self) -> Option<PollFd<'_>> {
        self.source.as_ref().map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN))
    }
}

/// The longest answer, in bytes: `describe-enclaves` of four enclaves has 4 KiB.
const MAX_STDOUT: usize = 256 * 1024;
/// Reads of one pipe before the other one is looked at; together more than a pipe holds.
const IN_A_ROW: usize = 32;
/// The longest wait that a poll can be told.
const LONGEST: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::marked;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_command_has_its_time_can_be_given_up_and_leaves_no_process() {
        let run = tempfile::tempdir().unwrap();
        let sleep = Cli { program: Path::new("sleep"), run: run.path() };
        let hung = sleep.call("1000", &[], Duration::from_millis(200), None).unwrap_err();
        assert!(matches!(hung, HostError::Nitro(NitroError::Hung { command: "1000", .. })), "{hung}");
        let (quit, ended) = UnixStream::pair().unwrap();
        drop(quit);
        let given_up = sleep.call("1000", &[], Duration::from_mins(1), Some(ended.as_fd())).unwrap();
        assert_eq!(given_up, None);
        assert!(marked(run.path()).is_empty());
        let echo = Cli { program: Path::new("echo"), run: run.path() };
        let said = echo.call("a", &["b"], Duration::from_mins(1), None).unwrap();
        assert_eq!(said.as_deref(), Some(&b"a b\n"[..]));
        let shell = Cli { program: Path::new("sh"), run: run.path() };
        let said =
            |script: &'static str| shell.call("-c", &[script], Duration::from_mins(1), None).unwrap_err();
        let silent = said("echo '[ E39 ] Enclave process connection failure.' >&2");
        assert!(
            matches!(&silent, HostError::Nitro(NitroError::Refused { code: Some(e39), .. }) if e39 == "E39")
        );
        for _ in 0..5 {
            let long = said("head -c 262145 /dev/zero");
            assert!(matches!(long, HostError::Nitro(NitroError::Answer { .. })), "{long}");
        }
        let endless = said("yes");
        assert!(matches!(endless, HostError::Nitro(NitroError::Answer { .. })), "{endless}");
        assert!(marked(run.path()).is_empty());
        let missing = Cli { program: Path::new("/nonexistent/nitro-cli"), run: run.path() };
        let missing = missing.call("describe-enclaves", &[], Duration::from_mins(1), None).unwrap_err();
        assert!(matches!(missing, HostError::Nitro(NitroError::CliMissing(_))), "{missing}");
    }
}
