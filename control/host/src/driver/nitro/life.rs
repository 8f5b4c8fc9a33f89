//! The life of one enclave at nitro-cli: started, compared with what was asked for, watched, ended.

use super::PATIENCE;
use super::cli::{Cli, end_of, is_readable};
use super::error::NitroError;
use super::output::{Asked, Described, EnclaveId, Started};
use super::parent::Claim;
use crate::driver::console;
use crate::error::HostError;
use crate::process::{self, ProcessId, bound_to_parent, spawn_bound};
use crate::run::Message;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long an enclave that nitro-cli ended may take to be gone, and a console to say its last.
const GRACE: u16 = 5000;
/// Pause between looks at the lock of whoever boots: a lock cannot be waited for beside something else.
const LOOK: Duration = Duration::from_millis(50);

/// What an enclave is started with.
pub(super) struct Birth {
    pub(super) program: PathBuf,
    pub(super) run: PathBuf,
    pub(super) eif: PathBuf,
    pub(super) name: String,
    pub(super) asked: Asked,
    pub(super) claim: Arc<Claim>,
    /// How long until its heartbeat.
    pub(super) patience: Duration,
    pub(super) messages: SyncSender<Message>,
}

/// An enclave that is started, runs, or has ended; ended when dropped.
pub(super) struct Life {
    quit: Option<UnixStream>,
    thread: Option<JoinHandle<Option<HostError>>>,
}

impl Life {
    /// Starts it, in a thread that all its processes are bound to.
    pub(super) fn begin(birth: Birth) -> Result<Self, HostError> {
        let failed = |cause| HostError::System { doing: "Starting the enclave", cause };
        let (quit, ended) = UnixStream::pair().map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("nitro".to_owned())
            .spawn(move || birth.live(&ended).err())
            .map_err(failed)?;
        Ok(Self { quit: Some(quit), thread: Some(thread) })
    }

    /// Asks for its end.
    pub(super) fn end(&mut self) {
        drop(self.quit.take());
    }

