//! Files: read up to a limit, written whole or not at all.

use crate::error::{CliError, Exit};
use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::NamedTempFile;

/// A whole file of at most `limit` bytes.
pub(crate) fn read_limited(path: &Path, limit: usize) -> Result<Vec<u8>, CliError> {
    let io = |e: std::io::Error| CliError::io("The file cannot be read", path, &e);
    read_stream_limited(File::open(path).map_err(io)?, limit)
        .map_err(io)?
        .ok_or_else(|| CliError::new(Exit::Other, format!("{} has more than {limit} bytes.", path.display())))
}

/// Everything a stream holds, or `None` when that is more than `limit` bytes.
pub(crate) fn read_stream_limited(stream: impl Read, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    stream.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() <= limit).then_some(bytes))
}

/// What lies under a name.
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A file within the limit.
    File(Vec<u8>),
    /// A longer file, a link, a pipe, a folder.
    Other,
}

/// Reads what lies under a name where somebody else can have put anything; a link is not followed.
pub(crate) fn look_at(path: &Path, limit: usize) -> Result<Found, CliError> {
    let io = |e: std::io::Error| CliError::io("The file cannot be read", path, &e);
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {
            let file = File::open(path).map_err(io)?;
            let bytes = read_stream_limited(file, limit).map_err(io)?;
            Ok(bytes.map_or(Found::Other, Found::File))
        }
        Ok(_) => Ok(Found::Other),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(e) => Err(io(e)),
    }
}

/// Writes a whole file, or nothing; a link under its name is replaced, not followed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let file = complete(path, bytes)?;
    file.persist(path).map(drop).map_err(|e| unwritten(path, &e.error))
}

/// The same, for this user alone.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let file = complete(path, bytes)?;
    let private = fs::Permissions::from_mode(0o600);
    file.as_file().set_permissions(private).map_err(|e| unwritten(path, &e))?;
    file.persist(path).map(drop).map_err(|e| unwritten(path, &e.error))
}

/// The same, where nothing stands under the name yet: `false` when something does.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, CliError> {
    match complete(path, bytes)?.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(unwritten(path, &e.error)),
    }
}

/// A file without a name of its own yet, beside where it belongs.
fn complete(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, CliError> {
    let io = |e: std::io::Error| unwritten(path, &e);
    let folder = path.parent().unwrap_or(Path::new("."));
    // 0666 less the umask, as every other file the user writes.
    let mode = fs::Permissions::from_mode(0o666);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(folder).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    Ok(file)
}

fn unwritten(path: &Path, cause: &std::io::Error) -> CliError {
    CliError::io("The file cannot be written", path, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_odd_files_are_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("long");
        fs::write(&long, vec![b' '; 11]).unwrap();
        assert!(matches!(look_at(&long, 10).unwrap(), Found::Other));
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(look_at(&socket, 10).unwrap(), Found::Other));
    }
}
