//! What a comparison says.

use super::{WrittenBy, shown};
use crate::cause::Attribution;
use crate::content::Explanation;
use crate::entry::{Entry, Kind, KindName};
use crate::side::Listed;
use caution_measure::Pcr;
use serde::Serialize;

/// What differs between two sides. Exchanging them exchanges left and right in it and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Registers that differ; `None` where a side is no enclave image.
    pub registers: Option<Vec<RegisterDifference>>,
    /// What was compared with what.
    pub layers: Vec<LayerComparison>,
    /// Packages of which the sides have different versions, or only one has any.
    pub packages: Vec<PackageDifference>,
    /// Everything that differs, the most telling first.
    pub differences: Vec<Difference>,
}

/// A register with two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RegisterDifference {
    /// Its number: 0, 1, 2, or 8 of signed images.
    pub register: u8,
    /// Its value on the left; `None` where the image does not decide it.
    pub left: Option<Pcr>,
    /// Its value on the right.
    pub right: Option<Pcr>,
}

/// A layer of one side with its counterpart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerComparison {
    /// Its name on the left; `None` where the left has none like it.
    pub left: Option<String>,
    /// Its name on the right.
    pub right: Option<String>,
    /// How they compare.
    pub outcome: LayerOutcome,
    /// Why there may be more than was seen: a ramdisk that cannot be read to its end.
    pub problems: Vec<String>,
}

/// How two layers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LayerOutcome {
    /// The stored bytes are equal, so nothing was unpacked.
    SameBytes,
    /// Every entry is equal, though it may be stored otherwise.
    SameEntries,
    /// Something differs.
    Differ,
    /// The other side has nothing to compare it with.
    NotCompared,
}

/// A package in two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackageDifference {
    /// Who keeps the list: `dpkg`, `apk`, `pip`, `npm`.
    pub manager: &'static str,
    /// The package.
    pub name: String,
    /// Its version on the left; `None`: not installed.
    pub left: Option<String>,
    /// Its version on the right.
    pub right: Option<String>,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which layer it is in, as users call it.
    pub layer: String,
    /// Path as users see it, unprintable bytes escaped; empty for a layer as a whole.
    pub path: String,
    /// What happened, seen from left to right.
    pub status: Status,
    /// What the left has.
    pub left: Option<EntryFacts>,
    /// What the right has.
    pub right: Option<EntryFacts>,
    /// In which respects they differ, where both have it.
    pub aspects: Vec<Aspect>,
    /// What differs inside.
    pub content: Option<Explanation>,
    /// Why nobody looked inside, though the content differs.
    pub not_looked_into: Option<&'static str>,
    /// Why it differs, as far as it can be shown.
    pub attributions: Vec<Attribution>,
    /// Whether something about it differs that no attribution explains.
    pub unexplained: bool,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Both sides have it, and it is not the same.
    Changed,
    /// Only the right has it.
    Added,
    /// Only the left has it.
    Removed,
}

/// A respect in which two entries of one path differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Aspect {
    /// File, directory, link, …
    Kind,
    /// Content of a file.
    Content,
    /// Where a symbolic link points.
    Target,
    /// Device numbers.
    Device,
    /// Permission bits.
    Mode,
    /// User or group.
    Owner,
    /// Modification time as the archive has it.
    Mtime,
    /// Which other names lead to the same file.
    Links,
    /// The order in which the archive has its entries.
    Order,
}

/// An entry in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryFacts {
    /// What it is.
    pub kind: KindName,
    /// Length of the content in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of the content, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Permission bits, octal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// `user:group`, as numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Target of a link, numbers of a device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What wrote it, where the side came from layers and that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_by: Option<WrittenBy>,
}

impl EntryFacts {
    /// An entry in words.
    pub(super) fn of(listed: &Listed, written_by: Option<WrittenBy>) -> Self {
        let Listed { entry: Entry { kind, mode, uid, gid, .. }, content } = listed;
        let target = match kind {
            Kind::Symlink(target) => Some(shown(target)),
            Kind::CharDevice { major, minor } | Kind::BlockDevice { major, minor } => {
                Some(format!("{major}:{minor}"))
            }
            _ => None,
        };
        Self {
            kind: kind.name(),
            size: content.map(|content| content.size),
            sha256: content.map(|content| content.sha256.to_string()),
            mode: Some(format!("{mode:04o}")),
            owner: Some(format!("{uid}:{gid}")),
            target,
            written_by,
        }
    }
}
