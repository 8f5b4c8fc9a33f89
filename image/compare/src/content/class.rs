//! Java classes: the version of the format, and the strings of the constant pool (JVM specification §4).

use super::binary;
use super::findings::Findings;
use crate::cause::Cause;

/// Compares two classes.
pub(super) fn compare(left: &[u8], right: &[u8], findings: &mut Findings) {
    let version = |class: &[u8]| Some(u16::from_be_bytes([*class.get(6)?, *class.get(7)?]));
    match (version(left), version(right)) {
        // Java 1.1 had 45.
        (Some(l @ 45..=200), Some(r @ 45..=200)) if l != r => {
            let evidence = format!("class format {l} (Java {}) → {r} (Java {})", l - 44, r - 44);
            findings.change_shows(Cause::Toolchain, "header", &evidence);
        }
        _ => binary::compare(left, right, findings),
    }
}
