//! The folder of a live enclave: who owns it, and sweeping those nobody owns.
//!
//! ```text
//! <runtime>/.agent         Unix socket of the host agent
//! <runtime>/.lock          held for moments: a folder is made or swept
//! <runtime>/<id>/lock      held by the supervisor as long as it lives
//! <runtime>/<id>/record    what `list` shows, JSON
//! <runtime>/<id>/stop      Unix socket: a connection is a request to stop
//! <runtime>/<id>/vsock     Unix socket between QEMU and the vsock device
//! <runtime>/<id>/http      Unix socket that leads to the plan's HTTP port, where it has one
//! <runtime>/<id>/attestation  Unix socket that leads to attestd
//! <runtime>/<id>/handover  Unix socket: gives, takes and drains published ports
//! <runtime>/<id>/deployed  link to where its image is kept
//! ```

use crate::config::Dirs;
use crate::error::HostError;
use crate::files::deployed::{self, Shelf};
use crate::files::private_dir::private_dir;
use crate::process;
use crate::published::listeners::ATTESTATION_SOCKET;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The longest path of a socket: `sun_path` has 108 bytes with the final NUL (unix(7)).
pub(crate) const MAX_SOCKET_PATH: usize = 107;

/// The folder of a live enclave; removed when dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    id: String,
    path: PathBuf,
    shelf: Shelf,
    /// Held until the end; the kernel lets go of it when the supervisor dies in any way.
    _lock: File,
    root: PathBuf,
}

impl RunDir {
    /// Makes a folder with a fresh id and takes it.
    pub(crate) fn create(dirs: &Dirs) -> Result<Self, HostError> {
        private_dir(&dirs.runtime)?;
        let _guard = lock_root(&dirs.runtime)?;
        loop {
            let id = fresh_id()?;
            let path = dirs.enclave(&id);
            // The longest name of a socket here.
            if path.join(ATTESTATION_SOCKET).as_os_str().len() > MAX_SOCKET_PATH {
                return Err(HostError::RuntimePath { path: dirs.runtime.clone() });
            }
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(cause) => return Err(HostError::File { doing: "Creating", path, cause }),
            }
            let lock = open_lock(&path.join("lock"))?;
            lock.try_lock().map_err(|e| lock_error(e, &path))?;
            let made = Shelf::create(dirs, &id, &path).inspect_err(|_| drop(fs::remove_dir_all(&path)))?;
            let Some(shelf) = made else {
                let _ = fs::remove_dir_all(&path);
                continue;
            };
            return Ok(Self { id, path, shelf, _lock: lock, root: dirs.runtime.clone() });
        }
    }

    /// The enclave's id: 8 hex digits.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where its image is kept.
    pub(crate) fn shelf(&self) -> &Shelf {
        &self.shelf
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        process::kill_marked(&self.path);
        let _guard = lock_root(&self.root);
        // Nothing to do about a failure here: the janitor and the next `list` try again.
        remove(&self.path);
    }
}

/// Removes a run's folder and what it keeps elsewhere. Returns whether the folder is gone.
fn remove(run: &Path) -> bool {
    deployed::remove(run);
    fs::remove_dir_all(run).is_ok()
}

/// The folders of living supervisors, after everything nobody owns any more was removed.
pub(crate) fn live(dirs: &Dirs) -> Result<Vec<PathBuf>, HostError> {
    let entries = match fs::read_dir(&dirs.runtime) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(HostError::File { doing: "Reading", path: dirs.runtime.clone(), cause }),
    };
    let _guard = lock_root(&dirs.runtime)?;
    let mut living: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !sweep_locked(path))
        .collect();
    living.sort();
    Ok(living)
}

/// Removes one folder and its processes if no supervisor owns it. Returns whether it did.
pub(crate) fn sweep(root: &Path, run: &Path) -> bool {
    let _guard = lock_root(root);
    sweep_locked(run)
}

/// Waits for the owner's end, then removes what it left.
///
/// For the janitor, which learns of the supervisor's end by a pipe: the kernel closes a dying process's
/// files one after another, so the lock may be held for a moment longer than the pipe.
pub(crate) fn sweep_after(run: &Path) {
    if let Ok(lock) = OpenOptions::new().read(true).write(true).open(run.join("lock")) {
        let _ = lock.lock();
    }
    if let Some(root) = run.parent() {
        sweep(root, run);
    }
}

fn sweep_locked(run: &Path) -> bool {
    let lock = match OpenOptions::new().read(true).write(true).open(run.join("lock")) {
        Ok(lock) => lock,
        // Folders are made with their lock under the root's lock: without one it is a half-removed
        // folder, or not ours when it is not even a folder of that shape.
        Err(e) if e.kind() == io::ErrorKind::NotFound && is_run_name(run) => {
            return remove(run);
        }
        Err(_) => return false,
    };
    if lock.try_lock().is_err() {
        return false;
    }
    process::kill_marked(run);
    remove(run)
}

fn is_run_name(run: &Path) -> bool {
    run.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn lock_root(root: &Path) -> Result<File, HostError> {
    let path = root.join(".lock");
    let lock = open_lock(&path)?;
    lock.lock().map_err(|cause| HostError::File { doing: "Locking", path, cause })?;
    Ok(lock)
}

fn open_lock(path: &Path) -> Result<File, HostError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|cause| HostError::File { doing: "Creating", path: path.to_owned(), cause })
}

fn lock_error(error: TryLockError, path: &Path) -> HostError {
    let cause = match error {
        TryLockError::WouldBlock => io::Error::other("a new folder is already locked"),
        TryLockError::Error(cause) => cause,
    };
    HostError::File { doing: "Locking", path: path.to_owned(), cause }
}

fn fresh_id() -> Result<String, HostError> {
    let bytes: [u8; 4] = random()?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], HostError> {
    let mut bytes = [0u8; N];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|cause| HostError::File { doing: "Reading", path: "/dev/urandom".into(), cause })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{bound_to_parent, spawn_bound};
    use std::os::unix::fs::PermissionsExt as _;

    fn dirs(root: &Path) -> Dirs {
        Dirs { state: root.join("state"), runtime: root.join("run"), cache: root.join("cache") }
    }

    #[test]
    fn a_live_folder_is_listed_and_goes_with_its_owner() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        assert_eq!(live(&dirs).unwrap(), Vec::<PathBuf>::new());
        let run = RunDir::create(&dirs).unwrap();
        let mode = fs::metadata(&dirs.runtime).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(live(&dirs).unwrap(), [run.path().to_owned()]);
        drop(run);
        assert_eq!(live(&dirs).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_stale_folder_is_swept_with_its_processes() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let run = dirs.runtime.join("0123abcd");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("lock"), "").unwrap();
        fs::write(run.join("record"), "{}").unwrap();
        let mut child = spawn_bound(bound_to_parent("sleep", &run).arg("1000")).unwrap();
        assert_eq!(live(&dirs).unwrap(), Vec::<PathBuf>::new());
        assert!(!run.exists());
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_folder_that_is_not_ours_stays() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let strange = dirs.runtime.join("notes");
        fs::create_dir_all(&strange).unwrap();
        live(&dirs).unwrap();
        assert!(strange.exists());
    }

    #[test]
    fn a_long_runtime_path_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let dirs = Dirs { runtime: root.path().join("x".repeat(100)), ..dirs(root.path()) };
        assert!(matches!(RunDir::create(&dirs), Err(HostError::RuntimePath { .. })));
    }
}
