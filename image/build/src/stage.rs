//! `eif-stage/`: filled aside, then moved into place, the image last.
//!
//! Everything a build makes lies in `eif-stage/.partial/` until it is whole, so that a killed build
//! leaves nothing under a final name, nothing elsewhere, and nothing the next build does not remove.

use crate::engine::DROP_LAYERS;
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Why `eif-stage/` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// Something else lies where the folder should be.
    #[error("{} is not a folder.", .0.display())]
    NotAFolder(PathBuf),
    /// Another build runs.
    #[error("Another build is writing {}.", .0.display())]
    Busy(PathBuf),
    /// The disk is full.
    #[error("The disk is full: {} cannot be written.", .0.display())]
    DiskFull(PathBuf),
    /// A file could not be written.
    #[error("{} cannot be written.", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl StageError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NotAFolder(path) => Some(format!("rm {}", path.display())),
            Self::Busy(_) => Some("wait for it, or end it".into()),
            Self::DiskFull(path) => {
                let folder = path.parent().unwrap_or(path);
                Some(format!("df -h {}, and {DROP_LAYERS}", folder.display()))
            }
            Self::Io { .. } => None,
        }
    }

    /// The error of writing `path`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull(path),
            _ => Self::Io { path, source },
        }
    }
}

/// An `eif-stage/` that one build is filling.
#[derive(Debug)]
pub(crate) struct Stage {
    root: PathBuf,
    partial: PathBuf,
    /// Held as long as the build runs; the system lets go of it even when the process is killed.
    lock: File,
}

/// The files of a finished build, in the order they are moved into place.
const FILES: [&str; 7] = [
    "boot.json",
    "manifest.json",
    "Containerfile.eif",
    "output/rootfs.cpio.gz",
    "output/enclave.pcrs",
    LAYERS,
    IMAGE,
];
/// Which step of the container's build wrote each file: [`caution_rootfs::LayerRecord`].
pub(crate) const LAYERS: &str = "output/enclave.layers.json.gz";
/// The file that says the build is whole: removed first, moved last.
const IMAGE: &str = "output/enclave.eif";
const LOG: &str = "build.log";

impl Stage {
    /// Creates or reuses the folder, which another build must not be using.
    pub(crate) fn open(root: &Path) -> Result<Self, StageError> {
        folder(root)?;
        // The folder itself is the lock: nothing to create, follow or leave behind.
        let lock = OpenOptions::new()
            .read(true)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_DIRECTORY).bits())
            .open(root)
            .map_err(StageError::io(root))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StageError::Busy(root.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(StageError::io(root)(source)),
        }
        let stage = Self { root: root.to_owned(), partial: root.join(".partial"), lock };
        remove(&stage.partial)?;
        for path in [stage.partial.clone(), stage.partial.join("output"), stage.work()] {
            fs::create_dir(&path).map_err(StageError::io(&path))?;
        }
        Ok(stage)
    }

    /// A folder for what the build needs on the way.
    pub(crate) fn work(&self) -> PathBuf {
        self.partial.join("work")
    }

    /// Where a file of the result is written until the build is whole.
    pub(crate) fn partial(&self, name: &str) -> PathBuf {
        self.partial.join(name)
    }

    /// Writes a small file of the result.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StageError> {
        let path = self.partial(name);
        let mut file = create_new(&path)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(StageError::io(&path))
    }

    /// The engine's log, under its final name from the start: a failed build's log is what one reads.
    pub(crate) fn log(&self) -> Result<File, StageError> {
        let path = self.root.join(LOG);
        remove(&path)?;
        create_new(&path)
    }

    /// Moves the result into place and removes everything else the build made.
    pub(crate) fn finish(self) -> Result<PathBuf, StageError> {
        folder(&self.root.join("output"))?;
        remove(&self.root.join(IMAGE))?;
        for name in FILES {
            let (from, to) = (self.partial(name), self.root.join(name));
            fs::rename(&from, &to).map_err(StageError::io(&to))?;
        }
        Ok(self.root.join(IMAGE))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be removed now, the next build removes or reports.
        let _ = remove(&self.partial);
        // Not by closing alone: a program that another thread starts at this moment still has the file open.
        let _ = self.lock.unlock();
    }
}

