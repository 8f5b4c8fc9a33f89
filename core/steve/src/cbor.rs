//! Deterministic CBOR (RFC 8949, section 4.2.1) of the few shapes STEVE has.
//!
//! What is read is written again and compared: whatever is not the one form of its value is refused,
//! with duplicate keys, other orders, longer heads and trailing bytes.

use minicbor::{Decoder, Encoder};

/// The bytes are no deterministic CBOR of the expected shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotThisShape;

impl From<minicbor::decode::Error> for NotThisShape {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

impl From<std::array::TryFromSliceError> for NotThisShape {
    fn from(_: std::array::TryFromSliceError) -> Self {
        Self
    }
}

/// A message that has exactly one form.
pub(crate) trait Message: Sized {
    /// Writes that form.
    fn write(&self, to: &mut Writer<'_>);
    /// Reads a value of any form.
    fn read(from: &mut Decoder<'_>) -> Result<Self, NotThisShape>;

    /// The bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut Writer::new(&mut bytes));
        bytes
    }

    /// The message whose one form these bytes are.
    fn from_bytes(bytes: &[u8]) -> Result<Self, NotThisShape> {
        let message = Self::read(&mut Decoder::new(bytes))?;
        if message.to_bytes() == bytes { Ok(message) } else { Err(NotThisShape) }
    }
}

/// An encoder into memory, which cannot fail.
pub(crate) struct Writer<'a>(Encoder<&'a mut Vec<u8>>);

/// Memory takes everything.
const INFALLIBLE: &str = "writing to memory cannot fail";

impl<'a> Writer<'a> {
    /// Appends to `bytes`.
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self(Encoder::new(bytes))
    }

    pub(crate) fn map(&mut self, entries: u64) -> &mut Self {
        self.0.map(entries).expect(INFALLIBLE);
        self
    }

    pub(crate) fn array(&mut self, items: u64) -> &mut Self {
        self.0.array(items).expect(INFALLIBLE);
        self
    }

    pub(crate) fn uint(&mut self, value: u64) -> &mut Self {
        self.0.u64(value).expect(INFALLIBLE);
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.bytes(value).expect(INFALLIBLE);
        self
    }

    /// The head of a byte string whose bytes are appended later.
    pub(crate) fn bytes_of(&mut self, length: usize) -> &mut Self {
        self.0.bytes_len(length as u64).expect(INFALLIBLE);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.0.str(value).expect(INFALLIBLE);
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.0.null().expect(INFALLIBLE);
        self
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.0.bool(value).expect(INFALLIBLE);
        self
    }
}

/// The head of a map with exactly `entries` entries.
pub(crate) fn map(from: &mut Decoder<'_>, entries: u64) -> Result<(), NotThisShape> {
    if from.map()? == Some(entries) { Ok(()) } else { Err(NotThisShape) }
}

/// The next key of a map.
pub(crate) fn key(from: &mut Decoder<'_>, expected: u64) -> Result<(), NotThisShape> {
    if from.u64()? == expected { Ok(()) } else { Err(NotThisShape) }
}

/// A byte string of exactly `N` bytes.
pub(crate) fn bytes<const N: usize>(from: &mut Decoder<'_>) -> Result<[u8; N], NotThisShape> {
    Ok(from.bytes()?.try_into()?)
}
