//! CBOR as version 2 has it: definite lengths, the shortest heads, no tags, no key twice; anything in any order.

use std::collections::HashSet;
use std::ops::Range;

/// How many arrays and maps may be in one another.
pub const MAX_DEPTH: usize = 32;
/// How many items one message may have.
pub const MAX_ITEMS: usize = 65_536;

/// Why bytes are no CBOR of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CborError {
    /// They end inside an item.
    #[error("the CBOR ends early")]
    Truncated,
    /// More follows the one item.
    #[error("the CBOR goes on after its end")]
    Trailing,
    /// A head longer than its value needs, or without a length.
    #[error("a CBOR head is not in its preferred form")]
    NotPreferred,
    /// A tag.
    #[error("the CBOR has a tag")]
    Tag,
    /// A floating-point number, or a simple value but false, true and null.
    #[error("the CBOR has a value of a type that no message has")]
    Type,
    /// Text that is no UTF-8.
    #[error("a CBOR text is not UTF-8")]
    Utf8,
    /// A key that its map has already.
    #[error("a CBOR map has a key twice")]
    DuplicateKey,
    /// More in one another than [`MAX_DEPTH`].
    #[error("the CBOR is more than {MAX_DEPTH} deep")]
    Depth,
    /// More items than [`MAX_ITEMS`].
    #[error("the CBOR has more than {MAX_ITEMS} items")]
    Items,
}

/// An item. Byte strings are where they stand, so that they need not be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Uint(u64),
    /// `-1 - n`.
    Negative,
    Bytes(Range<usize>),
    Text(&'a str),
    Array(Vec<Self>),
    Map(Vec<(Self, Self)>),
    Bool(bool),
    Null,
}

/// The one item that these bytes are.
pub(super) fn read(bytes: &[u8]) -> Result<Value<'_>, CborError> {
    let mut reader = Reader { bytes, at: 0, items: 0 };
    let value = reader.value(0)?;
    if reader.at == bytes.len() { Ok(value) } else { Err(CborError::Trailing) }
}