/// Makes sure that `path` is a folder of its own, not a link to another.
fn folder(path: &Path) -> Result<(), StageError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(StageError::NotAFolder(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir(path).map_err(StageError::io(path))
        }
        Err(error) => Err(StageError::io(path)(error)),
    }
}

/// Opens a file that must not exist yet; a link in its place is an error.
pub(crate) fn create_new(path: &Path) -> Result<File, StageError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .map_err(StageError::io(path))
}

/// Removes a file, link or folder; nothing there is fine.
fn remove(path: &Path) -> Result<(), StageError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StageError::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(stage: &Stage, text: &str) {
        for name in FILES {
            stage.write(name, text.as_bytes()).expect("writes");
        }
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root).expect("reads").map(|e| e.expect("reads").file_name());
        let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_finished_build_replaces_the_one_before_and_leaves_other_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("eif-stage");
        for text in ["first", "second"] {
            let stage = Stage::open(&root).expect("opens");
            stage.log().expect("logs");
            fill(&stage, text);
            let image = stage.finish().expect("finishes");
            assert_eq!(fs::read_to_string(&image).expect("reads"), text);
            fs::write(root.join("output/downloaded.eif"), "kept").expect("writes");
        }
        assert_eq!(names(&root), ["Containerfile.eif", "boot.json", "build.log", "manifest.json", "output"]);
        assert_eq!(
            names(&root.join("output")),
            ["downloaded.eif", "enclave.eif", "enclave.layers.json.gz", "enclave.pcrs", "rootfs.cpio.gz"]
        );
    }

    #[test]
    fn an_unfinished_build_changes_no_result() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("eif-stage");
        let stage = Stage::open(&root).expect("opens");
        fill(&stage, "whole");
        stage.finish().expect("finishes");
        let stage = Stage::open(&root).expect("opens");
        stage.write(IMAGE, b"half").expect("writes");
        drop(stage);
        assert_eq!(fs::read_to_string(root.join(IMAGE)).expect("reads"), "whole");
        assert!(!root.join(".partial").exists());
    }

    /// What kill -9 leaves: the folder `.partial` with anything in it.
    #[test]
    fn what_a_killed_build_left_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("eif-stage");
        fs::create_dir_all(root.join(".partial/output")).expect("mkdir");
        fs::write(root.join(".partial").join(IMAGE), "half").expect("writes");
        let stage = Stage::open(&root).expect("opens");
        assert!(!root.join(IMAGE).exists() && !stage.partial(IMAGE).exists());
    }

    #[test]
    fn two_builds_do_not_share_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let stage = Stage::open(folder.path()).expect("opens");
        assert!(matches!(Stage::open(folder.path()), Err(StageError::Busy(_))));
        drop(stage);
        assert!(Stage::open(folder.path()).is_ok());
    }

    /// A hostile checkout may hold links where the build writes.
    #[test]
    fn nothing_is_written_through_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, other) = (folder.path().join("eif-stage"), folder.path().join("other"));
        fs::create_dir(&other).expect("mkdir");
        fs::write(other.join("file"), "mine").expect("writes");
        let link = |name: &str, to: &str| {
            std::os::unix::fs::symlink(other.join(to), root.join(name)).expect("links");
        };

        std::os::unix::fs::symlink(&other, &root).expect("links");
        assert!(matches!(Stage::open(&root), Err(StageError::NotAFolder(_))));
        fs::remove_file(&root).expect("removes");
        fs::create_dir(&root).expect("mkdir");

        link(".partial", "");
        link("build.log", "file");
        link("boot.json", "file");
        let stage = Stage::open(&root).expect("opens");
        stage.log().expect("logs").write_all(b"log").expect("writes");
        fill(&stage, "new");
        link("output", "");
        assert!(matches!(stage.finish(), Err(StageError::NotAFolder(_))));
        assert_eq!(names(&other), ["file"]);
        assert_eq!(fs::read_to_string(other.join("file")).expect("reads"), "mine");
    }

    #[test]
    fn a_full_disk_is_named() {
        let full = std::io::Error::from(ErrorKind::StorageFull);
        let error = StageError::io(Path::new("/x/eif-stage/output/enclave.eif"))(full);
        assert!(matches!(error, StageError::DiskFull(_)));
        assert!(error.fix().is_some_and(|fix| fix.starts_with("df -h /x/eif-stage/output, and `docker")));
    }
}
