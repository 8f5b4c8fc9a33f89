//! The images that enclaves were booted from, kept whole as long as the enclaves live.
//!
//! ```text
//! <runtime>/<id>/deployed               link to <state>/deployed/<id>, for whoever removes the run
//! <state>/deployed/<id>.run             link to <runtime>/<id>, for whoever finds what a run left
//! <state>/deployed/<id>/<sha256>.eif    the image
//! ```
//! It is a copy, which shares its blocks with the original where the file system can (`copy_file_range`), and
//! never a hard link: a file that somebody writes into would change what was deployed along with it.

use crate::config::Dirs;
use crate::error::HostError;
use crate::files::private_dir::private_dir;
use crate::files::record::Record;
use crate::run::admission;
use caution_measure::Sha256Digest;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// The image that a running enclave was booted from, as a file to read. Nobody has looked at it since: whoever
/// relies on it compares its digest with `record.eif_sha256`.
pub fn deployed_image(dirs: &Dirs, record: &Record) -> Result<PathBuf, HostError> {
    let path = dirs.enclave(&record.id).join(LINK).join(file_name(&record.eif_sha256));
    fs::canonicalize(path).map_err(|cause| HostError::NoDeployedImage { name: record.name.clone(), cause })
}

/// Where one run keeps its image; removed by [`remove`] together with the run's folder.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Makes it; `None` if a run below another runtime folder has this id.
    pub(crate) fn create(dirs: &Dirs, id: &str, run: &Path) -> Result<Option<Self>, HostError> {
        let root = dirs.deployed();
        let failed = |path: &Path| HostError::file("Creating", path);
        private_dir(&root)?;
        remove_lost(&root);
        let folder = root.join(id);
        // Before the folder, so that no folder is ever without it.
        match symlink(run, run_link(&folder)) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(cause) => return Err(failed(&folder)(cause)),
        }
        symlink(&folder, run.join(LINK)).map_err(failed(run))?;
        DirBuilder::new().mode(0o700).create(&folder).map_err(failed(&folder))?;
        Ok(Some(Self { folder }))
    }

    /// Copies the first `length` bytes of an image that is not measured yet.
    pub(crate) fn take_in(&self, original: &File, length: u64) -> Result<Incoming, HostError> {
        admission::disk(&self.folder, length)?;
        let path = self.folder.join("incoming");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let copied = options.open(&path).and_then(|mut file| {
            io::copy(&mut original.take(length), &mut file)?;
            file.rewind()?;
            Ok(file)
        });
        match copied {
            Ok(file) => Ok(Incoming { path, file }),
            Err(cause) => Err(HostError::File { doing: "Copying the image to", path, cause }),
        }
    }
}

/// A copy that has no digest yet.
#[derive(Debug)]
pub(crate) struct Incoming {
    path: PathBuf,
    /// At its beginning.
    pub(crate) file: File,
}

impl Incoming {
    /// Gives it the name of what was read from it; returns it open.
    pub(crate) fn keep(self, sha256: &Sha256Digest) -> Result<File, HostError> {
        let kept = self.path.with_file_name(file_name(sha256));
        // Nobody has a reason to write to it.
        let read_only = Permissions::from_mode(0o400);
        self.file
            .set_permissions(read_only)
            .and_then(|()| fs::rename(&self.path, &kept))
            .map_err(|cause| HostError::File { doing: "Keeping", path: kept, cause })?;
        Ok(self.file)
    }
}

/// Removes what a run keeps, before its own folder goes. Where that fails, the next run tries again.
pub(crate) fn remove(run: &Path) {
    if let Ok(folder) = fs::read_link(run.join(LINK)) {
        remove_folder(&folder);
    }
}

/// Removes what runs kept whose own folders are gone: of a machine that lost its power.
fn remove_lost(root: &Path) {
    let entries = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for link in entries.filter(|path| path.extension().is_some_and(|extension| extension == "run")) {
        if fs::read_link(&link).is_ok_and(|run| !run.exists()) {
            remove_folder(&link.with_extension(""));
        }
    }
}

fn remove_folder(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {}
        _ => drop(fs::remove_file(run_link(folder))),
    }
}

fn run_link(folder: &Path) -> PathBuf {
    folder.with_extension("run")
}

fn file_name(sha256: &Sha256Digest) -> String {
    format!("{sha256}.eif")
}

/// The name of the link in a run's folder.
const LINK: &str = "deployed";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::record::tests::sample;
    use crate::files::runtime::{self, RunDir};
    use std::io::Write as _;

    fn dirs(root: &Path) -> Dirs {
        Dirs { state: root.join("state"), runtime: root.join("run"), cache: root.join("cache") }
    }

    /// A run that keeps `bytes`, and its record.
    fn run_of(dirs: &Dirs, bytes: &[u8]) -> (RunDir, Record) {
        let original = dirs.state.with_file_name("original.eif");
        fs::write(&original, bytes).unwrap();
        let run = RunDir::create(dirs).unwrap();
        let incoming = run.shelf().take_in(&File::open(&original).unwrap(), bytes.len() as u64).unwrap();
        let mut record = sample(run.id(), "app");
        record.eif_sha256 = Sha256Digest::of(bytes);
        incoming.keep(&record.eif_sha256).unwrap();
        (run, record)
    }

    fn left(dirs: &Dirs) -> usize {
        fs::read_dir(dirs.deployed()).unwrap().count()
    }

    #[test]
    fn an_image_stays_what_it_was_and_goes_with_its_run() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        let (run, record) = run_of(&dirs, b"image");
        let original = OpenOptions::new().write(true).open(root.path().join("original.eif"));
        original.unwrap().write_all(b"other").unwrap();
        let path = deployed_image(&dirs, &record).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"image");
        assert!(path.starts_with(fs::canonicalize(&dirs.state).unwrap()));
        drop(run);
        assert_eq!(left(&dirs), 0);
        let gone = deployed_image(&dirs, &record).unwrap_err();
        assert!(matches!(gone, HostError::NoDeployedImage { .. }), "{gone}");
    }

    #[test]
    fn what_dead_supervisors_and_lost_runs_kept_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let dirs = dirs(root.path());
        // A supervisor that died: its lock is free, its folders are there.
        let (dead, _) = run_of(&dirs, b"image");
        let dead = std::mem::ManuallyDrop::new(dead);
        assert_eq!(left(&dirs), 2);
        fs::remove_file(dead.path().join("lock")).unwrap();
        assert_eq!(runtime::live(&dirs).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(left(&dirs), 0);
        // A runtime folder that a restart of the machine emptied.
        let (lost, _) = run_of(&dirs, b"image");
        let lost = std::mem::ManuallyDrop::new(lost);
        fs::remove_dir_all(lost.path()).unwrap();
        let (_alive, record) = run_of(&dirs, b"new");
        assert_eq!(left(&dirs), 2);
        assert!(deployed_image(&dirs, &record).is_ok());
    }
}