/// The entries of the one map that these bytes begin: those that are there as a whole.
pub(super) fn first_entries(bytes: &[u8]) -> Result<Vec<(Value<'_>, Value<'_>)>, CborError> {
    let mut reader = Reader { bytes, at: 0, items: 0 };
    let mut entries = Vec::new();
    let whole = match reader.head() {
        Ok((MAP, count)) => (0..count).try_for_each(|_| {
            entries.push((reader.value(1)?, reader.value(1)?));
            Ok(())
        }),
        Ok(_) => Err(CborError::Type),
        Err(error) => Err(error),
    };
    match whole {
        Ok(()) | Err(CborError::Truncated) => Ok(entries),
        Err(error) => Err(error),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, CborError> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(CborError::Items);
        }
        let (major, argument) = self.head()?;
        if matches!(major, ARRAY | MAP) && depth == MAX_DEPTH {
            return Err(CborError::Depth);
        }
        Ok(match major {
            UNSIGNED => Value::Uint(argument),
            NEGATIVE => Value::Negative,
            BYTES => Value::Bytes(self.take(argument)?),
            TEXT => {
                let at = self.take(argument)?;
                Value::Text(std::str::from_utf8(&self.bytes[at]).map_err(|_| CborError::Utf8)?)
            }
            ARRAY => {
                let mut array = Vec::with_capacity(self.expected(argument)?);
                for _ in 0..argument {
                    array.push(self.value(depth + 1)?);
                }
                Value::Array(array)
            }
            MAP => Value::Map(self.map(argument, depth)?),
            TAG => return Err(CborError::Tag),
            _ => match argument {
                20 => Value::Bool(false),
                21 => Value::Bool(true),
                22 => Value::Null,
                _ => return Err(CborError::Type),
            },
        })
    }

    fn map(&mut self, entries: u64, depth: usize) -> Result<Vec<(Value<'a>, Value<'a>)>, CborError> {
        let mut map = Vec::with_capacity(self.expected(entries)?);
        // A value has one form, so two keys are the same where their bytes are.
        let mut keys: HashSet<&[u8]> = HashSet::new();
        for _ in 0..entries {
            let from = self.at;
            let key = self.value(depth + 1)?;
            if !keys.insert(&self.bytes[from..self.at]) {
                return Err(CborError::DuplicateKey);
            }
            map.push((key, self.value(depth + 1)?));
        }
        Ok(map)
    }

    /// Room for so many: each takes a byte at least, and they are counted.
    fn expected(&self, count: u64) -> Result<usize, CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::Items)?;
        if count > MAX_ITEMS - self.items.min(MAX_ITEMS) {
            return Err(CborError::Items);
        }
        Ok(count.min(self.bytes.len() - self.at))
    }

    /// Major type and argument; of simple values the value.
    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let at = self.take(1)?.start;
        let (major, info) = (self.bytes[at] >> 5, self.bytes[at] & 0x1f);
        let extra = match info {
            0..=23 => return Ok((major, info.into())),
            24..=27 => 1_u64 << (info - 24),
            31 => return Err(CborError::NotPreferred),
            _ => return Err(CborError::Type),
        };
        if major == SIMPLE {
            return Err(CborError::Type);
        }
        let at = self.take(extra)?;
        let argument = self.bytes[at].iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let least = match extra {
            1 => 24,
            2 => 1 << 8,
            4 => 1 << 16,
            _ => 1 << 32,
        };
        if argument < least { Err(CborError::NotPreferred) } else { Ok((major, argument)) }
    }

    fn take(&mut self, length: u64) -> Result<Range<usize>, CborError> {
        let left = self.bytes.len() - self.at;
        let length = usize::try_from(length).ok().filter(|length| *length <= left);
        let from = self.at;
        self.at += length.ok_or(CborError::Truncated)?;
        Ok(from..self.at)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_one_form_of_its_value_is_refused_by_name() {
        let refused: [(&[u8], CborError); 17] = [
            (b"", CborError::Truncated),
            (b"\x42\x00", CborError::Truncated),
            (b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff", CborError::Truncated),
            (b"\x00\x00", CborError::Trailing),
            (b"\x18\x17", CborError::NotPreferred),
            (b"\x19\x00\xff", CborError::NotPreferred),
            (b"\x1a\x00\x00\xff\xff", CborError::NotPreferred),
            (b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff", CborError::NotPreferred),
            (b"\x5f\xff", CborError::NotPreferred),
            (b"\xbf\xff", CborError::NotPreferred),
            (b"\xc0\x00", CborError::Tag),
            (b"\xf9\x00\x00", CborError::Type),
            (b"\xf7", CborError::Type),
            (b"\x1c", CborError::Type),
            (b"\x61\xff", CborError::Utf8),
            (b"\xa2\x61a\x00\x61a\x01", CborError::DuplicateKey),
            (b"\x9b\x00\x00\x00\x01\x00\x00\x00\x00", CborError::Items),
        ];
        for (bytes, error) in refused {
            assert_eq!(read(bytes).err(), Some(error), "{bytes:02x?}");
        }
        let value = read(b"\xa2\x61a\x82\x20\xf6\x41b\xf5").unwrap();
        let (a, b) = (Value::Array(vec![Value::Negative, Value::Null]), Value::Bool(true));
        assert_eq!(value, Value::Map(vec![(Value::Text("a"), a), (Value::Bytes(7..8), b)]));
    }

    #[test]
    fn depth_and_items_are_bounded() {
        let deep = |depth: usize| [vec![0x81; depth], vec![0]].concat();
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(read(&deep(MAX_DEPTH + 1)).err(), Some(CborError::Depth));
        let many = |count: u16| [&[0x99][..], &count.to_be_bytes(), &vec![0; count.into()]].concat();
        assert!(read(&many(65_535)).is_ok());
        assert_eq!(read(&[&[0x9a, 0, 1, 0, 0][..], &vec![0; 65_536]].concat()).err(), Some(CborError::Items));
        let nested = [&[0x82][..], &many(40_000), &many(40_000)].concat();
        assert_eq!(read(&nested).err(), Some(CborError::Items));
    }
}
