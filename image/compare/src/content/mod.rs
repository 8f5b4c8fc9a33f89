//! Two contents of one path: what kind of change it is, and what shows why.
//!
//! Contents are hostile: everything is bounded by [`Budget`], nothing panics, and nothing here reads a clock, a
//! file or the environment. What cannot be shown has no attribution; `specs/compare.md` lists what shows what.

mod archive;
mod binary;
mod class;
mod elf;
mod findings;
mod json;
mod judge;
mod kernel;
mod keys;
mod kind;
mod moment;
mod order;
mod packages;
mod path;
mod pyc;
mod secrets;
mod system;
mod text;
mod token;
mod words;

pub use findings::{Change, Explanation};
pub use packages::packages;
pub(crate) use secrets::without as without_secrets;

use findings::Findings;
use kind::Kind;

/// What changed between two contents of one path, and why.
///
/// `path` is where the file lies in the image, without a leading slash being needed; some kinds of files are only
/// known by it. Exchanging the sides exchanges the values in the answer and nothing else.
pub fn compare(path: &[u8], left: &[u8], right: &[u8]) -> Explanation {
    let path = String::from_utf8_lossy(path).trim_start_matches('/').to_owned();
    let mut findings = Findings::default();
    let kind = compare_within(&path, left, right, Budget::default(), &mut findings);
    findings.into_explanation(kind)
}

/// How much is looked at: what an archive may still unfold to, over all its levels, on both sides together.
#[derive(Debug, Clone, Copy)]
struct Budget {
    /// Uncompressed bytes of one content.
    bytes: usize,
    /// Archives within archives.
    depth: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: 24 << 20, depth: 5 }
    }
}

impl Budget {
    /// What the inside of a container may take, or `None` where this is deep enough.
    fn inside(self) -> Option<Self> {
        // Half a level: whatever is nested, all levels together take no more than twice the first.
        Some(Self { depth: self.depth.checked_sub(1)?, bytes: self.bytes / 2 })
    }
}

/// Compares two contents, which may lie in an archive, and names their kind.
fn compare_within(path: &str, left: &[u8], right: &[u8], budget: Budget, findings: &mut Findings) -> String {
    let (kind, other) = (Kind::of(path, left), Kind::of(path, right));
    if left == right {
        return kind.name().to_owned();
    }
    if left.len().max(right.len()) > MOST_BYTES {
        findings.unexplained("", format!("{} → {} bytes, too many to look inside", left.len(), right.len()));
        return kind.name().to_owned();
    }
    if kind != other {
        // An empty file says nothing of its kind.
        if left.is_empty() || right.is_empty() {
            findings.unexplained("", format!("{} → {} bytes", left.len(), right.len()));
            return if left.is_empty() { other } else { kind }.name().to_owned();
        }
        let mut names = [kind.name(), other.name()];
        names.sort_unstable();
        if kind.is_compression() && other.is_compression() {
            archive::compare_compressed(path, left, right, budget, findings);
        } else {
            findings.unexplained("", format!("{} → {}", kind.name(), other.name()));
        }
        return names.join(" or ");
    }
    let told = findings.told();
    match kind {
        Kind::Text => text::compare(path, left, right, findings),
        Kind::Json => json::compare(path, left, right, findings),
        Kind::Elf => elf::compare(left, right, findings),
        Kind::Pyc => pyc::compare(left, right, findings),
        Kind::Gzip | Kind::Xz | Kind::Zstd => {
            archive::compare_compressed(path, left, right, budget, findings);
        }
        Kind::Zip => archive::compare_zip(left, right, budget, findings),
        Kind::Tar => archive::compare_tar(left, right, budget, findings),
        Kind::Cpio => archive::compare_cpio(left, right, budget, findings),
        Kind::Ar => archive::compare_ar(left, right, budget, findings),
        Kind::Pem => keys::compare_pem(left, right, findings),
        Kind::Der => keys::compare_der("", left, right, findings),
        Kind::System(file) => file.compare(path, left, right, findings),
        Kind::Class => class::compare(left, right, findings),
        Kind::Kernel => kernel::compare(left, right, findings),
        Kind::Binary => binary::compare(left, right, findings),
    }
    if findings.told() == told {
        // What is compared by its meaning may mean the same and be written otherwise.
        findings
            .unexplained("", format!("the same content in another form; {}", binary::amount(left, right)));
    }
    kind.name().to_owned()
}

/// Contents beyond this are not looked into.
const MOST_BYTES: usize = 48 << 20;
/// Lines, strings or members beyond these are not told apart.
const MOST_PIECES: usize = 300_000;

#[cfg(test)]
mod tests;
