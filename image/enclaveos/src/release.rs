//! A release on disk: kernel, ramdisk 0, command line and a note about them.

use crate::features;
use crate::files::{self, FileError, PartialDir};
use crate::key::KeyHasher;
use crate::toolchain::Toolchain;
use caution_abi::manifest::EnclaveOsRef;
use caution_measure::{Pcr, PcrHasher, Sha256Digest};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An EnclaveOS release whose files were read and measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The folder that holds it.
    pub dir: PathBuf,
    /// What was measured, and who says it was built how.
    pub info: ReleaseInfo,
    id: Sha256Digest,
}

/// `release.json`: the same bytes whenever and wherever the release is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseInfo {
    /// Version text, for people.
    pub version: String,
    /// Version of the kernel's source package.
    pub kernel_version: String,
    /// Measurement of kernel, command line and ramdisk 0, in this order.
    pub pcr1: Pcr,
    /// The kernel command line.
    pub cmdline: String,
    /// The kernel image (bzImage).
    pub kernel: FileInfo,
    /// Ramdisk 0 (gzip-compressed cpio).
    pub ramdisk: FileInfo,
    /// What it was built with.
    pub toolchain: Toolchain,
}

/// One file of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileInfo {
    /// SHA-256 of its bytes.
    pub sha256: Sha256Digest,
    /// Its length, bytes.
    pub size: u64,
}

/// Why a folder is no usable release.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// A file is absent, unreadable or too large.
    #[error(transparent)]
    File(#[from] FileError),
    /// `release.json` is malformed.
    #[error("{} is malformed.", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The reader's words.
        source: serde_json::Error,
    },
    /// The files are not those that `release.json` describes.
    #[error(
        "The EnclaveOS release in {} was changed: {what} is {actual}, but its release.json says {expected}.",
        dir.display()
    )]
    Changed {
        /// The release's folder.
        dir: PathBuf,
        /// What differs.
        what: &'static str,
        /// What release.json says.
        expected: String,
        /// What the files give.
        actual: String,
    },
    /// The folder holds another release than its name says.
    #[error(
        "{} holds the EnclaveOS release {actual} under the name of {expected}.",
        dir.display()
    )]
    OtherRelease {
        /// The release's folder.
        dir: PathBuf,
        /// The identity that was asked for.
        expected: Sha256Digest,
        /// The identity of what is there.
        actual: Sha256Digest,
    },
    /// This machine has no such release.
    #[error("EnclaveOS release {id} is not on this machine.")]
    NotInstalled {
        /// The identity that was asked for.
        id: Sha256Digest,
    },
    /// Nothing was ever built here.
    #[error("No EnclaveOS release is on this machine.")]
    NoDefault,
    /// The note about the last build is malformed.
    #[error("{} does not name an EnclaveOS release.", path.display())]
    Pointer {
        /// The file.
        path: PathBuf,
    },
}

impl ReleaseError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::NotInstalled { .. } => Some(
                "caution enclaveos build      (in a checkout of Caution's source, at that version)".into(),
            ),
            _ => Some("caution enclaveos build      (in a checkout of Caution's source)".into()),
        }
    }
}

/// The parts of a new release.
pub(crate) struct Parts<'a> {
    pub(crate) version: &'a str,
    pub(crate) kernel_version: &'a str,
    pub(crate) kernel: &'a [u8],
    pub(crate) cmdline: &'a str,
    pub(crate) ramdisk: &'a [u8],
    pub(crate) toolchain: Toolchain,
}

