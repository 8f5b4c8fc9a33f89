//! Runs that outlive the command that started them.
//!
//! ```text
//! run_detached ──stdin: request line, later "detached"──▶ internal supervise (own session)
//!              ◀──stdout: one event a line, until ready──
//! ```
//! When the starter goes away before it said `detached`, the supervisor stops: a Ctrl-C during boot
//! leaves nothing behind.

use crate::config::{Agent, Dirs, RunConfig};
use crate::error::HostError;
use crate::event::HostEvent;
use crate::record::{self, Record};
use crate::run::{Options, StopHandle, check, run_with};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The longest line of either direction, in bytes: a manifest as a JSON array of numbers.
const MAX_LINE: u64 = 1024 * 1024;
/// What the starter says when the enclave may live without it.
const DETACHED: &str = "detached\n";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    dirs: Dirs,
    config: RunConfig,
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
    let failed = |doing| move |cause| HostError::System { doing, cause };
    let mut supervisor = Command::new(exe)
        .args(["internal", "supervise"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
        .map_err(failed("Starting the supervisor"))?;
    let (Some(mut to), Some(from)) = (supervisor.stdin.take(), supervisor.stdout.take()) else {
        return Err(failed("Starting the supervisor")(io::Error::other("it has no pipes")));
    };
    let absolute = |path: &Path| std::path::absolute(path).map_err(failed("Finding the current folder"));
    let dirs = Dirs {
        state: absolute(&dirs.state)?,
        runtime: absolute(&dirs.runtime)?,
        cache: absolute(&dirs.cache)?,
    };
    let config = RunConfig { eif: absolute(&config.eif)?, ..config.clone() };
    let pid = i32::try_from(supervisor.id()).unwrap_or_default();
    let mut line = serde_json::to_vec(&Request { dirs: dirs.clone(), config })
        .map_err(|e| failed("Writing to the supervisor")(e.into()))?;
    line.push(b'\n');
    to.write_all(&line).map_err(failed("Writing to the supervisor"))?;

    let mut events = BufReader::new(from);
    while let Some(event) = read_line::<HostEvent>(&mut events) {
        on_event(event.clone());
        match event {
            HostEvent::Ready { .. } => {
                to.write_all(DETACHED.as_bytes()).map_err(failed("Writing to the supervisor"))?;
                let records = record::list(&dirs)?;
                let mine = records.into_iter().find(|record| record.pid == pid);
                return mine.ok_or_else(|| HostError::SupervisorVanished {
                    status: "after it was ready".to_owned(),
                });
            }
            HostEvent::Failed { message, fix } => {
                let _ = supervisor.wait();
                return Err(HostError::Supervisor { message, advice: fix });
            }
            HostEvent::Ended(ending) => {
                let _ = supervisor.wait();
                return Err(HostError::EndedBeforeReady(ending));
            }
            _ => {}
        }
    }
    let status = supervisor.wait().map_err(failed("Waiting for the supervisor"))?;
    Err(HostError::SupervisorVanished { status: status.to_string() })
}

/// `internal supervise`.
pub(crate) fn main() -> ExitCode {
    // Fails only for a leader of a process group, which a freshly spawned child is not.
    let _ = nix::unistd::setsid();
    let Some(Request { dirs, config }) = read_line(&mut BufReader::new(io::stdin())) else {
        return ExitCode::from(2);
    };
    let stop = StopHandle::default();
    let options = Options { agent: Agent::this_binary(), stop: stop.clone(), ..Options::default() };
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
    match run_with(&dirs, &config, &options, &mut tell) {
        Ok(_) => ExitCode::SUCCESS,
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
