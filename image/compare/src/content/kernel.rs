//! Linux kernel images for x86: the version in the header of their setup code, and the strings of all of it.

use super::binary;
use super::findings::Findings;

/// Compares two images. What they say of their version shows no cause: it is what differs, and not why.
pub(super) fn compare(left: &[u8], right: &[u8], findings: &mut Findings) {
    if let (Some(l), Some(r)) = (version(left), version(right))
        && l != r
    {
        findings.change("version", format!("{l} → {r}"));
    }
    binary::compare(left, right, findings);
}

/// `kernel_version` of the boot protocol (Documentation/arch/x86/boot.rst): where a text begins that ends with a
/// zero, less 0x200; zero where there is none.
fn version(image: &[u8]) -> Option<&str> {
    let at = u16::from_le_bytes([*image.get(0x20e)?, *image.get(0x20f)?]);
    let text = image.get(usize::from(at) + 0x200..).filter(|_| at > 0)?;
    let end = text.iter().take(MOST_VERSION_BYTES).position(|byte| *byte == 0)?;
    str::from_utf8(&text[..end]).ok()
}

const MOST_VERSION_BYTES: usize = 512;