    pub(super) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end; returns why it was not a life.
    pub(super) fn join(mut self) -> Option<HostError> {
        self.thread.take()?.join().ok().flatten()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A running enclave.
struct Held {
    id: EnclaveId,
    process: ProcessId,
    /// Readable when the process, and with it the enclave, has ended.
    end: OwnedFd,
}

impl Birth {
    /// From the start to the end; `quit` is readable when somebody wants the end.
    fn live(self, quit: &UnixStream) -> Result<(), HostError> {
        let outcome = match self.boot(quit) {
            Ok(Some(held)) => self.watch(&held, quit),
            unfinished => {
                // A process that nitro-cli left behind already would hold its enclave.
                process::kill_marked(&self.run);
                unfinished.map(drop)
            }
        };
        let _ = self.messages.send(Message::MachineEnded);
        outcome
    }

    /// Starts the enclave and compares it with what was asked for; nothing when `quit` came first, or its end.
    fn boot(&self, quit: &UnixStream) -> Result<Option<Held>, HostError> {
        let Some(_alone) = self.wait_for_turn(quit)? else { return Ok(None) };
        let eif = self.eif.display().to_string();
        let Asked { cid, cpus, memory_mib, debug, .. } = self.asked;
        let [cid, cpus, memory] = [cid, cpus, memory_mib].map(|number| number.to_string());
        let mut arguments = vec!["--eif-path", &eif, "--enclave-cid", &cid, "--cpu-count", &cpus];
        arguments.extend(["--memory", &memory, "--enclave-name", &self.name]);
        arguments.extend(debug.then_some("--debug-mode"));
        let answer = self.cli().call("run-enclave", &arguments, self.patience, Some(quit.as_fd()))?;
        let Some(answer) = answer else { return Ok(None) };
        let started = Started::parse(&answer)?;
        let Some(held) = self.hold(&started)? else { return Ok(None) };
        let Some(described) = self.find(&held)? else { return Ok(None) };
        let compared = started.check(&self.asked).and_then(|()| described.check(&self.asked));
        if let Err(error) = compared {
            self.end(&held);
            return Err(error.into());
        }
        Ok(Some(held))
    }

    fn cli(&self) -> Cli<'_> {
        Cli { program: &self.program, run: &self.run }
    }

    fn wait_for_turn(&self, quit: &UnixStream) -> Result<Option<File>, HostError> {
        loop {
            if let Some(alone) = self.claim.boot_alone()? {
                return Ok(Some(alone));
            }
            if is_readable(quit.as_fd()) {
                return Ok(None);
            }
            process::pause(LOOK);
        }
    }

    /// The process that nitro-cli names must be one that came of this run; nothing where it has ended.
    fn hold(&self, started: &Started) -> Result<Option<Held>, HostError> {
        let ours = process::marked(&self.run).into_iter().find(|process| process.pid == started.process);
        if ours.is_none() && started.process > 0 && ProcessId::of(started.process).is_none() {
            return Ok(None);
        }
        let process = ours.ok_or_else(|| NitroError::Other {
            what: "process",
            asked: "one that nitro-cli left behind".to_owned(),
            found: started.process.to_string(),
        })?;
        let end = end_of(process.pid)
            .map_err(|cause| HostError::System { doing: "Watching the enclave", cause })?;
        Ok(Some(Held { id: started.id.clone(), process, end }))
    }

    /// The id must be that of this process: by another's, another enclave would be ended. Nothing where it has ended.
    fn find(&self, held: &Held) -> Result<Option<Described>, HostError> {
        let answer = self.cli().call("describe-enclaves", &[], PATIENCE, None)?.unwrap_or_default();
        let is_this = |one: &Described| one.id == held.id && one.process == held.process.pid;
        let described = Described::parse(&answer)?.into_iter().find(is_this);
        if described.is_none() && !is_readable(held.end.as_fd()) {
            let (asked, found) = ("RUNNING".to_owned(), "unknown to describe-enclaves".to_owned());
            return Err(NitroError::Other { what: "state", asked, found }.into());
        }
        Ok(described)
    }

    /// Until it ends, or is to end.
    fn watch(&self, held: &Held, quit: &UnixStream) -> Result<(), HostError> {
        let console = self.asked.debug.then(|| Console::open(self, &held.id)).transpose();
        let console = console.inspect_err(|_| self.end(held))?;
        let _ = self.messages.send(Message::Heartbeat);
        let mut fds =
            [PollFd::new(held.end.as_fd(), PollFlags::POLLIN), PollFd::new(quit.as_fd(), PollFlags::POLLIN)];
        while let Ok(0) | Err(nix::errno::Errno::EINTR) = poll(&mut fds, PollTimeout::NONE) {}
        if !is_readable(held.end.as_fd()) {
            self.end(held);
        }
        drop(console);
        Ok(())
    }

    /// Ends it by nitro-cli, and by its process where that does not do.
    fn end(&self, held: &Held) {
        // Where it fails, the end of the process does the same.
        let _ = self.cli().call("terminate-enclave", &["--enclave-id", held.id.as_str()], PATIENCE, None);
        let gone = || poll(&mut [PollFd::new(held.end.as_fd(), PollFlags::POLLIN)], PollTimeout::from(GRACE));
        if gone() != Ok(1) {
            held.process.kill();
            // Its context id is free when it is gone.
            let _ = gone();
        }
    }
}

/// `nitro-cli console`, in debug mode; what it still has to say is passed on when this is dropped.
struct Console {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Console {
    fn open(birth: &Birth, id: &EnclaveId) -> Result<Self, HostError> {
        let mut command = bound_to_parent(&birth.program, &birth.run);
        command.args(["console", "--enclave-id", id.as_str()]);
        let mut child = spawn_bound(command.stdout(Stdio::piped()).stderr(Stdio::null()))?;
        let messages = birth.messages.clone();
        let reader =
            child.stdout.take().map(|stdout| console::read_in_thread(stdout, messages)).transpose()?;
        Ok(Self { child, reader })
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // It ends with its enclave, by itself.
        if let Ok(end) = end_of(i32::try_from(self.child.id()).unwrap_or_default()) {
            let _ = poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], PollTimeout::from(GRACE));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
