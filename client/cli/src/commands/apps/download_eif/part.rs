//! A download on its way: `PATH.part`, and beside it `PATH.part.json`, which says of which image it is the
//! beginning. Whoever was interrupted goes on there; `PATH` itself is only ever a whole, checked image.

use crate::deployed::{Claim, DeployedImage};
use crate::error::{CliError, Exit};
use crate::files::{self, Found};
use caution_measure::Sha256Digest;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file that grows; nobody else writes to it while this lives.
pub(super) struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
    have: u64,
}

/// What was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Nothing.
    New,
    /// So many bytes of this image.
    Resumed(u64),
    /// Bytes of another image, or of none that is known; they are gone now.
    Anew,
}

/// What `PATH.part.json` says.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Of {
    sha256: Sha256Digest,
    size: u64,
}

impl Part {
    /// Opens the unfinished download to `target`, or begins one.
    pub(super) fn open(target: &Path, claim: &Claim) -> Result<(Self, Beginning), CliError> {
        let path = beside(target, ".part");
        let file = lock(&path)?;
        let io = |e: io::Error| CliError::io("The download cannot be begun", &path, &e);
        let had = file.metadata().map_err(io)?.len();
        let of = Of { sha256: claim.sha256, size: claim.size };
        let mut part = Self { target: target.to_owned(), path: path.clone(), file, have: had };
        if had > 0 && had <= claim.size && part.of()?.as_ref() == Some(&of) {
            return Ok((part, Beginning::Resumed(had)));
        }
        // In this order: bytes never stand beside the name of another image.
        part.disown()?;
        part.file.set_len(0).map_err(io)?;
        files::write(&part.marker(), &serde_json::to_vec(&of).map_err(|e| io(e.into()))?)?;
        part.have = 0;
        Ok((part, if had == 0 { Beginning::New } else { Beginning::Anew }))
    }

    /// Writes what is missing; `tell` hears how much is there.
    pub(super) fn fetch(
        &mut self,
        image: &dyn DeployedImage,
        tell: &mut dyn FnMut(u64),
    ) -> Result<(), CliError> {
        let size = image.claim().size;
        let interrupted =
            |e: &io::Error| CliError::io("The download was interrupted", &self.path, e).hint(GOES_ON);
        self.file.seek(SeekFrom::Start(self.have)).map_err(|e| interrupted(&e))?;
        // One byte more than there should be, so that too much is noticed.
        let mut from = image.read_from(self.have).map_err(|e| interrupted(&e))?.take(size - self.have + 1);
        let mut buffer = vec![0; 1 << 20];
        loop {
            let got = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(interrupted(&e)),
            };
            self.file.write_all(&buffer[..got]).map_err(|e| not_written(&self.path, &e))?;
            self.have += got as u64;
            tell(self.have);
        }
        if self.have == size {
            return Ok(());
        }
        let (have, name) = (self.have, &image.claim().name);
        let message = if have < size {
            format!("The image of {name} ended after {have} of {size} bytes.")
        } else {
            self.disown()?;
            format!("The image of {name} has more than the {size} bytes that it is said to have.")
        };
        Err(CliError::new(Exit::Other, message).hint(GOES_ON))
    }

    /// The bytes, from their beginning.
    pub(super) fn rewound(&mut self) -> Result<&File, CliError> {
        self.file.rewind().map_err(|e| CliError::io("The download cannot be read", &self.path, &e))?;
        Ok(&self.file)
    }

    /// Forgets of which image this is a part: the next download begins anew.
    pub(super) fn disown(&self) -> Result<(), CliError> {
        let marker = self.marker();
        match fs::remove_file(&marker) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(CliError::io("The file cannot be removed", &marker, &e))
            }
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the whole, checked image its name.
    pub(super) fn finish(self, overwrite: bool) -> Result<(), CliError> {
        self.file.sync_all().map_err(|e| not_written(&self.path, &e))?;
        let renamed = if overwrite {
            fs::rename(&self.path, &self.target)
        } else {
            rename_to_new(&self.path, &self.target)
        };
        renamed.map_err(|e| match e.kind() {
            ErrorKind::AlreadyExists => exists(&self.target),
            _ => CliError::io("The download cannot be given its name", &self.target, &e).hint(GOES_ON),
        })?;
        self.disown()
    }

    fn marker(&self) -> PathBuf {
        beside(&self.path, ".json")
    }

    /// Of which image it is a part, as far as that is known.
    fn of(&self) -> Result<Option<Of>, CliError> {
        Ok(match files::look_at(&self.marker(), MAX_MARKER)? {
            Found::File(bytes) => serde_json::from_slice(&bytes).ok(),
            Found::Nothing | Found::Other => None,
        })
    }
}

/// The file at `target` is somebody's; it is replaced only when asked for.
pub(super) fn exists(target: &Path) -> CliError {
    CliError::new(Exit::Other, format!("{} exists.", target.display()))
        .hint("-f      (replaces it), or another file: -o PATH")
}

/// Opens a file that this program alone holds, made where absent.
fn lock(path: &Path) -> Result<File, CliError> {
    let io = |e: &io::Error| CliError::io("The download cannot be begun", path, e);
    loop {
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(CliError::new(Exit::Other, format!("{} is not a file.", path.display()))
                    .hint("look at what it is, and move it away; or another file: -o PATH"));
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(io(&e)),
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| io(&e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!("Another download writes to {}.", path.display());
                return Err(CliError::new(Exit::Other, message).hint("wait for it; or another file: -o PATH"));
            }
            Err(TryLockError::Error(e)) => return Err(io(&e)),
        }
        // Whoever held it before may have given it its final name meanwhile.
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let own = file.metadata().map(identity).map_err(|e| io(&e))?;
        if fs::symlink_metadata(path).map(identity).is_ok_and(|named| named == own) {
            return Ok(file);
        }
    }
}

/// Renames, unless the new name is taken; in one step where the file system can.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    tempfile::TempPath::try_from_path(from)?.persist_noclobber(to).map_err(|refused| {
        // It is no temporary file, and has to stay.
        match refused.path.keep() {
            Ok(_) => refused.error,
            Err(kept) => kept.error,
        }
    })
}

fn not_written(path: &Path, cause: &io::Error) -> CliError {
    let error = CliError::io("The download cannot be written", path, cause);
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            error.hint(format!("make room for it, then: {GOES_ON}"))
        }
        _ => error.hint(GOES_ON),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

const GOES_ON: &str = "the same command goes on where this one stopped";

/// The longest `PATH.part.json`, in bytes: a digest and a length.
const MAX_MARKER: usize = 4096;

#[cfg(test)]
mod tests;
