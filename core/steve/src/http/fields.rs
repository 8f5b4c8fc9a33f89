//! Fields, and what may stand in them.

use super::{MessageError, RequestHead, ResponseHead};

/// Names and values, in order.
pub type Fields = Vec<(String, Vec<u8>)>;

/// The longest head, and the longest trailers, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;
/// The most fields of either.
pub const MAX_FIELDS: usize = 256;

/// Fields that hold for one connection (RFC 9110, section 7.6.1): each hop has its own.
const OF_A_CONNECTION: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

impl RequestHead {
    /// Refuses what is no request, or means different things to different readers.
    pub fn check(&self) -> Result<(), MessageError> {
        let wrong = |what| Err(MessageError::Control(what));
        if self.method.is_empty() || !self.method.bytes().all(is_token) {
            return wrong("method");
        }
        if self.scheme != "https" {
            return wrong("scheme");
        }
        if self.authority.is_empty() || !self.authority.bytes().all(|b| b.is_ascii_graphic() && b != b'@') {
            return wrong("authority");
        }
        let options = self.path == "*" && self.method == "OPTIONS";
        let visible = |b: u8| b.is_ascii_graphic() && b != b'#';
        if !(options || self.path.starts_with('/')) || !self.path.bytes().all(visible) {
            return wrong("path");
        }
        check(&self.fields)?;
        content_length(&self.fields).map(drop)
    }
}

impl ResponseHead {
    /// Refuses what is no response.
    pub fn check(&self) -> Result<(), MessageError> {
        if !(100..600).contains(&self.status) {
            return Err(MessageError::Status(self.status.into()));
        }
        check(&self.fields)?;
        content_length(&self.fields).map(drop)
    }

    /// Another response follows.
    pub fn is_informational(&self) -> bool {
        self.status < 200
    }
}

/// Refuses malformed fields and those of a connection.
pub(super) fn check(fields: &Fields) -> Result<(), MessageError> {
    if fields.len() > MAX_FIELDS {
        return Err(MessageError::TooManyFields);
    }
    fields.iter().try_for_each(|(name, value)| check_field(name, value))
}

fn check_field(name: &str, value: &[u8]) -> Result<(), MessageError> {
    if name.is_empty() || !name.bytes().all(|b| is_token(b) && !b.is_ascii_uppercase()) {
        return Err(MessageError::FieldName);
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let control = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
    if value.iter().any(control) || value.first().is_some_and(blank) || value.last().is_some_and(blank) {
        return Err(MessageError::FieldValue(name.to_owned()));
    }
    if OF_A_CONNECTION.contains(&name) || (name == "te" && !value.eq_ignore_ascii_case(b"trailers")) {
        return Err(MessageError::ConnectionField(name.to_owned()));
    }
    Ok(())
}

/// The declared length of the content, where there is one; only one may be.
pub(super) fn content_length(fields: &Fields) -> Result<Option<u64>, MessageError> {
    let mut lengths = fields.iter().filter(|(name, _)| name == "content-length");
    let Some((_, value)) = lengths.next() else { return Ok(None) };
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    match length {
        Some(length) if digits && lengths.next().is_none() => Ok(Some(length)),
        _ => Err(MessageError::ContentLength),
    }
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
