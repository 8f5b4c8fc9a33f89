//! What a refusal shows of a stranger's bytes: short, and in characters that move no cursor.

use alloc::format;
use alloc::string::String;

/// Lower-case hex of the first 64 bytes; where there are more, or none at all, with how many there are.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let start = Hex(&bytes[..bytes.len().min(LIMIT)]);
    match bytes.len() {
        0 => "(0 bytes)".into(),
        1..=LIMIT => format!("{start}"),
        length => format!("{start}… ({length} bytes)"),
    }
}

/// The first 64 characters in backticks, those beyond printable ASCII spelt out; `…` where there are more.
pub(crate) fn text(bytes: &[u8]) -> String {
    let all = String::from_utf8_lossy(bytes);
    let mut rest = all.chars();
    let shown: String = rest.by_ref().take(LIMIT).flat_map(char::escape_default).collect();
    format!("`{shown}{}`", if rest.next().is_some() { "…" } else { "" })
}

/// Lower-case hex.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Bytes or characters shown. A common name has at most 64 characters (RFC 5280, `ub-common-name`).
const LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_say_what_they_leave_out() {
        assert_eq!(hex(&[]), "(0 bytes)");
        assert_eq!(hex(&[0x0a; 64]), "0a".repeat(64));
        assert_eq!(hex(&[0x0a; 65]), format!("{}… (65 bytes)", "0a".repeat(64)));
        assert_eq!(text(b"a\x1b`\xff"), "`a\\u{1b}`\\u{fffd}`");
        assert_eq!(text("é".repeat(64).as_bytes()), format!("`{}`", "\\u{e9}".repeat(64)));
        assert_eq!(text(&[b'a'; 65]), format!("`{}…`", "a".repeat(64)));
    }
}
