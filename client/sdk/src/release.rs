//! Releases of an application that its makers signed: which images count, and never an older one.

use crate::tofu::{StoreError, failed, read_small, replace};
use caution_attest::UnixMillis;
use caution_measure::{ImagePcrs, Measurements, Pcr, Sha256Digest};
use p384::ecdsa::signature::Verifier as _;
use p384::ecdsa::{Signature, VerifyingKey};
use p384::pkcs8::DecodePublicKey as _;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::PathBuf;

/// Who may sign releases of one application, and where the newest version that was seen is kept.
#[derive(Debug, Clone)]
pub struct ReleaseKeys {
    app: String,
    keys: Vec<VerifyingKey>,
    threshold: usize,
    memory: PathBuf,
}

/// A release whose signatures hold.
#[derive(Debug, Clone)]
pub struct SignedRelease {
    release: Release,
    profiles: Vec<ImagePcrs>,
    digest: Sha256Digest,
    memory: PathBuf,
}

/// The signed file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    #[serde(rename = "schema")]
    _schema: ReleaseSchema,
    app: String,
    version: u64,
    not_after_ms: u64,
    profiles: Vec<Profile>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum ReleaseSchema {
    #[serde(rename = "caution.app-release/1")]
    One,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    pcr0: Pcr,
    pcr1: Pcr,
    pcr2: Pcr,
    pcr8: Option<Pcr>,
}

/// The newest version that was seen.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    schema: SeenSchema,
    app: String,
    version: u64,
    sha256: Sha256Digest,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum SeenSchema {
    #[serde(rename = "caution.app-release-seen/1")]
    One,
}

/// Why a release does not count.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The keys are none, or fewer than must sign.
    #[error("{threshold} of {keys} keys cannot sign a release")]
    Threshold {
        /// How many there are.
        keys: usize,
        /// How many must sign.
        threshold: usize,
    },
    /// Not a key.
    #[error("key number {0} is no public key of the curve P-384 in PEM")]
    Key(usize),
    /// A key twice: one hand would count as two.
    #[error("key number {0} stands there twice")]
    DuplicateKey(usize),
    /// Too few of the keys signed it, or it was changed afterwards.
    #[error("the release is signed by {found} of the known keys, and {threshold} must sign it")]
    Signatures {
        /// How many keys did.
        found: usize,
        /// How many must.
        threshold: usize,
    },
    /// Signed, and no release.
    #[error("the release is malformed: {0}")]
    Malformed(String),
    /// Another application's.
    #[error("the release is `{found}`'s, not `{expected}`'s")]
    App {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Its time is over.
    #[error("the release counts until {until}, and it is {now}")]
    Expired {
        /// Its last moment.
        until: UnixMillis,
        /// Now.
        now: UnixMillis,
    },
    /// An older version than one that was seen.
    #[error("the release is version {offered}, and version {seen} was seen before")]
    Rollback {
        /// The newest that was seen.
        seen: u64,
        /// This one's.
        offered: u64,
    },
    /// Two releases with one number.
    #[error("version {version} of the release was another file before (SHA-256 {seen}, now {offered})")]
    Rewritten {
        /// The version.
        version: u64,
        /// The one that was seen.
        seen: Sha256Digest,
        /// This one.
        offered: Sha256Digest,
    },
    /// What was seen cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReleaseKeys {
    /// `threshold` of these keys (P-384, PEM as `openssl ec -pubout` writes them) must sign a release of `app`. The newest
    /// version that was seen is kept in the file `memory`.
    ///
    /// # Errors
    /// [`ReleaseError::Key`], [`ReleaseError::DuplicateKey`], [`ReleaseError::Threshold`].
    pub fn new<'k>(
        app: impl Into<String>,
        keys: impl IntoIterator<Item = &'k str>,
        threshold: usize,
        memory: impl Into<PathBuf>,
    ) -> Result<Self, ReleaseError> {
        let mut known: Vec<VerifyingKey> = Vec::new();
        for (number, pem) in (1..).zip(keys) {
            let key = VerifyingKey::from_public_key_pem(pem).map_err(|_| ReleaseError::Key(number))?;
            if known.contains(&key) {
                return Err(ReleaseError::DuplicateKey(number));
            }
            known.push(key);
        }
        if threshold == 0 || threshold > known.len() {
            return Err(ReleaseError::Threshold { keys: known.len(), threshold });
        }
        Ok(Self { app: app.into(), keys: known, threshold, memory: memory.into() })
    }

    /// The release in `bytes`, if enough of the keys made one of `signatures` (ECDSA over SHA-384, DER). Nothing of it is read
    /// before that.
    ///
    /// # Errors
    /// Who signed, then what is in it. Time and version are looked at when it is used.
    pub fn open(&self, bytes: &[u8], signatures: &[&[u8]]) -> Result<SignedRelease, ReleaseError> {
        let signatures: Vec<Signature> =
            signatures.iter().take(MAX_SIGNATURES).filter_map(|der| Signature::from_der(der).ok()).collect();
        let signed = |key: &&VerifyingKey| signatures.iter().any(|s| key.verify(bytes, s).is_ok());
        let found = self.keys.iter().filter(signed).count();
        if found < self.threshold {
            return Err(ReleaseError::Signatures { found, threshold: self.threshold });
        }
        let malformed = |cause: &str| ReleaseError::Malformed(cause.to_owned());
        if bytes.len() > MAX_RELEASE {
            return Err(malformed("it is too long"));
        }
        let release: Release = serde_json::from_slice(bytes).map_err(|e| malformed(&e.to_string()))?;
        if release.app != self.app {
            return Err(ReleaseError::App { found: release.app, expected: self.app.clone() });
        }
        let profiles: Vec<ImagePcrs> = release.profiles.iter().map(Profile::pcrs).collect();
        if profiles.is_empty() {
            return Err(malformed("it has no profiles"));
        }
        if profiles.iter().flat_map(ImagePcrs::iter).any(|(_, pcr)| pcr.is_zero()) {
            return Err(malformed("a register is zero, which only a debug enclave shows"));
        }
        Ok(SignedRelease { release, profiles, digest: Sha256Digest::of(bytes), memory: self.memory.clone() })
    }
}

