//! Trust on first use: what was seen first, kept so that it survives.

use caution_attest::UnixMillis;
use caution_measure::{Pcr, PcrIndex, Sha256Digest};
use caution_steve::Suite;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Where first sights are remembered.
pub trait TrustStore: Send + Sync {
    /// What is remembered under `key`. Where nothing is, `found` is from now on, and is safe from a crash when this returns.
    ///
    /// Of several callers at once, in as many processes, exactly one enrols and the others get its record.
    ///
    /// # Errors
    /// Anything but these two outcomes. A store that cannot be read remembers something that is not known: nothing
    /// may be enrolled then.
    fn get_or_enroll(&self, key: &RecordKey, found: &Record) -> Result<Outcome, StoreError>;
}

/// What a store says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was remembered; now it is.
    Enrolled,
    /// This was.
    Known(Record),
}

/// Names a deployment: SHA-256 over its authority and the application's context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey(pub [u8; 32]);

impl RecordKey {
    /// `SHA256("steve3 tofu\0" || authority || "\0" || app_context)`.
    pub(crate) fn of(authority: &str, app_context: &[u8]) -> Self {
        let text = [b"steve3 tofu\0", authority.as_bytes(), b"\0", app_context].concat();
        Self(*Sha256Digest::of(&text).as_bytes())
    }
}

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    schema: Schema,
    /// Host and port, for people who read the file.
    pub authority: String,
    /// The name of the suite.
    pub suite: String,
    /// Registers by number: PCR0 to PCR2, and those that were asked for.
    pub registers: BTreeMap<u8, Pcr>,
    /// When, RFC 3339.
    pub first_seen: String,
}

/// The format's name; reading any other fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Schema {
    #[serde(rename = "caution.first-use/1")]
    One,
}

impl Record {
    pub(crate) fn new(
        authority: &str,
        suite: Suite,
        registers: &[(PcrIndex, Pcr)],
        first_seen: UnixMillis,
    ) -> Self {
        Self {
            schema: Schema::One,
            authority: authority.to_owned(),
            suite: suite.name().to_owned(),
            registers: registers.iter().map(|(register, pcr)| (register.get(), *pcr)).collect(),
            first_seen: first_seen.to_string(),
        }
    }
}

/// Why a store says nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or folder cannot be read or written.
    #[error("{} cannot be {action}", .path.display())]
    File {
        /// "read", "written" …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file holds something else, so what was trusted is not known.
    #[error("{} does not say what was trusted: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// A store of the caller's.
    #[error(transparent)]
    Other(crate::BoxError),
}

/// A folder with a file for each deployment, named by its [`RecordKey`].
#[derive(Debug, Clone)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    /// A store in this folder, which is made on first use.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn file(&self, key: &RecordKey) -> PathBuf {
        self.folder.join(format!("{}.json", data_encoding::HEXLOWER.encode(&key.0)))
    }
}

impl TrustStore for FileStore {
    fn get_or_enroll(&self, key: &RecordKey, found: &Record) -> Result<Outcome, StoreError> {
        let path = self.file(key);
        if let Some(known) = read_record(&path)? {
            return Ok(Outcome::Known(known));
        }
        fs::create_dir_all(&self.folder).map_err(failed("made", &self.folder))?;
        let text =
            serde_json::to_string_pretty(found).map_err(|e| failed("written", &path)(e.into()))? + "\n";
        if write_new(&path, text.as_bytes()).map_err(failed("written", &path))? {
            return Ok(Outcome::Enrolled);
        }
        // Another process was faster: what it saw counts.
        let gone = || failed("read", &path)(ErrorKind::NotFound.into());
        read_record(&path)?.map(Outcome::Known).ok_or_else(gone)
    }
}

