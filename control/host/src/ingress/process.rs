//! The Caddy process: one for a folder, in a session of its own, alive beyond the agent.
//!
//! Caddy's standard input is a file that the agent locked: the lock lives as long as Caddy does, and
//! whoever gets it knows that no Caddy runs. So two agents never start two, an agent that comes
//! later finds the one that is there, and waiting for the lock is waiting for Caddy's end, child
//! or not.

use super::Settings;
use super::admin;
use super::config;
use super::error::IngressError;
use crate::error::HostError;
use crate::files::runtime::MAX_SOCKET_PATH;
use crate::process::{ProcessId, pause};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long Caddy may take to answer its admin socket.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Every Caddy of ours carries this variable with its folder.
const MARKER: &str = "CAUTION_INGRESS";
/// What util-linux' `setsid` says when there is no such program.
const NO_PROGRAM: i32 = 127;

/// A running Caddy.
#[derive(Debug)]
pub(crate) struct Caddy {
    /// Present when this process started it, and has to reap it.
    child: Option<Child>,
    /// Its process number, for people; not known of one whose `/proc` is another user's.
    pid: Option<i32>,
}

impl Caddy {
    /// The one that runs; else a new one, without routes. Says which by `true` for a new one.
    pub(crate) fn find_or_start(settings: &Settings) -> Result<(Self, bool), IngressError> {
        let lock = open_lock(settings)?;
        match lock.try_lock() {
            Ok(()) => Ok((start(settings, lock)?, true)),
            Err(TryLockError::WouldBlock) => {
                wait_for_answer(settings, &mut || None)?;
                let pid = crate::process::carrying(MARKER, &settings.folder).first().map(|id| id.pid);
                Ok((Self { child: None, pid }, false))
            }
            Err(TryLockError::Error(cause)) => Err(lock_failed(settings, cause).into()),
        }
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// How it ended; `None` while it runs, or when that is not known of a stranger's child.
    fn reap(&mut self) -> Option<String> {
        Some(self.child.as_mut()?.try_wait().ok()??.to_string())
    }
}

/// Whether a Caddy of this folder runs.
pub(crate) fn runs(settings: &Settings) -> bool {
    let lock = File::open(settings.folder.join("caddy.lock"));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Waits until the Caddy of this folder ended. The lock comes back with it, so that nobody else
/// starts one.
pub(crate) fn wait_for_end(settings: &Settings) -> Result<File, HostError> {
    let lock = open_lock(settings)?;
    lock.lock().map_err(|cause| lock_failed(settings, cause))?;
    Ok(lock)
}

/// What is known about how it ended, for a log line.
pub(crate) fn how_it_ended(caddy: &mut Caddy) -> String {
    // The lock is let go of while the process exits; a moment later it can be reaped.
    let deadline = Instant::now() + Duration::from_secs(1);
    while caddy.child.is_some() && Instant::now() < deadline {
        if let Some(status) = caddy.reap() {
            return status;
        }
        pause(Duration::from_millis(2));
    }
    "how is not known".to_owned()
}

/// Starts Caddy with its admin socket and nothing else; `lock` is held.
pub(crate) fn start(settings: &Settings, lock: File) -> Result<Caddy, IngressError> {
    let system = |doing| move |cause| HostError::System { doing, cause };
    let bare = settings.folder.join("bare.json");
    std::fs::write(&bare, config::bare(settings).to_string()).map_err(HostError::file("Writing", &bare))?;
    // A Caddy that was killed leaves its socket, on which another could not listen.
    let _ = std::fs::remove_file(settings.admin());
    let mut errors = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(settings.stderr())
        .map_err(HostError::file("Creating", &settings.stderr()))?;
    let child = Command::new("setsid")
        .args(["caddy", "run", "--config"])
        .arg(&bare)
        .env(MARKER, &settings.folder)
        // Where it would otherwise look for a home.
        .env("XDG_DATA_HOME", &settings.state)
        .env("XDG_CONFIG_HOME", &settings.state)
        .current_dir("/")
        .stdin(lock)
        .stdout(Stdio::null())
        .stderr(errors.try_clone().map_err(system("Starting Caddy"))?)
        .spawn()
        .map_err(system("Starting Caddy"))?;
    let pid = i32::try_from(child.id()).ok();
    let mut caddy = Caddy { child: Some(child), pid };
    let mut ended = None;
    let answered = wait_for_answer(settings, &mut || {
        ended = caddy.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        ended.map(|status| format!("it ended ({status}) and wrote: {}", tail(&mut errors)))
    });
    match answered {
        Err(_) if ended.and_then(|status| status.code()) == Some(NO_PROGRAM) => {
            Err(IngressError::CaddyMissing)
        }
        Err(error) => {
            // One that does not answer must not stay: it has the lock.
            if let Some(child) = caddy.child.as_mut() {
                let _ = child.kill();
                let _ = child.wait();
            }
            Err(error)
        }
        Ok(()) => Ok(caddy),
    }
}

/// Ends the Caddy of this folder, if there is one.
pub(crate) fn stop(settings: &Settings) -> Result<(), IngressError> {
    if admin::stop(&settings.admin()).is_err() {
        crate::process::carrying(MARKER, &settings.folder).into_iter().for_each(ProcessId::kill);
    }
    wait_for_end(settings)?;
    Ok(())
}

/// Waits until the admin socket answers, or `failed` says why it never will.
fn wait_for_answer(
    settings: &Settings,
    failed: &mut dyn FnMut() -> Option<String>,
) -> Result<(), IngressError> {
    let deadline = Instant::now() + START_LIMIT;
    while !admin::is_there(&settings.admin()) {
        if let Some(reason) = failed() {
            return Err(IngressError::CaddyEnded { reason });
        }
        if Instant::now() > deadline {
            let reason = format!("it did not answer for {} s", START_LIMIT.as_secs());
            return Err(IngressError::CaddyEnded { reason });
        }
        pause(Duration::from_millis(5));
    }
    Ok(())
}

fn open_lock(settings: &Settings) -> Result<File, HostError> {
    let path = settings.folder.join("caddy.lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(&path).map_err(HostError::file("Creating", &path))
}

fn lock_failed(settings: &Settings, cause: std::io::Error) -> HostError {
    HostError::file("Locking", &settings.folder.join("caddy.lock"))(cause)
}

/// The last line a program wrote, bounded and printable.
fn tail(errors: &mut File) -> String {
    let mut text = Vec::new();
    let read = errors.seek(SeekFrom::Start(0)).and_then(|_| errors.take(64 * 1024).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if read.is_err() { String::new() } else { line.chars().filter(|c| !c.is_control()).take(300).collect() }
}

/// Whether the folder leaves room for what is made in it, and can be said in JSON.
pub(crate) fn fits(folder: &Path) -> bool {
    let longest = folder.join("up/0123456789abcdef.0");
    folder.to_str().is_some() && longest.as_os_str().len() <= MAX_SOCKET_PATH
}
