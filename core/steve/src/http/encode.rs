//! Parts of a message in, bytes out.

use super::fields::{Fields, MAX_HEAD, check};
use super::{MessageError, REQUEST, RESPONSE, RequestHead, ResponseHead};
use crate::varint;

/// Writes one message, part after part; each call appends to what is given.
#[derive(Debug)]
pub struct Encoder {
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Start,
    /// Informational responses were written.
    Informational,
    Content,
    Ended,
}

impl Encoder {
    /// An encoder of one message.
    pub fn new() -> Self {
        Self { phase: Phase::Start }
    }

    /// A request's head.
    ///
    /// # Panics
    ///
    /// When something was written before.
    pub fn request(&mut self, head: &RequestHead, out: &mut Vec<u8>) -> Result<(), MessageError> {
        assert_eq!(self.phase, Phase::Start, "a second head");
        head.check()?;
        let start = out.len();
        varint::put(out, REQUEST);
        for text in [&head.method, &head.scheme, &head.authority, &head.path] {
            put(out, text.as_bytes());
        }
        put_fields(out, &head.fields);
        self.phase = Phase::Content;
        short_enough(out, start)
    }

    /// A response's head; of an informational one, with others after it.
    ///
    /// # Panics
    ///
    /// When the final head was written before.
    pub fn response(&mut self, head: &ResponseHead, out: &mut Vec<u8>) -> Result<(), MessageError> {
        assert!(self.phase < Phase::Content, "a second head");
        head.check()?;
        let start = out.len();
        if self.phase == Phase::Start {
            varint::put(out, RESPONSE);
        }
        varint::put(out, head.status.into());
        put_fields(out, &head.fields);
        self.phase = if head.is_informational() { Phase::Informational } else { Phase::Content };
        short_enough(out, start)
    }

    /// Content, as much as there is now.
    ///
    /// # Panics
    ///
    /// Outside the content.
    pub fn content(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        assert_eq!(self.phase, Phase::Content, "content comes after the head");
        // What a varint of four bytes can say is far more than a chunk.
        for piece in bytes.chunks(1 << 24) {
            put(out, piece);
        }
    }

    /// The end, with trailers.
    ///
    /// # Panics
    ///
    /// Outside the content.
    pub fn end(&mut self, trailers: &Fields, out: &mut Vec<u8>) -> Result<(), MessageError> {
        assert_eq!(self.phase, Phase::Content, "the end comes after the head");
        check(trailers)?;
        varint::put(out, 0);
        let start = out.len();
        put_fields(out, trailers);
        self.phase = Phase::Ended;
        short_enough(out, start)
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_fields(out: &mut Vec<u8>, fields: &Fields) {
    for (name, value) in fields {
        put(out, name.as_bytes());
        put(out, value);
    }
    varint::put(out, 0);
}

/// What the other side would refuse is not sent.
fn short_enough(out: &mut Vec<u8>, start: usize) -> Result<(), MessageError> {
    if out.len() - start > MAX_HEAD {
        out.truncate(start);
        return Err(MessageError::HeadTooLong);
    }
    Ok(())
}
