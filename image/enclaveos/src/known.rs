//! The list of known releases: which PCR1 is which version, and from which commit it is built.
//!
//! `specs/enclaveos.md` §7 has the format. A list says what somebody built and read; whoever decides by one
//! got it from a place that is trusted already, or through [`ListKeys::open`].

mod signed;

use crate::release::{Release, identity};
use caution_measure::{Pcr, Sha256Digest};
use serde::{Deserialize, Serialize};
pub use signed::{ListKeys, SignedListError};
use std::collections::BTreeSet;

/// Releases by PCR1, oldest version first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownReleases {
    schema: Schema,
    serial: u64,
    releases: Vec<KnownRelease>,
}

/// One release of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRelease {
    /// Three numbers with dots.
    pub version: String,
    /// The release's identity.
    pub id: Sha256Digest,
    /// What it measures.
    pub pcr1: Pcr,
    /// Version of the kernel's source package.
    pub kernel_version: String,
    /// The commit of Caution's repository that it is built from, 40 hex digits.
    pub source_commit: String,
    /// The day its version was tagged, `2026-11-21`; none before, while the entry may still be replaced.
    pub released: Option<String>,
    /// SHA-256 of the kernel image.
    pub kernel: Sha256Digest,
    /// SHA-256 of the command line.
    pub cmdline: Sha256Digest,
    /// SHA-256 of ramdisk 0.
    pub ramdisk: Sha256Digest,
}

/// The format's name; reading any other fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Schema {
    #[serde(rename = "caution.enclaveos-releases/1")]
    One,
}

/// Why a list of releases cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KnownError {
    /// More bytes than any list has.
    #[error("The list of EnclaveOS releases has {found} bytes, and {MAX_LIST} are the most it may have.")]
    TooLarge {
        /// How many it has.
        found: usize,
    },
    /// It is not of the format.
    #[error("The list of EnclaveOS releases is malformed.")]
    Json(#[from] serde_json::Error),
    /// An entry cannot be right.
    #[error("Entry {version} of the list of EnclaveOS releases cannot be used.")]
    Entry {
        /// Its version as written.
        version: String,
        /// What is wrong with it.
        source: EntryFault,
    },
    /// It is older than the one that is known.
    #[error(
        "The list of EnclaveOS releases has serial {offered}, which is lower than {known}, the known one's."
    )]
    Older {
        /// Of the list that is known.
        known: u64,
        /// Of the one that was given.
        offered: u64,
    },
    /// It gives a version that was released to another release.
    #[error(
        "The list of EnclaveOS releases says that {version} is {offered}, but it was released as {known}."
    )]
    Rewritten {
        /// The version.
        version: String,
        /// The identity it was released with.
        known: Sha256Digest,
        /// The one the list gives it.
        offered: Sha256Digest,
    },
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryFault {
    /// Not three numbers.
    #[error("its version is not three numbers with dots, as in 0.1.0")]
    Version,
    /// Not above the entry before.
    #[error("its version does not come after {before}, the entry before it")]
    Order {
        /// The version before.
        before: String,
    },
    /// All zero, which is what debug mode attests.
    #[error("its PCR1 is zero, which is what debug mode attests")]
    ZeroPcr1,
    /// Two entries measure the same.
    #[error("its PCR1 is that of another entry")]
    DuplicatePcr1,
    /// The identity follows from the three files.
    #[error("its id is not {computed}, which its kernel, command line and ramdisk give")]
    Identity {
        /// What they give.
        computed: Sha256Digest,
    },
    /// Not a full commit id.
    #[error("its source_commit is not 40 lower-case hex digits")]
    Commit,
    /// Not a day.
    #[error("its released is not a day, as in 2026-11-21")]
    Day,
    /// Not the version of a package.
    #[error(
        "its kernel_version is empty, longer than 64 characters, or holds others than letters, digits and `.+-~:`"
    )]
    KernelVersion,
}

