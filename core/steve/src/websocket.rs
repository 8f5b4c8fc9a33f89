//! WebSocket frames (RFC 6455), without extensions: what carries records past a host, and what an app speaks.
//!
//! ```text
//! frame = fin(1 bit) 000 opcode(4) || masked(1 bit) length(7, 7+16 or 7+64) || mask(4)? || content
//! ```
//!
//! Messages come out in pieces as their bytes come, so that none has to be held whole. Text is not looked
//! into: whoever reads a whole message knows whether it is UTF-8.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use data_encoding::BASE64;

/// Who sent the bytes that are read: clients mask what they send, servers do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client.
    Client,
    /// A server.
    Server,
}

/// A piece of what a peer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of a message, as many as came.
    Data {
        /// Of text, else of bytes.
        text: bool,
        /// The bytes; none only at an end.
        content: Vec<u8>,
        /// The message ends with them.
        end: bool,
    },
    /// A ping, of 125 bytes at most.
    Ping(Vec<u8>),
    /// A pong, of 125 bytes at most.
    Pong(Vec<u8>),
    /// The end of what the peer says: nothing, or a code and a reason ([`is_close`]).
    Close(Vec<u8>),
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    More,
    /// A text message, or its beginning.
    Text,
    /// A binary message, or its beginning.
    Binary,
    /// The end.
    Close,
    /// Ping.
    Ping,
    /// Pong.
    Pong,
}

impl Opcode {
    const ALL: [(u8, Self); 6] = [
        (0, Self::More),
        (1, Self::Text),
        (2, Self::Binary),
        (8, Self::Close),
        (9, Self::Ping),
        (10, Self::Pong),
    ];

    fn byte(self) -> u8 {
        Self::ALL.iter().find(|(_, opcode)| *opcode == self).map_or(0, |(byte, _)| *byte)
    }

    fn from_byte(byte: u8) -> Result<Self, FrameError> {
        let known = Self::ALL.iter().find(|(known, _)| *known == byte);
        known.map(|(_, opcode)| *opcode).ok_or(FrameError::Opcode(byte))
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A bit that only extensions set.
    #[error("a frame has a bit of an extension that nobody agreed to")]
    Reserved,
    /// No such opcode.
    #[error("a frame has opcode {0}, which nobody defined")]
    Opcode(u8),
    /// A mask where none may be, or none where one must be.
    #[error("a frame is masked where it may not be, or is not where it must be")]
    Mask,
    /// A length in more bytes than it needs, or of more than 2⁶³.
    #[error("the length of a frame is not in its shortest form")]
    Length,
    /// A control frame in parts, or of more than 125 bytes.
    #[error("a ping, pong or close is longer than 125 bytes, or in parts")]
    Control,
    /// A part without a beginning, or a beginning within a message.
    #[error("the parts of messages are out of order")]
    Order,
    /// A close whose code or reason cannot be said.
    #[error("a close has a code or reason that may not be sent")]
    Close,
}

/// Reads one direction of a WebSocket: bytes in, pieces out.
#[derive(Debug)]
pub struct FrameReader {
    sender: Sender,
    /// Bytes that came; `done` of them are used.
    waiting: Vec<u8>,
    done: usize,
    frame: Option<Frame>,
    /// Of the message that has begun: whether it is text.
    message: Option<bool>,
    closed: bool,
}

/// The rest of a frame of a message.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: u64,
    fin: bool,
    /// Turned so far that its first byte is the next one's.
    mask: [u8; 4],
}

/// What stands in front of a frame's content.
struct Head {
    opcode: Opcode,
    fin: bool,
    length: u64,
    mask: [u8; 4],
    /// Its own bytes.
    used: usize,
}

impl FrameReader {
    /// Reads what `sender` sends.
    pub fn new(sender: Sender) -> Self {
        Self { sender, waiting: Vec::new(), done: 0, frame: None, message: None, closed: false }
    }