impl Profile {
    fn pcrs(&self) -> ImagePcrs {
        let measurements = Measurements { pcr0: self.pcr0, pcr1: self.pcr1, pcr2: self.pcr2 };
        ImagePcrs { measurements, pcr8: self.pcr8 }
    }
}

impl SignedRelease {
    /// Grows with each release.
    pub fn version(&self) -> u64 {
        self.release.version
    }

    pub(crate) fn profiles(&self) -> &[ImagePcrs] {
        &self.profiles
    }

    /// Whether it counts now. If so, no older one does from now on.
    pub(crate) fn admit(&self, now: UnixMillis) -> Result<(), ReleaseError> {
        let until = UnixMillis(self.release.not_after_ms);
        if now > until {
            return Err(ReleaseError::Expired { until, now });
        }
        let folder = self.memory.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            fs::create_dir_all(folder).map_err(failed("made", folder))?;
        }
        // Between the look at what was seen and the new file nobody else puts a newer one there, which would go.
        let lock = self.memory.with_extension("lock");
        let _turn = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(failed("locked", &lock))?;
        if let Some(seen) = self.seen()? {
            if seen.version > self.release.version {
                return Err(ReleaseError::Rollback { seen: seen.version, offered: self.release.version });
            }
            if seen.version == self.release.version {
                if seen.sha256 == self.digest {
                    return Ok(());
                }
                let (version, seen, offered) = (seen.version, seen.sha256, self.digest);
                return Err(ReleaseError::Rewritten { version, seen, offered });
            }
        }
        let seen = Seen {
            schema: SeenSchema::One,
            app: self.release.app.clone(),
            version: self.release.version,
            sha256: self.digest,
        };
        let text = serde_json::to_vec(&seen).map_err(|e| failed("written", &self.memory)(e.into()))?;
        replace(&self.memory, &text).map_err(failed("written", &self.memory))?;
        Ok(())
    }

    fn seen(&self) -> Result<Option<Seen>, ReleaseError> {
        let unreadable = |cause: String| StoreError::Unreadable { path: self.memory.clone(), cause };
        let Some(bytes) = read_small(&self.memory)? else { return Ok(None) };
        let seen: Seen = serde_json::from_slice(&bytes).map_err(|e| unreadable(e.to_string()))?;
        if seen.app == self.release.app {
            Ok(Some(seen))
        } else {
            Err(unreadable(format!("it is about `{}`", seen.app)).into())
        }
    }
}

/// The longest release that is read, in bytes.
const MAX_RELEASE: usize = 64 * 1024;
/// The most signatures that are looked at.
const MAX_SIGNATURES: usize = 16;

#[cfg(test)]
mod tests;