impl Release {
    /// Reads a release's folder: every file is hashed and PCR1 computed anew; `release.json` is only
    /// believed where it says the same.
    pub fn load(dir: &Path) -> Result<Self, ReleaseError> {
        let path = dir.join(INFO);
        let info: ReleaseInfo = serde_json::from_slice(&files::read_limited(&path, MAX_INFO)?)
            .map_err(|source| ReleaseError::Json { path, source })?;
        let kernel = files::read_limited(&dir.join(KERNEL), MAX_KERNEL)?;
        let ramdisk = files::read_limited(&dir.join(RAMDISK), MAX_RAMDISK)?;
        let cmdline = files::read_text(&dir.join(CMDLINE), MAX_CMDLINE)?;
        let measured = Measured::of(&kernel, &cmdline, &ramdisk);
        let same = |what, expected: &dyn ToString, actual: &dyn ToString| {
            let (expected, actual) = (expected.to_string(), actual.to_string());
            let dir = dir.to_owned();
            if expected == actual {
                Ok(())
            } else {
                Err(ReleaseError::Changed { dir, what, expected, actual })
            }
        };
        same("the kernel's size", &info.kernel.size, &measured.kernel.size)?;
        same("the kernel's SHA-256", &info.kernel.sha256, &measured.kernel.sha256)?;
        same("the ramdisk's size", &info.ramdisk.size, &measured.ramdisk.size)?;
        same("the ramdisk's SHA-256", &info.ramdisk.sha256, &measured.ramdisk.sha256)?;
        same("the command line", &info.cmdline, &cmdline)?;
        same("PCR1", &info.pcr1, &measured.pcr1)?;
        Ok(Self { dir: dir.to_owned(), info, id: measured.id })
    }

    /// The release's identity: a digest over those of kernel, command line and ramdisk.
    pub fn id(&self) -> Sha256Digest {
        self.id
    }

    /// The kernel image.
    pub fn kernel_path(&self) -> PathBuf {
        self.dir.join(KERNEL)
    }

    /// Ramdisk 0.
    pub fn ramdisk_path(&self) -> PathBuf {
        self.dir.join(RAMDISK)
    }

    /// Whether it says that it can this, by a name of [`crate::features`].
    pub fn has(&self, feature: &str) -> bool {
        features::has(&self.ramdisk_path(), feature)
    }

    /// The kernel command line, as it is measured.
    pub fn cmdline(&self) -> &str {
        &self.info.cmdline
    }

    /// How manifests name this release.
    pub fn reference(&self) -> EnclaveOsRef {
        EnclaveOsRef { version: self.info.version.clone(), pcr1: self.info.pcr1 }
    }

    /// Writes a release into the cache under its identity.
    pub(crate) fn install(cache: &Path, parts: Parts<'_>) -> Result<Self, ReleaseError> {
        let measured = Measured::of(parts.kernel, parts.cmdline, parts.ramdisk);
        let info = ReleaseInfo {
            version: parts.version.to_owned(),
            kernel_version: parts.kernel_version.to_owned(),
            pcr1: measured.pcr1,
            cmdline: parts.cmdline.to_owned(),
            kernel: measured.kernel,
            ramdisk: measured.ramdisk,
            toolchain: parts.toolchain,
        };
        let place = place(cache, &measured.id);
        // Running programs may be reading a release that is there and sound.
        if Self::load(&place).is_ok_and(|found| found.info == info) {
            return Self::load(&place);
        }
        let mut json = serde_json::to_vec_pretty(&info)
            .map_err(|source| ReleaseError::Json { path: place.join(INFO), source })?;
        json.push(b'\n');
        let partial = PartialDir::new(&cache.join(RELEASES))?;
        files::write_atomic(&partial.path().join(KERNEL), parts.kernel)?;
        files::write_atomic(&partial.path().join(RAMDISK), parts.ramdisk)?;
        files::write_atomic(&partial.path().join(CMDLINE), parts.cmdline.as_bytes())?;
        files::write_atomic(&partial.path().join(INFO), &json)?;
        partial.finish(&place)?;
        Self::load(&place)
    }

    /// Makes it the release that images are built on, where nothing else is said.
    pub(crate) fn make_default(&self, cache: &Path) -> Result<(), FileError> {
        files::write_atomic(&cache.join(RELEASES).join(CURRENT), format!("{}\n", self.id).as_bytes())
    }
}

