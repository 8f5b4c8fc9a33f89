//! What a server that was killed left of pushes: each repository is brought in order before it is pushed to again.

use super::Shared;
use super::push::Push;
use crate::job::patiently;
use crate::store::{AppId, StoreError, app};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Settles every repository. Those in which a git of the killed server is still at work follow when it has ended.
pub(super) async fn all(shared: &Arc<Shared>) {
    let folders = fs::read_dir(shared.git.repositories()).into_iter().flatten().flatten();
    for path in folders.map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".git"));
        let Some(app) = name.and_then(|name| name.parse().ok()) else { continue };
        if !matches!(one(shared, app, &path).await, Ok(true)) {
            let later = Arc::clone(shared);
            shared.lock().spawn(async move {
                // Another process holds the lock: only a thread that nobody can end could wait for it.
                while !matches!(one(&later, app, &path).await, Ok(true)) {
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
    }
}

/// Settles a repository; false where somebody is pushing to it.
async fn one(shared: &Shared, id: AppId, repository: &Path) -> io::Result<bool> {
    let Ok(lock) = File::open(repository.join(LOCK)) else { return Ok(true) };
    match lock.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(false),
        Err(fs::TryLockError::Error(cause)) => return Err(cause),
    }
    sweep(repository)?;
    for push in Push::unfinished(repository)? {
        let app = patiently(|| async { app::find(&mut *shared.store.read().await?, id).await });
        let Some(app) = app.await.map_err(io::Error::other)? else { return Ok(true) };
        let moved = push.moved(&shared.git).await?;
        let done: Result<_, StoreError> = push.write_down(&shared.store, &shared.git, &app, &moved).await;
        done.map_err(io::Error::other)?;
        shared.jobs.bell.ring();
    }
    Ok(true)
}

/// Removes what a git that was killed keeps others from: locks of branches, and what it had not taken over.
fn sweep(repository: &Path) -> io::Result<()> {
    let mut folders = vec![repository.join("refs")];
    let mut stale: Vec<PathBuf> =
        ["HEAD.lock", "packed-refs.lock", "packed-refs.new", "config.lock", "shallow.lock"]
            .map(|name| repository.join(name))
            .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            // No branch has a name that ends so (git-check-ref-format(1)).
            let is_lock = entry.path().extension().is_some_and(|ending| ending == "lock");
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if is_lock {
                stale.push(entry.path());
            }
        }
    }
    for path in stale {
        gone(fs::remove_file(path))?;
    }
    for folder in ["objects", "objects/pack"].map(|name| repository.join(name)) {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_"))
        {
            let folder = entry.file_type()?.is_dir();
            let path = entry.path();
            gone(if folder { fs::remove_dir_all(path) } else { fs::remove_file(path) })?;
        }
    }
    Ok(())
}

/// It is not there, as it should be.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// In a repository; each push holds it, together with others, as long as its git runs.
pub(super) const LOCK: &str = "pushes.lock";
/// How long a git that still runs is left alone.
const AGAIN: Duration = Duration::from_secs(1);
