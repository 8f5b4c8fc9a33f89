//! PEM (RFC 7468): the form in which people keep keys and certificates.

use super::SignatureError;
use zeroize::Zeroizing;

/// One `-----BEGIN …-----` block. Its content is wiped when dropped: it may be a key.
pub(super) struct Block<'a> {
    pub(super) label: &'a str,
    pub(super) content: Zeroizing<Vec<u8>>,
    /// It has header lines, as encrypted keys of the old form (RFC 1421) do.
    pub(super) has_headers: bool,
}

/// The blocks of a file, in order; text around them is skipped, as OpenSSL does.
pub(super) fn blocks<'a>(file: &'static str, text: &'a [u8]) -> Result<Vec<Block<'a>>, SignatureError> {
    if text.len() > MAX_FILE {
        return Err(SignatureError::TooLong { file, found: text.len(), limit: MAX_FILE });
    }
    let broken = || SignatureError::Pem { file };
    let text = std::str::from_utf8(text).map_err(|_| broken())?;
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while let Some(line) = lines.next() {
        if !line.starts_with("-----") {
            continue;
        }
        let label = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----"));
        let label = label.ok_or_else(broken)?;
        let mut digits = Zeroizing::new(String::with_capacity(text.len()));
        let mut has_headers = false;
        loop {
            let line = lines.next().ok_or_else(broken)?;
            if let Some(end) = line.strip_prefix("-----") {
                if end.strip_prefix("END ").and_then(|rest| rest.strip_suffix("-----")) != Some(label) {
                    return Err(broken());
                }
                break;
            }
            if line.contains(':') {
                has_headers = true;
            } else {
                digits.push_str(line.trim());
            }
        }
        // What an encrypted block holds is not looked at.
        let content = if has_headers {
            Vec::new()
        } else {
            data_encoding::BASE64.decode(digits.as_bytes()).map_err(|_| broken())?
        };
        blocks.push(Block { label, content: Zeroizing::new(content), has_headers });
    }
    Ok(blocks)
}

/// Keys and certificates have a few hundred bytes. Each byte of the certificate's file takes two in the
/// section, and the section of a whole image stays below the 32 KiB at which the AWS tools stop.
pub(super) const MAX_FILE: usize = 12 * 1024;
