//! Runs that outlive the process that started them.
//!
//! ```text
//! Supervised ──stdin: request line, later "detached"──▶ internal supervise (own session)
//!            ◀──stdout: one event a line, until ready──
//! ```
//! When the starter goes away before it said `detached`, the supervisor stops: a Ctrl-C during boot
//! leaves nothing behind.

use crate::agent;
use crate::config::{Dirs, Program, RunConfig};
use crate::driver::DriverSettings;
use crate::error::HostError;
use crate::event::{Ending, HostEvent};
use crate::files::record::{self, Record};
use crate::run::{Options, StopHandle, check, run_with};
use crate::settings;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// The longest line of either direction, in bytes: a manifest as a JSON array of numbers.
const MAX_LINE: u64 = 1024 * 1024;
/// What the starter says when the enclave may live without it.
const DETACHED: &str = "detached\n";

/// What a supervisor is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) dirs: Dirs,
    pub(crate) config: RunConfig,
    /// Which generation of the app this is, for those that the agent looks after.
    pub(crate) generation: Option<u64>,
    /// Whether another enclave of the app serves its ports yet.
    pub(crate) beside: bool,
    /// What runs the enclave.
    pub(crate) driver: DriverSettings,
}

/// Runs an enclave under a supervisor of its own, `exe internal supervise`, and returns when it is
/// ready; `exe` must answer `internal` with [`crate::internal`].
pub fn run_detached(
    dirs: &Dirs,
    config: &RunConfig,
    exe: &Path,
    on_event: &mut dyn FnMut(HostEvent),
) -> Result<Record, HostError> {
    check(dirs, config)?;
    let driver = settings::of_user(dirs)?.driver;
    let order = Order { dirs: dirs.clone(), config: config.clone(), generation: None, beside: false, driver };
    let supervised = Supervised::boot(order, &Program::new(exe), &Cancel::default(), on_event)?;
    Ok(supervised.let_go()?.0)
}

/// Ends a boot from another thread; without effect once the enclave was let go.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<Mutex<CancelState>>);

#[derive(Debug, Default)]
struct CancelState {
    asked: bool,
    /// The way to the supervisor, which stops when it is closed.
    to: Option<ChildStdin>,
}

impl Cancel {
    /// Ends it; before it began, too.
    pub(crate) fn cancel(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = true;
        drop(state.to.take());
    }

    fn attach(&self, to: ChildStdin) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.asked {
            state.to = Some(to);
        }
    }

    fn take(&self) -> Option<ChildStdin> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).to.take()
    }
}

/// A ready enclave that still ends with its starter, and when this is dropped.
#[derive(Debug)]
pub(crate) struct Supervised {
    record: Record,
    cancel: Cancel,
    /// Gone once it was let go.
    child: Option<Child>,
    /// Kept open: a supervisor that cannot tell its starter anything goes on all the same, but why should it.
    _events: BufReader<ChildStdout>,
}

impl Supervised {
    /// Starts a supervisor and waits until its enclave is ready.
    pub(crate) fn boot(
        order: Order,
        exe: &Program,
        cancel: &Cancel,
        on_event: &mut dyn FnMut(HostEvent),
    ) -> Result<Self, HostError> {
        let failed = |doing| move |cause| HostError::System { doing, cause };
        let order = order.absolute()?;
        let mut line =
            serde_json::to_vec(&order).map_err(|e| failed("Writing to the supervisor")(e.into()))?;
        line.push(b'\n');
        let mut child = Command::new(exe.exe())
            .args(["internal", "supervise"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .current_dir("/")
            .spawn()
            .map_err(failed("Starting the supervisor"))?;
        let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("Starting the supervisor")(io::Error::other("it has no pipes")));
        };
        to.write_all(&line).map_err(failed("Writing to the supervisor"))?;
        cancel.attach(to);
        let mut events = BufReader::new(from);
        match until_ready(&mut events, on_event) {
            Ok(true) => {}
            Ok(false) => {
                let status = child.wait().map_err(failed("Waiting for the supervisor"))?;
                return Err(HostError::SupervisorVanished { status: status.to_string() });
            }
            Err(error) => {
                let _ = child.wait();
                return Err(error);
            }
        }
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let mine = record::all(&order.dirs)?.into_iter().find(|record| record.pid == pid);
        let Some(record) = mine else {
            cancel.cancel();
            let _ = child.wait();
            return Err(HostError::SupervisorVanished { status: "after it was ready".to_owned() });
        };
        Ok(Self { record, cancel: cancel.clone(), child: Some(child), _events: events })
    }

