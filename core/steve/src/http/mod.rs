//! Messages inside the tunnel: binary HTTP (RFC 9292) in its indeterminate-length form, checked so
//! that nothing in it means something else to the next reader.
//!
//! Content streams both ways: [`Encoder`] gives the bytes of each part, [`Decoder`] takes bytes as they
//! come and gives parts.

mod decode;
mod encode;
mod fields;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Part};
pub use encode::Encoder;
pub use fields::{Fields, MAX_FIELDS, MAX_HEAD};

/// A request without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    /// A token: `GET`.
    pub method: String,
    /// `https`.
    pub scheme: String,
    /// Host and port: visible ASCII, not empty.
    pub authority: String,
    /// Path and query in origin form, beginning with `/`, or `*` of OPTIONS: visible ASCII.
    pub path: String,
    /// Names in lower case, values; in order, duplicates kept.
    pub fields: Fields,
}

/// A response without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 199 of an informational one, else 200 to 599.
    pub status: u16,
    /// As of requests.
    pub fields: Fields,
}

/// Why bytes are no message, or a message may not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A length in more bytes than it needs, or in more than four.
    #[error("a length is not in its shortest form of at most four bytes")]
    Length,
    /// The first number is not that of an indeterminate-length request or response, as expected.
    #[error("the message begins with {0}, which is not what is expected here")]
    Framing(usize),
    /// A method, scheme, authority or path that is none.
    #[error("the {0} of the request is malformed")]
    Control(&'static str),
    /// A status outside 100 to 599.
    #[error("the status is {0} (100 to 599)")]
    Status(usize),
    /// Too long a head or trailer.
    #[error("the fields take more than {MAX_HEAD} bytes")]
    HeadTooLong,
    /// Too many fields.
    #[error("there are more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// A name that is no token in lower case.
    #[error("a field's name is malformed")]
    FieldName,
    /// A value with a line break, another control character, or blanks around it.
    #[error("the value of field `{0}` is malformed")]
    FieldValue(String),
    /// A field that speaks of one connection, and would mean something else on the next.
    #[error("field `{0}` speaks of a connection and may not pass")]
    ConnectionField(String),
    /// More than one length, one that is no number, or another than the content has.
    #[error("the content-length is not the content's")]
    ContentLength,
    /// The message ended early.
    #[error("the message ended before its end")]
    Truncated,
    /// Bytes after the message.
    #[error("the message goes on after its end")]
    AfterEnd,
}

/// What stands in front of an indeterminate-length request (RFC 9292, section 3.3).
const REQUEST: usize = 2;
/// … response.
const RESPONSE: usize = 3;