    /// Takes bytes. Call [`FrameReader::next_piece`] until there is none before the next: so no more than these
    /// and a control frame ever wait here.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.waiting.drain(..self.done);
        self.done = 0;
        self.waiting.extend_from_slice(bytes);
    }

    /// The next piece that is there. After a close there is none: what follows it says nothing.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, FrameError> {
        while !self.closed {
            if let Some(frame) = self.frame {
                return Ok(self.content(frame));
            }
            let Some(head) = head(&self.waiting[self.done..], self.sender)? else { return Ok(None) };
            if head.opcode.is_control() {
                return self.control(&head);
            }
            let begins = head.opcode != Opcode::More;
            if begins == self.message.is_some() {
                return Err(FrameError::Order);
            }
            self.message = self.message.or(Some(head.opcode == Opcode::Text));
            self.done += head.used;
            self.frame = Some(Frame { left: head.length, fin: head.fin, mask: head.mask });
            if head.length == 0 && !head.fin {
                self.frame = None;
            }
        }
        Ok(None)
    }

    fn content(&mut self, mut frame: Frame) -> Option<Piece> {
        let there = &self.waiting[self.done..];
        let length = usize::try_from(frame.left).unwrap_or(usize::MAX).min(there.len());
        if length == 0 && frame.left > 0 {
            return None;
        }
        let mut content = there[..length].to_vec();
        unmask(&mut content, frame.mask);
        self.done += length;
        frame.left -= length as u64;
        frame.mask.rotate_left(length % 4);
        let text = self.message == Some(true);
        let end = frame.left == 0 && frame.fin;
        self.frame = (frame.left > 0).then_some(frame);
        if end {
            self.message = None;
        }
        Some(Piece::Data { text, content, end })
    }

    fn control(&mut self, head: &Head) -> Result<Option<Piece>, FrameError> {
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        if !head.fin || length > MAX_CONTROL {
            return Err(FrameError::Control);
        }
        let Some(content) = self.waiting[self.done + head.used..].get(..length) else { return Ok(None) };
        let mut content = content.to_vec();
        unmask(&mut content, head.mask);
        self.done += head.used + length;
        Ok(Some(match head.opcode {
            Opcode::Ping => Piece::Ping(content),
            Opcode::Pong => Piece::Pong(content),
            _ if is_close(&content) => {
                self.closed = true;
                Piece::Close(content)
            }
            _ => return Err(FrameError::Close),
        }))
    }
}

/// The head at the start of `bytes`, where it is there as a whole.
fn head(bytes: &[u8], sender: Sender) -> Result<Option<Head>, FrameError> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(FrameError::Reserved);
    }
    let opcode = Opcode::from_byte(first & 0x0f)?;
    let masked = second & 0x80 != 0;
    if masked != (sender == Sender::Client) {
        return Err(FrameError::Mask);
    }
    let (length, size) = match second & 0x7f {
        126 => (rest.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))), 2),
        127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8),
        short => (Some(u64::from(short)), 0),
    };
    let Some(length) = length else { return Ok(None) };
    let shortest = match length {
        0..126 => 0,
        126..0x1_0000 => 2,
        _ => 8,
    };
    if size != shortest || length >> 63 != 0 {
        return Err(FrameError::Length);
    }
    let mask = if masked { rest[size..].first_chunk().copied() } else { Some([0; 4]) };
    let used = 2 + size + if masked { 4 } else { 0 };
    Ok(mask.map(|mask| Head { opcode, fin: first & 0x80 != 0, length, mask, used }))
}

/// Appends a frame to `out`; `fin` where nothing of its message follows. Clients give a mask that nobody foresees.
pub fn write_frame(opcode: Opcode, fin: bool, content: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let masked: u8 = if mask.is_some() { 0x80 } else { 0 };
    out.reserve(content.len() + 14);
    out.push(opcode.byte() + if fin { 0x80 } else { 0 });
    match (u8::try_from(content.len()), u16::try_from(content.len())) {
        (Ok(length @ 0..126), _) => out.push(masked + length),
        (_, Ok(length)) => {
            out.push(masked + 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(masked + 127);
            out.extend_from_slice(&(content.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask.unwrap_or_default()[..if mask.is_some() { 4 } else { 0 }]);
    let start = out.len();
    out.extend_from_slice(content);
    unmask(&mut out[start..], mask.unwrap_or_default());
}

fn unmask(content: &mut [u8], mask: [u8; 4]) {
    if mask != [0; 4] {
        content.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// Whether this may be a close's content: nothing, or a code that may be sent (RFC 6455, section 7.4) and a
/// reason of at most 123 bytes of UTF-8.
pub fn is_close(content: &[u8]) -> bool {
    let Some((code, reason)) = content.split_first_chunk() else { return content.is_empty() };
    let code = u16::from_be_bytes(*code);
    content.len() <= MAX_CONTROL
        && matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
        && std::str::from_utf8(reason).is_ok()
}

/// What a client asks with: `Sec-WebSocket-Key` of 16 random bytes.
pub fn key_of(random: &[u8; 16]) -> String {
    BASE64.encode(random)
}

/// What a server answers that question with: `Sec-WebSocket-Accept`. None where it is no key.
pub fn accept_of(key: &[u8]) -> Option<String> {
    BASE64.decode(key).ok().filter(|key| key.len() == 16)?;
    let asked = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    Some(BASE64.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &asked).as_ref()))
}

/// The longest content of a ping, pong or close.
pub const MAX_CONTROL: usize = 125;

#[cfg(test)]
mod tests;