/// The release with this identity, if it is on this machine.
pub fn installed(cache: &Path, id: &Sha256Digest) -> Result<Release, ReleaseError> {
    let dir = place(cache, id);
    if !dir.is_dir() {
        return Err(ReleaseError::NotInstalled { id: *id });
    }
    let release = Release::load(&dir)?;
    if release.id == *id {
        Ok(release)
    } else {
        Err(ReleaseError::OtherRelease { dir, expected: *id, actual: release.id })
    }
}

/// The release that was built last on this machine.
pub fn default_release(cache: &Path) -> Result<Release, ReleaseError> {
    let path = cache.join(RELEASES).join(CURRENT);
    if !path.exists() {
        return Err(ReleaseError::NoDefault);
    }
    let text = files::read_text(&path, MAX_POINTER)?;
    match text.trim_end().parse() {
        Ok(id) => installed(cache, &id),
        Err(_) => Err(ReleaseError::Pointer { path }),
    }
}

/// The release that measures as this PCR1, if it is on this machine.
///
/// Only notes are read until one names the register; then the release is measured like any other.
///
/// # Errors
/// A [`ReleaseError`] when the release that says so is not sound.
pub fn by_pcr1(cache: &Path, pcr1: &Pcr) -> Result<Option<Release>, ReleaseError> {
    let Ok(folders) = std::fs::read_dir(cache.join(RELEASES)) else { return Ok(None) };
    for folder in folders.flatten() {
        let note = files::read_limited(&folder.path().join(INFO), MAX_INFO).unwrap_or_default();
        if serde_json::from_slice::<ReleaseInfo>(&note).is_ok_and(|info| info.pcr1 == *pcr1) {
            return Release::load(&folder.path()).map(Some);
        }
    }
    Ok(None)
}

fn place(cache: &Path, id: &Sha256Digest) -> PathBuf {
    cache.join(RELEASES).join(id.to_string())
}

/// What the bytes of a release give.
struct Measured {
    kernel: FileInfo,
    ramdisk: FileInfo,
    pcr1: Pcr,
    id: Sha256Digest,
}

impl Measured {
    fn of(kernel: &[u8], cmdline: &str, ramdisk: &[u8]) -> Self {
        let info = |bytes: &[u8]| FileInfo { sha256: Sha256Digest::of(bytes), size: bytes.len() as u64 };
        let mut pcr1 = PcrHasher::new();
        for content in [kernel, cmdline.as_bytes(), ramdisk] {
            pcr1.update(content);
        }
        let (kernel, ramdisk) = (info(kernel), info(ramdisk));
        let id = identity(&kernel.sha256, &Sha256Digest::of(cmdline.as_bytes()), &ramdisk.sha256);
        Self { kernel, ramdisk, pcr1: pcr1.finish(), id }
    }
}

/// A release's identity, from the digests of its files.
pub(crate) fn identity(
    kernel: &Sha256Digest,
    cmdline: &Sha256Digest,
    ramdisk: &Sha256Digest,
) -> Sha256Digest {
    let mut id = KeyHasher::new("caution enclaveos release 1");
    id.field("kernel", kernel.as_bytes());
    id.field("cmdline", cmdline.as_bytes());
    id.field("ramdisk", ramdisk.as_bytes());
    id.finish()
}

/// Where releases are in the cache.
pub(crate) const RELEASES: &str = "enclaveos";
const CURRENT: &str = "current";
const INFO: &str = "release.json";
const KERNEL: &str = "kernel";
const RAMDISK: &str = "ramdisk0.cpio.gz";
const CMDLINE: &str = "cmdline";
const MAX_INFO: u64 = 64 * 1024;
const MAX_POINTER: u64 = 128;
/// The kernel keeps 2048 bytes of command line (`COMMAND_LINE_SIZE` on x86).
const MAX_CMDLINE: u64 = 2048;
/// Ten times what they are today.
pub(crate) const MAX_KERNEL: u64 = 64 * 1024 * 1024;
const MAX_RAMDISK: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests;
