//! A CBOR reader for one shape of document: heads only, shortest form only, no recursion.
//!
//! RFC 8949 allows several encodings of one value. Two readers that pick different ones can be made
//! to disagree, so this one reads the shortest (which every Nitro document uses) and nothing else.
//! Maps may have an indefinite length, as Nitro writes them since 2025; strings and arrays may not.

use crate::Malformed;

/// Reads items from the front of a byte string.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` starts in the document, for messages.
    base: usize,
}

/// How many entries of a map are still to come.
pub(crate) enum Entries {
    Definite(u64),
    UntilBreak,
}

struct Head {
    at: usize,
    major: u8,
    /// `None` for an indefinite length.
    argument: Option<u64>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Offset of the next byte in the document.
    pub(crate) fn offset(&self) -> usize {
        self.base + self.at
    }

    /// The next byte, left in place.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// All that is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn tag(&mut self) -> Result<u64, Malformed> {
        self.expect(TAG, "a tag")
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Malformed> {
        self.expect(UNSIGNED, "an unsigned integer")
    }

    pub(crate) fn array(&mut self) -> Result<u64, Malformed> {
        self.expect(ARRAY, "an array")
    }

    /// A byte string of at most `limit` bytes.
    pub(crate) fn bytes(&mut self, field: &'static str, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = self.expect(BYTES, "a byte string")?;
        self.take(field, length, limit)
    }

    /// A byte string of at most `limit` bytes, or null.
    pub(crate) fn optional_bytes(
        &mut self,
        field: &'static str,
        limit: usize,
    ) -> Result<Option<&'a [u8]>, Malformed> {
        if self.peek() == Some(NULL) {
            self.at += 1;
            return Ok(None);
        }
        self.bytes(field, limit).map(Some)
    }

    /// A text string of at most `limit` bytes.
    pub(crate) fn text(&mut self, field: &'static str, limit: usize) -> Result<&'a str, Malformed> {
        let at = self.offset();
        let length = self.expect(TEXT, "a text string")?;
        let bytes = self.take(field, length, limit)?;
        core::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8 { at, field })
    }

    /// The head of a map of at most `limit` entries; an indefinite one is counted by its reader.
    pub(crate) fn map(&mut self, field: &'static str, limit: u64) -> Result<Entries, Malformed> {
        let head = self.head()?;
        match (head.major, head.argument) {
            (MAP, Some(found)) if found > limit => Err(Malformed::TooManyEntries { field, limit }),
            (MAP, Some(count)) => Ok(Entries::Definite(count)),
            (MAP, None) => Ok(Entries::UntilBreak),
            (major, _) => {
                Err(Malformed::UnexpectedType { at: head.at, expected: "a map", found: name_of(major) })
            }
        }
    }

    /// Whether another entry follows; consumes the break of an indefinite map.
    pub(crate) fn another(&mut self, entries: &mut Entries) -> Result<bool, Malformed> {
        match entries {
            Entries::Definite(0) => Ok(false),
            Entries::Definite(left) => {
                *left -= 1;
                Ok(true)
            }
            Entries::UntilBreak => match self.peek() {
                None => Err(Malformed::Truncated { at: self.offset() }),
                Some(BREAK) => {
                    self.at += 1;
                    Ok(false)
                }
                Some(_) => Ok(true),
            },
        }
    }

    /// Insists that nothing is left.
    pub(crate) fn finish(&self, after: &'static str) -> Result<(), Malformed> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            count => Err(Malformed::TrailingBytes { at: self.offset(), count, after }),
        }
    }

    fn expect(&mut self, major: u8, expected: &'static str) -> Result<u64, Malformed> {
        let head = self.head()?;
        if head.major != major {
            return Err(Malformed::UnexpectedType { at: head.at, expected, found: name_of(head.major) });
        }
        head.argument.ok_or(Malformed::IndefiniteLength { at: head.at })
    }

    fn take(&mut self, field: &'static str, length: u64, limit: usize) -> Result<&'a [u8], Malformed> {
        let length = match usize::try_from(length) {
            Ok(length) if length <= limit => length,
            _ => return Err(Malformed::FieldTooLong { field, found: length, limit }),
        };
        let taken =
            self.rest().get(..length).ok_or(Malformed::Truncated { at: self.base + self.bytes.len() })?;
        self.at += length;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let at = self.offset();
        let initial = self.byte()?;
        let major = initial >> 5;
        let argument = match initial & 0x1f {
            small @ 0..=23 => Some(u64::from(small)),
            // Simple values and floats: no field has one, and their argument is no length.
            _ if major == SIMPLE => return Ok(Head { at, major, argument: None }),
            width @ 24..=27 => Some(self.argument(at, 1 << (width - 24))?),
            31 if matches!(major, BYTES | TEXT | ARRAY | MAP) => None,
            _ => return Err(Malformed::ReservedHead { at, found: initial }),
        };
        Ok(Head { at, major, argument })
    }

    /// A big-endian argument of `width` bytes that would not fit a shorter form.
    fn argument(&mut self, at: usize, width: usize) -> Result<u64, Malformed> {
        let mut value = 0;
        for _ in 0..width {
            value = value << 8 | u64::from(self.byte()?);
        }
        let smallest = match width {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if value < smallest { Err(Malformed::NotShortest { at }) } else { Ok(value) }
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or(Malformed::Truncated { at: self.offset() })?;
        self.at += 1;
        Ok(byte)
    }
}

fn name_of(major: u8) -> &'static str {
    match major {
        UNSIGNED => "an unsigned integer",
        NEGATIVE => "a negative integer",
        BYTES => "a byte string",
        TEXT => "a text string",
        ARRAY => "an array",
        MAP => "a map",
        TAG => "a tag",
        _ => "a simple value",
    }
}

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

const NULL: u8 = 0xf6;
const BREAK: u8 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        for (bytes, value) in [
            (&[0x17][..], 23),
            (&[0x18, 24], 24),
            (&[0x19, 1, 0], 256),
            (&[0x1a, 0, 1, 0, 0], 65_536),
            (&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0], 1 << 32),
        ] {
            assert_eq!(Reader::new(bytes, 0).uint(), Ok(value));
            for cut in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..cut], 5).uint(), Err(Malformed::Truncated { at: 5 + cut }));
            }
        }
        for bytes in [
            &[0x18, 23][..],
            &[0x19, 0, 255],
            &[0x1a, 0, 0, 255, 255],
            &[0x1b, 0, 0, 0, 0, 255, 255, 255, 255],
        ] {
            assert_eq!(Reader::new(bytes, 9).uint(), Err(Malformed::NotShortest { at: 9 }));
        }
    }

    #[test]
    fn reserved_and_indefinite_heads_are_refused() {
        for initial in [0x1c, 0x1d, 0x1e, 0x1f, 0x3f, 0x5c, 0xdf] {
            assert_eq!(
                Reader::new(&[initial], 0).uint(),
                Err(Malformed::ReservedHead { at: 0, found: initial })
            );
        }
        assert_eq!(Reader::new(&[0x5f], 0).bytes("x", 9), Err(Malformed::IndefiniteLength { at: 0 }));
        assert_eq!(Reader::new(&[0x9f], 0).array(), Err(Malformed::IndefiniteLength { at: 0 }));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_taken() {
        let huge = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(
            Reader::new(&huge, 0).bytes("nonce", 1024),
            Err(Malformed::FieldTooLong { field: "nonce", found: u64::MAX, limit: 1024 })
        );
        assert_eq!(Reader::new(&[0x42, 1], 0).bytes("nonce", 1024), Err(Malformed::Truncated { at: 2 }));
    }
}
