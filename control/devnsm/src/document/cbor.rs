//! CBOR items as data, written in their shortest form.

/// A CBOR item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An unsigned integer.
    Uint(u64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array of definite length.
    Array(Vec<Value>),
    /// A map of definite length, entries in this order, whatever their keys.
    Map(Vec<(Value, Value)>),
    /// A map of indefinite length, as current modules write their payload.
    IndefiniteMap(Vec<(Value, Value)>),
    /// Null.
    Null,
    /// Bytes that stand for themselves.
    Raw(Vec<u8>),
}

impl Value {
    /// A text string.
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A byte string, or null.
    pub fn optional(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::Null, |bytes| Self::Bytes(bytes.to_vec()))
    }

    /// The item's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uint(number) => head(out, 0, *number),
            Self::Bytes(bytes) => {
                head(out, 2, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            Self::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                for item in items {
                    item.write(out);
                }
            }
            Self::Map(entries) => {
                head(out, 5, entries.len() as u64);
                write_entries(out, entries);
            }
            Self::IndefiniteMap(entries) => {
                out.push(0xbf);
                write_entries(out, entries);
                out.push(0xff);
            }
            Self::Null => out.push(0xf6),
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

fn write_entries(out: &mut Vec<u8>, entries: &[(Value, Value)]) {
    for (key, value) in entries {
        key.write(out);
        value.write(out);
    }
}

/// An item's head in its shortest form (RFC 8949 section 3).
pub(crate) fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 0x18, bytes[7]]),
        0x100..=0xffff => {
            out.push(major | 0x19);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 0x1b);
            out.extend_from_slice(&bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn items_are_written_as_rfc_8949_shows_them() {
        // Appendix A of RFC 8949.
        for (value, bytes) in [
            (Value::Uint(23), &b"\x17"[..]),
            (Value::Uint(100), b"\x18\x64"),
            (Value::Uint(1000), b"\x19\x03\xe8"),
            (Value::Uint(1_000_000), b"\x1a\x00\x0f\x42\x40"),
            (Value::Uint(1_000_000_000_000), b"\x1b\x00\x00\x00\xe8\xd4\xa5\x10\x00"),
            (Value::Bytes(vec![1, 2, 3, 4]), b"\x44\x01\x02\x03\x04"),
            (Value::text("IETF"), b"\x64IETF"),
            (Value::Array(vec![Value::Uint(1), Value::Null]), b"\x82\x01\xf6"),
            (Value::Map(vec![(Value::Uint(1), Value::Uint(2))]), b"\xa1\x01\x02"),
            (Value::IndefiniteMap(vec![(Value::text("a"), Value::Uint(1))]), b"\xbf\x61a\x01\xff"),
        ] {
            assert_eq!(value.to_bytes(), bytes);
        }
    }
}