    /// What runs.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Lets the enclave live without its starter. The child is there to be waited for.
    pub(crate) fn let_go(mut self) -> Result<(Record, Child), HostError> {
        let Some(mut to) = self.cancel.take() else {
            return Err(HostError::EndedBeforeReady(Ending::Stopped));
        };
        to.write_all(DETACHED.as_bytes())
            .map_err(|cause| HostError::System { doing: "Writing to the supervisor", cause })?;
        let child = self.child.take().ok_or(HostError::EndedBeforeReady(Ending::Stopped))?;
        Ok((self.record.clone(), child))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.cancel.cancel();
            let _ = child.wait();
        }
    }
}

/// Reads until the enclave is ready; `false` when the supervisor ended without a word.
fn until_ready(
    events: &mut BufReader<ChildStdout>,
    on_event: &mut dyn FnMut(HostEvent),
) -> Result<bool, HostError> {
    while let Some(event) = read_line::<HostEvent>(events) {
        on_event(event.clone());
        match event {
            HostEvent::Ready { .. } => return Ok(true),
            HostEvent::Failed { message, fix } => {
                return Err(HostError::Told { message, fix });
            }
            HostEvent::Ended(ending) => return Err(HostError::EndedBeforeReady(ending)),
            _ => {}
        }
    }
    Ok(false)
}

impl Order {
    /// The same, for a process in another folder.
    fn absolute(self) -> Result<Self, HostError> {
        let absolute = |path: &Path| {
            std::path::absolute(path)
                .map_err(|cause| HostError::System { doing: "Finding the current folder", cause })
        };
        let dirs = Dirs {
            state: absolute(&self.dirs.state)?,
            runtime: absolute(&self.dirs.runtime)?,
            cache: absolute(&self.dirs.cache)?,
        };
        let config = RunConfig { eif: absolute(&self.config.eif)?, ..self.config };
        Ok(Self { dirs, config, ..self })
    }
}

/// `internal supervise`.
pub(crate) fn main() -> ExitCode {
    // Fails only for a leader of a process group, which a freshly spawned child is not.
    let _ = nix::unistd::setsid();
    let Some(order) = read_line(&mut BufReader::new(io::stdin())) else {
        return ExitCode::from(2);
    };
    let Order { dirs, config, generation, beside, driver } = order;
    let stop = StopHandle::default();
    let program = Program::this_binary();
    let options = Options { program, stop: stop.clone(), generation, beside, driver, ..Options::default() };
    let mut starter = Some(stop);
    let mut tell = |event: HostEvent| {
        // Once the starter has its answer, writing fails and nobody minds; the log has everything.
        if let Ok(mut line) = serde_json::to_vec(&event) {
            line.push(b'\n');
            let mut stdout = io::stdout().lock();
            let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
        }
        // Not before the run blocked its signals: threads that exist by then would receive them.
        if let Some(stop) = starter.take() {
            let _ =
                std::thread::Builder::new().name("starter".to_owned()).spawn(move || follow_starter(&stop));
        }
    };
    let lock = generation.map(|generation| agent::lock_generation(&dirs, &config.name, generation));
    let outcome = match lock {
        Some(Ok(None)) => Err(HostError::RunsAlready(config.name.clone())),
        Some(Err(error)) => Err(error),
        // Held until the end.
        Some(Ok(Some(_))) | None => run_with(&dirs, &config, &options, &mut tell).map(drop),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Told twice where the run told it already; the starter hears the first one only.
            tell(HostEvent::Failed { message: error.with_causes(), fix: error.fix() });
            ExitCode::FAILURE
        }
    }
}

/// Stops the run if the starter goes away before it let the enclave go.
fn follow_starter(stop: &StopHandle) {
    let mut word = Vec::new();
    let read = io::stdin().lock().take(DETACHED.len() as u64).read_to_end(&mut word);
    if read.is_err() || word != DETACHED.as_bytes() {
        stop.stop();
    }
}

fn read_line<T: serde::de::DeserializeOwned>(reader: &mut impl io::BufRead) -> Option<T> {
    let mut line = Vec::new();
    reader.take(MAX_LINE).read_until(b'\n', &mut line).ok()?;
    serde_json::from_slice(&line).ok()
}
