//! Records: chunks in the framing of chunked OHTTP (draft-ietf-ohai-chunked-ohttp), each with a type
//! and padding inside, as in TLS 1.3.
//!
//! ```text
//! stream    = { varint(len > 0) || sealed }*  varint(0) || sealed          the last one to the end of the stream
//! sealed    = AES-256-GCM(key, iv XOR counter, AAD "" or "final", content || type || 00*)
//! ```

mod block;
mod fault;
mod opener;
mod sealer;
#[cfg(test)]
mod tests;

pub(crate) use block::Block;
pub use fault::{SealedCode, SealedError};
pub use opener::Opener;
pub use sealer::Sealer;

use crate::error::RecordError;
use crate::hpke::TAG;
use aws_lc_rs::aead::Aad;

/// What is authenticated beside a chunk: whether it is the last.
fn aad(last: bool) -> Aad<&'static [u8]> {
    Aad::from(if last { b"final" } else { b"" })
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes of a message (binary HTTP).
    Data,
    /// Nothing: keeps the connection alive. Its content is ignored.
    Pad,
    /// A [`SealedError`]; nothing follows.
    Error,
    /// The sender gives up.
    Reset,
    /// A WebSocket text message, or a part of one with more to come.
    WsText {
        /// More parts follow.
        more: bool,
    },
    /// A binary one.
    WsBinary {
        /// More parts follow.
        more: bool,
    },
    /// Closes the WebSocket: a code, 2 bytes big-endian, and a reason.
    WsClose,
    /// WebSocket ping.
    Ping,
    /// WebSocket pong.
    Pong,
    /// Opens a WebSocket: its request as binary HTTP.
    WsOpen,
}

impl Kind {
    const KNOWN: [(u8, Self); 12] = [
        (0x01, Self::Data),
        (0x02, Self::Pad),
        (0x03, Self::Error),
        (0x04, Self::Reset),
        (0x10, Self::WsText { more: false }),
        (0x90, Self::WsText { more: true }),
        (0x11, Self::WsBinary { more: false }),
        (0x91, Self::WsBinary { more: true }),
        (0x12, Self::WsClose),
        (0x13, Self::Ping),
        (0x14, Self::Pong),
        (0x15, Self::WsOpen),
    ];

    /// Its byte on the wire.
    pub fn byte(self) -> u8 {
        Self::KNOWN.iter().find(|(_, kind)| *kind == self).map_or(0, |(byte, _)| *byte)
    }

    /// The kind with this byte.
    pub fn from_byte(byte: u8) -> Result<Self, RecordError> {
        Self::KNOWN
            .iter()
            .find(|(known, _)| *known == byte)
            .map(|(_, kind)| *kind)
            .ok_or(RecordError::Type(byte))
    }
}

/// A record that authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is.
    pub kind: Kind,
    /// What it holds, without padding.
    pub content: Vec<u8>,
    /// Nothing follows.
    pub last: bool,
}

/// The longest chunk of a stream, in bytes: a length, content, a type, a tag.
pub const MAX_STREAM_CHUNK: usize = 4 + 65_536 + 1 + TAG;
