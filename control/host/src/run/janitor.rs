//! Clean-up that survives `kill -9` of the supervisor.
//!
//! The janitor is this binary again, in a process group of its own, doing nothing but read a pipe
//! that only the supervisor can write to. End of file means that it is gone, however it went.

use crate::config::Program;
use crate::error::HostError;
use crate::files::runtime;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitCode, Stdio};

/// The supervisor's end; dropping it lets the janitor look once and end.
#[derive(Debug)]
pub(crate) struct Janitor {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Janitor {
    /// Starts the janitor of the folder `run`.
    pub(crate) fn start(program: &Program, run: &Path) -> Result<Self, HostError> {
        let mut child = Command::new(program.exe())
            .args(["internal", "janitor"])
            .arg(run)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|cause| HostError::System { doing: "Starting the janitor", cause })?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It ends after one look at the folder; leaving earlier would leave a process behind.
        let _ = self.child.wait();
    }
}

/// `internal janitor RUN`: waits for the supervisor's end, then removes what it left.
pub(crate) fn main(run: &Path) -> ExitCode {
    ignore_signals();
    let mut byte = [0u8; 1];
    let mut supervisor = std::io::stdin().lock();
    // It never writes: anything but an interruption is its end.
    while let Err(e) = supervisor.read(&mut byte) {
        if e.kind() != std::io::ErrorKind::Interrupted {
            break;
        }
    }
    runtime::sweep_after(run);
    ExitCode::SUCCESS
}

/// A terminal that closes, or a shutdown's SIGTERM, must not end the janitor before the supervisor.
fn ignore_signals() {
    use nix::sys::signal::{SigSet, Signal};
    let mut set = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGTSTP] {
        set.add(signal);
    }
    // Only fails for invalid arguments.
    let _ = set.thread_block();
}