impl KnownReleases {
    /// Reads a list strictly: unknown keys, wrong order, duplicates, zero registers and identities that do not follow from
    /// the files are refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, KnownError> {
        if bytes.len() > MAX_LIST {
            return Err(KnownError::TooLarge { found: bytes.len() });
        }
        let list: Self = serde_json::from_slice(bytes)?;
        let (mut before, mut pcrs) = (None::<&KnownRelease>, BTreeSet::new());
        for entry in &list.releases {
            entry
                .check(before)
                .and_then(|()| pcrs.insert(entry.pcr1).then_some(()).ok_or(EntryFault::DuplicatePcr1))
                .map_err(|source| KnownError::Entry { version: excerpt(&entry.version), source })?;
            before = Some(entry);
        }
        Ok(list)
    }

    /// A number that grows with each list.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The releases, oldest version first.
    pub fn releases(&self) -> &[KnownRelease] {
        &self.releases
    }

    /// The release that measures as this.
    pub fn by_pcr1(&self, pcr1: &Pcr) -> Option<&KnownRelease> {
        self.releases.iter().find(|known| known.pcr1 == *pcr1)
    }

    /// Whether `newer` may take this list's place: its serial is not lower, and no version that was released became
    /// another release. It may leave releases out: that is how one is withdrawn.
    pub fn check_follows(&self, newer: &Self) -> Result<(), KnownError> {
        if newer.serial < self.serial {
            return Err(KnownError::Older { known: self.serial, offered: newer.serial });
        }
        let released = self.releases.iter().filter(|known| known.released.is_some());
        for known in released {
            let same_version = newer.releases.iter().find(|entry| entry.version == known.version);
            if let Some(entry) = same_version.filter(|entry| entry.id != known.id) {
                let (version, known, offered) = (known.version.clone(), known.id, entry.id);
                return Err(KnownError::Rewritten { version, known, offered });
            }
        }
        Ok(())
    }
}

impl KnownRelease {
    /// The entry of a release that is built from this commit and not tagged yet.
    pub fn of(release: &Release, source_commit: &str) -> Self {
        let info = &release.info;
        Self {
            version: info.version.clone(),
            id: release.id(),
            pcr1: info.pcr1,
            kernel_version: info.kernel_version.clone(),
            source_commit: source_commit.to_owned(),
            released: None,
            kernel: info.kernel.sha256,
            cmdline: Sha256Digest::of(release.cmdline().as_bytes()),
            ramdisk: info.ramdisk.sha256,
        }
    }

    /// The parts in which a release differs from this entry, of `kernel`, `command line` and `ramdisk`, with the entry's digest
    /// and the release's. None means that identity and PCR1 are equal too.
    pub fn differences(&self, release: &Release) -> Vec<(&'static str, Sha256Digest, Sha256Digest)> {
        let other = Self::of(release, &self.source_commit);
        [
            ("kernel", self.kernel, other.kernel),
            ("command line", self.cmdline, other.cmdline),
            ("ramdisk", self.ramdisk, other.ramdisk),
        ]
        .into_iter()
        .filter(|(_, known, built)| known != built)
        .collect()
    }

    fn check(&self, before: Option<&Self>) -> Result<(), EntryFault> {
        let version = numbers(&self.version).ok_or(EntryFault::Version)?;
        if let Some(before) = before.filter(|before| numbers(&before.version) >= Some(version)) {
            return Err(EntryFault::Order { before: before.version.clone() });
        }
        if self.pcr1.is_zero() {
            return Err(EntryFault::ZeroPcr1);
        }
        let computed = identity(&self.kernel, &self.cmdline, &self.ramdisk);
        if computed != self.id {
            return Err(EntryFault::Identity { computed });
        }
        let is_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if self.source_commit.len() != 40 || !self.source_commit.bytes().all(is_hex) {
            return Err(EntryFault::Commit);
        }
        if self.released.as_deref().is_some_and(|day| !is_day(day)) {
            return Err(EntryFault::Day);
        }
        let in_versions = |c: u8| c.is_ascii_alphanumeric() || b".+-~:".contains(&c);
        if !(1..=64).contains(&self.kernel_version.len()) || !self.kernel_version.bytes().all(in_versions) {
            return Err(EntryFault::KernelVersion);
        }
        Ok(())
    }
}

impl KnownError {
    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Older { .. } => Some("get the newest list from where Caution is published".into()),
            Self::Rewritten { .. } => Some(
                "keep the list you have, and ask whoever signed this one: a release never changes".into(),
            ),
            _ => None,
        }
    }
}

/// `1.20.3` as numbers; signs, spaces and leading zeros are not numbers.
fn numbers(version: &str) -> Option<[u32; 3]> {
    let number = |text: &str| -> Option<u32> {
        let plain = text.bytes().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse().ok().filter(|_| plain)
    };
    let parts: Option<Vec<u32>> = version.split('.').map(number).collect();
    parts?.try_into().ok()
}

/// `2026-11-21`: digits where they belong, a month there is, and at most 31 days.
fn is_day(text: &str) -> bool {
    let shape = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(i, c)| if i == 4 || i == 7 { c == b'-' } else { c.is_ascii_digit() });
    shape && ("01"..="12").contains(&&text[5..7]) && ("01"..="31").contains(&&text[8..])
}

/// The beginning of a text that may be anything, printable.
fn excerpt(text: &str) -> String {
    format!("`{}`", text.chars().take(40).flat_map(char::escape_default).collect::<String>())
}

/// The largest list, bytes: some two hundred releases.
pub const MAX_LIST: usize = 128 * 1024;

#[cfg(test)]
mod tests;
