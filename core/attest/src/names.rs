//! Object identifiers and distinguished names, as certificates hold them and as refusals show them.

use crate::excerpt;
use alloc::format;
use alloc::string::{String, ToString as _};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode as _, Reader as _, SliceReader, Tag};

/// An object identifier in its shortest form; the `der` crate reads numbers with leading zeros, too,
/// and drops what exceeds 32 bits.
pub(crate) fn object_identifier(r: &mut SliceReader<'_>) -> der::Result<ObjectIdentifier> {
    let id = ObjectIdentifier::decode(r)?;
    let numbers = id.as_bytes()[1..].split_inclusive(|byte| byte & 0x80 == 0);
    let is_shortest =
        |number: &[u8]| number[0] != 0x80 && (number.len() < 5 || number.len() == 5 && number[0] <= 0x8f);
    if numbers.into_iter().all(is_shortest) {
        Ok(id)
    } else {
        Err(r.error(Tag::ObjectIdentifier.value_error()))
    }
}

/// Reads a distinguished name and returns the value of its last common name.
///
/// `Name ::= SEQUENCE OF SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY }` (RFC 5280 section 4.1.2.4).
pub(crate) fn common_name(name: &[u8]) -> der::Result<Option<&[u8]>> {
    let mut found = None;
    let mut reader = SliceReader::new(name)?;
    reader.sequence(|names| {
        while !names.is_finished() {
            let set = AnyRef::decode(names)?;
            der::Tagged::tag(&set).assert_eq(Tag::Set)?;
            let mut attributes = SliceReader::new(set.value())?;
            while !attributes.is_finished() {
                let (id, value) = attributes
                    .sequence(|r| Ok::<_, der::Error>((object_identifier(r)?, AnyRef::decode(r)?)))?;
                if id == COMMON_NAME {
                    found = Some(value.value());
                }
            }
        }
        Ok::<_, der::Error>(())
    })?;
    reader.finish()?;
    Ok(found)
}

/// Two names that differ, for people: their common names, or hex where there is none or both have the same.
pub(crate) fn apart(one: &[u8], other: &[u8]) -> (String, String) {
    let shown = |name| match common_name(name) {
        Ok(Some(common @ [_, ..])) => excerpt::text(common),
        _ => excerpt::hex(name),
    };
    let (first, second) = (shown(one), shown(other));
    if first == second { (excerpt::hex(one), excerpt::hex(other)) } else { (first, second) }
}

/// An `AlgorithmIdentifier` for people: its object identifier and that of its parameters, or hex of what has
/// another shape. Nothing has checked yet that it is one.
pub(crate) fn algorithm(der: &[u8]) -> String {
    let read = || {
        let mut reader = SliceReader::new(der)?;
        let (id, parameters) = reader.sequence(|r| {
            let id = object_identifier(r)?;
            Ok::<_, der::Error>((id, if r.is_finished() { None } else { Some(r.tlv_bytes()?) }))
        })?;
        reader.finish()?;
        Ok::<_, der::Error>(match parameters {
            None => id.to_string(),
            Some(parameters) => format!("{id} with {}", identifier_or_hex(parameters)),
        })
    };
    read().unwrap_or_else(|_| excerpt::hex(der))
}

fn identifier_or_hex(der: &[u8]) -> String {
    let read = || {
        let mut reader = SliceReader::new(der)?;
        let id = object_identifier(&mut reader)?;
        reader.finish()?;
        Ok::<_, der::Error>(id.to_string())
    };
    read().unwrap_or_else(|_| excerpt::hex(der))
}

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

#[cfg(test)]
mod tests {
    use super::*;

    /// `SEQUENCE { SET { SEQUENCE { type, UTF8String } } }`.
    fn name(attribute: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).unwrap();
        let head =
            [0x30, length + 11, 0x31, length + 9, 0x30, length + 7, 6, 3, 0x55, 4, attribute, 12, length];
        [&head, value].concat()
    }

    #[test]
    fn names_are_told_apart() {
        let (common, unit) = (3, 11);
        let shown = |one: &[u8], other: &[u8]| apart(one, other);
        assert_eq!(shown(&name(common, b"a"), &name(common, b"b")), ("`a`".into(), "`b`".into()));
        let (nameless, empty) = (name(unit, b"a"), name(common, b""));
        assert_eq!(shown(&nameless, &empty), (excerpt::hex(&nameless), excerpt::hex(&empty)));
        let mut printable = name(common, b"a");
        printable[11] = 0x13;
        assert_eq!(shown(&name(common, b"a"), &printable).1, excerpt::hex(&printable));
    }

    #[test]
    fn algorithms_are_shown_as_far_as_they_are_algorithms() {
        assert_eq!(algorithm(&[0x30, 4, 6, 2, 0x2a, 3]), "1.2.3");
        assert_eq!(algorithm(&[0x30, 6, 6, 2, 0x2a, 3, 5, 0]), "1.2.3 with 0500");
        assert_eq!(algorithm(&[0x30, 8, 6, 2, 0x2a, 3, 6, 2, 0x2a, 4]), "1.2.3 with 1.2.4");
        for other in
            [&[0x30, 0][..], &[5, 0], &[0x30, 5, 6, 3, 0x2a, 0x80, 3], &[0x30, 8, 6, 2, 0x2a, 3, 5, 0, 5, 0]]
        {
            assert_eq!(algorithm(other), excerpt::hex(other));
        }
    }
}