fn read_record(path: &Path) -> Result<Option<Record>, StoreError> {
    let Some(bytes) = read_small(path)? else { return Ok(None) };
    let unreadable = |cause: String| StoreError::Unreadable { path: path.to_owned(), cause };
    let record: Record = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
    match [0, 1, 2].into_iter().find(|number| !record.registers.contains_key(number)) {
        Some(number) => Err(unreadable(format!("PCR{number} is missing"))),
        None => Ok(Some(record)),
    }
}

/// A whole file; none where nothing stands under the name. A link is not followed.
pub(crate) fn read_small(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let unreadable = |cause: &str| StoreError::Unreadable { path: path.to_owned(), cause: cause.to_owned() };
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(unreadable("it is no file")),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("read", path)(e)),
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed("read", path))?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > MAX_FILE { Err(unreadable("it is too long")) } else { Ok(Some(bytes)) }
}

/// Writes a whole file under a name that nothing has, safe from a crash: `false` where something has it.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    match complete(path, bytes)?.persist_noclobber(path) {
        Ok(_) => sync_folder(path).map(|()| true),
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e.error),
    }
}

/// Puts a whole file in the place of another, safe from a crash.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    complete(path, bytes)?.persist(path).map_err(|e| e.error)?;
    sync_folder(path)
}

fn complete(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The name itself is safe only with its folder.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + use<'a> {
    move |cause| StoreError::File { action, path: path.to_owned(), cause }
}

/// The longest file of a store, in bytes; records have less than 5,000.
const MAX_FILE: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(byte: u8) -> Record {
        let registers = [0_u64, 1, 2].map(|n| (PcrIndex::try_from(n).unwrap(), Pcr::new([byte; 48])));
        Record::new("app.example", Suite::XWing, &registers, UnixMillis(1_768_478_400_000))
    }

    fn key() -> RecordKey {
        RecordKey::of("app.example", b"")
    }

    #[test]
    fn the_first_is_remembered_and_no_other_takes_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path().join("a/b"));
        assert_eq!(store.get_or_enroll(&key(), &record(1)).unwrap(), Outcome::Enrolled);
        assert_eq!(store.get_or_enroll(&key(), &record(2)).unwrap(), Outcome::Known(record(1)));
        let other = RecordKey::of("app.example", b"another");
        assert_eq!(store.get_or_enroll(&other, &record(2)).unwrap(), Outcome::Enrolled);
        assert_eq!(fs::read_dir(dir.path().join("a/b")).unwrap().count(), 2, "no temporary file stays");
    }

    #[test]
    fn of_many_at_once_one_enrols() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8_u8)
                .map(|n| {
                    scope.spawn({
                        let store = &store;
                        move || store.get_or_enroll(&key(), &record(n + 1)).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let known: Vec<_> = outcomes.iter().filter(|outcome| **outcome != Outcome::Enrolled).collect();
        assert_eq!(known.len(), 7);
        assert!(known.iter().all(|outcome| *outcome == known[0]));
    }

    /// What is cut, empty, long, a link or a folder is never taken for "nothing was seen yet".
    #[test]
    fn a_file_that_says_nothing_is_no_first_use() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path());
        store.get_or_enroll(&key(), &record(1)).unwrap();
        let path = store.file(&key());
        let whole = fs::read(&path).unwrap();
        let ask = || store.get_or_enroll(&key(), &record(2));
        for cut in [0, 1, whole.len() / 2, whole.len() - 3] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(matches!(ask(), Err(StoreError::Unreadable { .. })), "cut at {cut}");
        }
        let without = String::from_utf8(whole).unwrap().replace("\"1\"", "\"9\"");
        fs::write(&path, without).unwrap();
        assert!(ask().unwrap_err().to_string().ends_with("PCR1 is missing"));
        fs::write(&path, vec![b' '; 65_537]).unwrap();
        assert!(matches!(ask(), Err(StoreError::Unreadable { .. })));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("absent"), &path).unwrap();
        assert!(matches!(ask(), Err(StoreError::Unreadable { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(ask(), Err(StoreError::Unreadable { .. })));
    }
}
