//! Two locks of the state folder: one agent for its apps, and one supervisor for a generation of each.

use crate::config::Dirs;
use crate::error::HostError;
use crate::files::private_dir::private_dir;
use crate::files::record;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// `PATH_MAX` of include/uapi/linux/limits.h.
const MAX_PATH: u64 = 4096;

/// Takes the lock of a generation; `None` when another supervisor runs it.
pub(crate) fn lock_generation(dirs: &Dirs, name: &str, generation: u64) -> Result<Option<File>, HostError> {
    try_lock(&dirs.state.join("apps").join(name).join(format!("{generation}.lock")))
}

/// Takes the lock of the agent, if no other one lives, and nothing that one before started runs where this one would
/// not see it: below another runtime folder.
pub(super) fn lock_agent(dirs: &Dirs) -> Result<File, HostError> {
    private_dir(&dirs.state)?;
    let path = dirs.state.join("agent.lock");
    let lock = try_lock(&path)?;
    let elsewhere = runtime_of(&path).filter(|runtime| !is_same(runtime, &dirs.runtime));
    let error = |runtime| HostError::OtherRuntime { state: dirs.state.clone(), runtime };
    let Some(mut lock) = lock else {
        return Err(elsewhere.map_or_else(|| HostError::AgentRuns { state: dirs.state.clone() }, error));
    };
    if let Some(runtime) = elsewhere.filter(|runtime| has_enclaves(dirs, runtime)) {
        return Err(error(runtime));
    }
    let written = lock.set_len(0).and_then(|()| lock.write_all(dirs.runtime.as_os_str().as_bytes()));
    written.map_err(|cause| HostError::File { doing: "Writing", path, cause })?;
    Ok(lock)
}

/// What the agent that has the lock, or had it last, said.
fn runtime_of(lock: &Path) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    File::open(lock).ok()?.take(MAX_PATH).read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then(|| OsString::from_vec(bytes).into())
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

/// Whether enclaves of an agent run below this runtime folder.
fn has_enclaves(dirs: &Dirs, runtime: &Path) -> bool {
    let there = Dirs { runtime: runtime.to_owned(), ..dirs.clone() };
    record::all(&there).is_ok_and(|records| records.iter().any(|record| record.generation.is_some()))
}

fn try_lock(path: &Path) -> Result<Option<File>, HostError> {
    let failed = |cause| HostError::File { doing: "Locking", path: path.to_owned(), cause };
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).mode(0o600).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(cause)) => Err(failed(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::dirs;
    use super::*;

    #[test]
    fn a_generation_is_locked_once() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        fs::create_dir_all(dirs.state.join("apps/a")).unwrap();
        let first = lock_generation(&dirs, "a", 1).unwrap();
        assert!(first.is_some() && lock_generation(&dirs, "a", 1).unwrap().is_none());
        assert!(lock_generation(&dirs, "a", 2).unwrap().is_some());
        drop(first);
        assert!(lock_generation(&dirs, "a", 1).unwrap().is_some());
    }

    #[test]
    fn the_lock_says_which_runtime_folder_is_used() {
        let root = tempfile::tempdir().unwrap();
        let one = dirs(root.path());
        let two = Dirs { runtime: root.path().join("elsewhere"), ..one.clone() };
        let lock = lock_agent(&one).unwrap();
        assert!(matches!(lock_agent(&one), Err(HostError::AgentRuns { .. })));
        assert!(
            matches!(lock_agent(&two), Err(HostError::OtherRuntime { runtime, .. }) if runtime == one.runtime)
        );
        drop(lock);
        // Nothing was left there.
        let lock = lock_agent(&two).unwrap();
        assert!(
            matches!(lock_agent(&one), Err(HostError::OtherRuntime { runtime, .. }) if runtime == two.runtime)
        );
        drop(lock);
        // A name of the same folder is no other folder.
        fs::create_dir(&one.runtime).unwrap();
        let link = Dirs { runtime: root.path().join("link"), ..one.clone() };
        std::os::unix::fs::symlink(&one.runtime, &link.runtime).unwrap();
        let _lock = lock_agent(&link).unwrap();
        assert!(matches!(lock_agent(&one), Err(HostError::AgentRuns { .. })));
    }
}
