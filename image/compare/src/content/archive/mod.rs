//! Archives and compressed files: opened, and compared inside.

mod ar;
mod compressed;
mod members;
mod tar;
mod zip;

pub(super) use ar::compare as compare_ar;
pub(super) use compressed::compare as compare_compressed;
pub(super) use tar::{compare as compare_tar, compare_cpio};
pub(super) use zip::compare as compare_zip;

use super::binary;
use super::findings::Findings;

/// A container that cannot be opened is bytes like others.
fn closed(reason: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    findings.unexplained("", format!("{reason}; {}", binary::amount(left, right)));
}
