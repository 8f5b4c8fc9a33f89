//! What is known about running enclaves: `list`, `find`, `stop`.

use crate::config::Dirs;
use crate::error::HostError;
use crate::event::{Accelerator, Ending};
use crate::files::runtime;
use crate::process::ProcessId;
use caution_abi::control::Phase;
use caution_measure::{Measurements, Sha256Digest};
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The socket in a run's folder on which a connection asks the supervisor to stop.
pub(crate) const STOP_SOCKET: &str = "stop";
/// The longest record read, in bytes.
const MAX_RECORD: u64 = 256 * 1024;
/// How long a supervisor may take to stop its enclave before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// A running enclave, as its supervisor last wrote it down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// 8 hex digits, unique among running enclaves.
    pub id: String,
    /// The app's name.
    pub name: String,
    /// The checkout it was built from.
    pub checkout: Option<PathBuf>,
    /// SHA-256 of the image file.
    pub eif_sha256: Sha256Digest,
    /// What the image measures; in debug mode documents attest zeros instead.
    pub measurements: Measurements,
    /// Debug mode.
    pub debug: bool,
    /// Application ports as (enclave, 127.0.0.1).
    pub ports: Vec<(u16, u16)>,
    /// Where evidence is served: `http://127.0.0.1:<port>/attestation`.
    pub attestation_url: String,
    /// The port of `attestation_url`.
    pub(crate) attestation_port: u16,
    /// The Unix socket that leads to the app's HTTP port, or to what encrypts in front of it; it refuses connections until the app is ready.
    pub http_socket: Option<PathBuf>,
    /// The Unix socket that leads to attestd; it refuses connections until the app was started.
    pub attestation_socket: PathBuf,
    /// The first published port as a URL, where there is one.
    pub app_url: Option<String>,
    /// The supervisor's process.
    pub pid: i32,
    /// Start of that process, in clock ticks since boot.
    pub(crate) pid_start: u64,
    /// How far the enclave is; `None` before it said anything.
    pub phase: Option<Phase>,
    /// When the run began, in seconds since the Unix epoch.
    pub started_at_unix: u64,
    /// How the virtual machine executes.
    pub accelerator: Accelerator,
    /// Which generation of its app it is; `None` where no agent looks after it.
    pub generation: Option<u64>,
    /// Whether its ports are open. One that boots beside another of its app gets them when it is ready.
    pub(crate) serving: bool,
}

impl Record {
    /// Writes it into the folder of its run, whole or not at all.
    pub(crate) fn save(&self, run: &Path) -> Result<(), HostError> {
        let (path, next) = (run.join("record"), run.join("record.next"));
        let failed = |cause| HostError::File { doing: "Writing", path: path.clone(), cause };
        let bytes = serde_json::to_vec(self).map_err(|e| failed(e.into()))?;
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| std::fs::rename(&next, &path))
            .map_err(failed)
    }

    fn load(run: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        std::fs::File::open(run.join("record")).ok()?.take(MAX_RECORD).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// All running enclaves that can be reached, oldest first. Removes what dead supervisors left behind.
pub fn list(dirs: &Dirs) -> Result<Vec<Record>, HostError> {
    Ok(all(dirs)?.into_iter().filter(|record| record.serving).collect())
}

/// Those, too, that wait for the ports of another.
pub(crate) fn all(dirs: &Dirs) -> Result<Vec<Record>, HostError> {
    // A supervisor that has not written its record yet is still preparing.
    let mut records: Vec<Record> = runtime::live(dirs)?.iter().filter_map(|run| Record::load(run)).collect();
    records.sort_by(|a, b| (a.started_at_unix, &a.id).cmp(&(b.started_at_unix, &b.id)));
    Ok(records)
}

/// The running enclave with this id, or the only one with this name.
pub fn find(dirs: &Dirs, name_or_id: &str) -> Result<Record, HostError> {
    let mut records = all(dirs)?;
    if let Some(at) = records.iter().position(|record| record.id == name_or_id) {
        return Ok(records.swap_remove(at));
    }
    records.retain(|record| record.name == name_or_id && record.serving);
    match records.len() {
        0 => Err(HostError::NotRunning(name_or_id.to_owned())),
        1 => Ok(records.swap_remove(0)),
        count => Err(HostError::Ambiguous { name: name_or_id.to_owned(), count }),
    }
}

/// Stops a running enclave and waits until nothing of it is left.
///
/// A supervisor that does not answer within 20 s is killed, and what it leaves is removed.
pub fn stop(dirs: &Dirs, id: &str) -> Result<Ending, HostError> {
    let record = find(dirs, id)?;
    let run = dirs.enclave(&record.id);
    let asked = ask_to_stop(&run.join(STOP_SOCKET));
    if asked.is_err() && !run.exists() {
        return Ok(Ending::Stopped);
    }
    let supervisor = ProcessId { pid: record.pid, start: record.pid_start };
    if asked.is_err() && supervisor.is_alive() {
        supervisor.kill();
    }
    while run.exists() && !runtime::sweep(&dirs.runtime, &run) {
        crate::process::pause(Duration::from_millis(10));
    }
    Ok(asked.ok().flatten().unwrap_or(Ending::Stopped))
}

/// Connects to the supervisor; the connection is the request, the answer is the ending as JSON.
fn ask_to_stop(socket: &Path) -> io::Result<Option<Ending>> {
    let supervisor = UnixStream::connect(socket)?;
    supervisor.set_read_timeout(Some(STOP_PATIENCE))?;
    supervisor.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    supervisor.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(serde_json::from_slice(&answer).ok())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::files::runtime::RunDir;
    use caution_measure::Pcr;

    pub(crate) fn sample(id: &str, name: &str) -> Record {
        let own = ProcessId::own().unwrap();
        Record {
            id: id.to_owned(),
            name: name.to_owned(),
            checkout: None,
            eif_sha256: Sha256Digest::of(b""),
            measurements: Measurements { pcr0: Pcr::ZERO, pcr1: Pcr::ZERO, pcr2: Pcr::EMPTY },
            debug: false,
            ports: vec![(8080, 8080)],
            attestation_url: "http://127.0.0.1:49502/attestation".to_owned(),
            attestation_port: 49502,
            http_socket: None,
            attestation_socket: "/run/attestation".into(),
            app_url: None,
            pid: own.pid,
            pid_start: own.start,
            phase: Some(Phase::Ready),
            started_at_unix: 1,
            accelerator: Accelerator::Tcg { why: "test".to_owned() },
            generation: None,
            serving: true,
        }
    }

    #[test]
    fn records_are_found_by_id_and_by_a_unique_name() {
        let root = tempfile::tempdir().unwrap();
        let dirs = Dirs {
            state: root.path().join("s"),
            runtime: root.path().join("r"),
            cache: root.path().join("c"),
        };
        let runs: Vec<RunDir> = (0..3).map(|_| RunDir::create(&dirs).unwrap()).collect();
        for (run, name) in runs.iter().zip(["a", "b", "b"]) {
            sample(run.id(), name).save(run.path()).unwrap();
        }
        assert_eq!(list(&dirs).unwrap().len(), 3);
        assert_eq!(find(&dirs, "a").unwrap().id, runs[0].id());
        assert_eq!(find(&dirs, runs[2].id()).unwrap().name, "b");
        assert!(matches!(find(&dirs, "b"), Err(HostError::Ambiguous { count: 2, .. })));
        assert!(matches!(find(&dirs, "c"), Err(HostError::NotRunning(_))));
        assert!(matches!(stop(&dirs, "c"), Err(HostError::NotRunning(_))));
    }
}
