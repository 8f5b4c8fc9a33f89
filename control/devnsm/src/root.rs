//! The development root of one installation.

use crate::document;
use p384::ecdsa::SigningKey;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The secret key: a P-384 scalar, 48 bytes big-endian. Its file's mode is 0600.
pub const KEY_FILE: &str = "dev-root.key";
/// The certificate in DER, for verifiers who want to name this root.
pub const CERTIFICATE_FILE: &str = "dev-root.der";

/// A root that vouches for enclaves of this installation. It has nothing to do with hardware.
///
/// The certificate follows from the key alone, so that nothing but the key is ever state. Dropping
/// it wipes the key from memory.
pub struct DevRoot {
    key: SigningKey,
    certificate: Vec<u8>,
}

/// Why there is no development root.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevRootError {
    /// The operating system has no random numbers.
    #[error("The operating system gives no random numbers for a development root: {0}.")]
    Random(getrandom::Error),
    /// A file cannot be read or written.
    #[error("The development root cannot be {action} at {}.", .path.display())]
    File {
        /// "read", "written" …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Other users can read the key.
    #[error(
        "The development root's key {} has mode {mode:04o}, so other users can read it. \
         Run `rm {}` to have a new one made.", .path.display(), .path.display()
    )]
    Readable {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file holds no key.
    #[error(
        "The file {} does not hold a development root's key ({length} bytes). \
         Run `rm {}` to have a new one made.", .path.display(), .path.display()
    )]
    NotAKey {
        /// The key file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
    },
}

impl DevRoot {
    /// The root kept in folder `dir`, made on first use. Several processes may do this at once and
    /// get the same root.
    ///
    /// # Errors
    /// - [`DevRootError::Readable`] when other users can read the key;
    /// - [`DevRootError::NotAKey`] when the file holds something else;
    /// - [`DevRootError::File`] and [`DevRootError::Random`] when the system refuses.
    pub fn load_or_create(dir: &Path) -> Result<Self, DevRootError> {
        let path = dir.join(KEY_FILE);
        if !path.try_exists().map_err(failed("read", &path))? {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed("written", dir))?;
            let mut bytes = Zeroizing::new(random_key()?.to_bytes());
            publish(&path, bytes.as_mut_slice(), 0o600, OnExisting::Keep)?;
        }
        let root = Self::from_key(load(&path)?);
        let certificate = dir.join(CERTIFICATE_FILE);
        if fs::read(&certificate).ok().as_deref() != Some(root.root_der()) {
            publish(&certificate, root.root_der(), 0o644, OnExisting::Replace)?;
        }
        Ok(root)
    }

    /// The root of this key.
    fn from_key(key: SigningKey) -> Self {
        let certificate = document::root_certificate(key.verifying_key(), LIFETIME).sign(&key);
        Self { key, certificate }
    }

    /// The root's certificate in DER.
    pub fn root_der(&self) -> &[u8] {
        &self.certificate
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }
}

impl std::fmt::Debug for DevRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DevRoot").finish_non_exhaustive()
    }
}

/// A fresh key from the operating system's random numbers.
pub(crate) fn random_key() -> Result<SigningKey, DevRootError> {
    let mut bytes = Zeroizing::new([0u8; 48]);
    loop {
        getrandom::fill(bytes.as_mut_slice()).map_err(DevRootError::Random)?;
        // All but one in 2¹⁹⁰ numbers of 384 bits are scalars of the curve.
        if let Ok(key) = SigningKey::from_slice(bytes.as_slice()) {
            return Ok(key);
        }
    }
}

fn load(path: &Path) -> Result<SigningKey, DevRootError> {
    let metadata = fs::metadata(path).map_err(failed("read", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(DevRootError::Readable { path: path.to_owned(), mode });
    }
    let not_a_key = || DevRootError::NotAKey { path: path.to_owned(), length: metadata.len() };
    if !metadata.is_file() || metadata.len() != 48 {
        return Err(not_a_key());
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(failed("read", path))?);
    SigningKey::from_slice(&bytes).map_err(|_| not_a_key())
}

#[derive(Clone, Copy)]
enum OnExisting {
    Keep,
    Replace,
}

/// Writes a whole file under its final name, or nothing.
fn publish(path: &Path, bytes: &[u8], mode: u32, existing: OnExisting) -> Result<(), DevRootError> {
    let mut suffix = [0u8; 8];
    getrandom::fill(&mut suffix).map_err(DevRootError::Random)?;
    let temporary = path.with_extension(format!("{:016x}.tmp", u64::from_be_bytes(suffix)));
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        match existing {
            OnExisting::Replace => fs::rename(&temporary, path),
            // A link fails where the name is taken: the first of several writers wins.
            OnExisting::Keep => match fs::hard_link(&temporary, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            },
        }
    };
    let written = write().map_err(failed("written", path));
    // Gone already after a rename; otherwise nothing of it may stay, whatever happened.
    drop(fs::remove_file(&temporary));
    written
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> DevRootError + use<'a> {
    move |source| DevRootError::File { action, path: path.to_owned(), source }
}

/// First and last second of every development root: 2024-01-01 to 2049-12-31, both fixed, so that
/// the certificate follows from the key.
pub(crate) const LIFETIME: (u64, u64) = (1_704_067_200, 2_524_607_999);
