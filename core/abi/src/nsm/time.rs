//! The time that a security module puts into its documents.

use super::MessageError;
use minicbor::Decoder;
use minicbor::data::Type;

/// When a document was made, in milliseconds since the Unix epoch, by the clock of its security module.
///
/// Nothing else of it is looked at and nothing is verified: this is for who has just asked the module
/// itself. Shape: COSE_Sign1 (RFC 9052 §4.2), tagged or not, around a map with the key `timestamp`.
pub fn document_time_ms(document: &[u8]) -> Result<u64, MessageError> {
    let mut cose = Decoder::new(document);
    payload(&mut cose).and_then(|payload| field(payload, "timestamp")?.u64()).map_err(|_| MessageError)
}

pub(super) fn payload<'b>(cose: &mut Decoder<'b>) -> Result<&'b [u8], minicbor::decode::Error> {
    if cose.datatype()? == Type::Tag {
        cose.tag()?;
    }
    if cose.array()? != Some(4) {
        return Err(minicbor::decode::Error::message("not the four parts of a COSE_Sign1"));
    }
    cose.bytes()?;
    cose.skip()?;
    cose.bytes()
}

/// A decoder that stands before the value of a key.
pub(super) fn field<'b>(payload: &'b [u8], key: &str) -> Result<Decoder<'b>, minicbor::decode::Error> {
    let mut map = Decoder::new(payload);
    // One of indefinite length, as modules write it since 2025, ends with what is no text.
    for _ in 0..map.map()?.unwrap_or(u64::MAX) {
        if map.str()? == key {
            return Ok(map);
        }
        map.skip()?;
    }
    Err(minicbor::decode::Error::message("no such key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document with this payload, whose signature is three bytes.
    fn document(tag: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = if tag { vec![0xd2] } else { Vec::new() };
        bytes.extend(b"\x84\x44\xa1\x01\x38\x22\xa0");
        minicbor::Encoder::new(&mut bytes).bytes(payload).unwrap();
        bytes.extend(b"\x43sig");
        bytes
    }

    #[test]
    fn the_time_is_found_wherever_it_stands() {
        // {"pcrs": {0: h'00'}, "timestamp": 1700000000042, "nonce": null}
        let payload =
            b"\xa3\x64pcrs\xa1\x00\x41\x00\x69timestamp\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x2a\x65nonce\xf6";
        for tag in [false, true] {
            assert_eq!(document_time_ms(&document(tag, payload)), Ok(1_700_000_000_042));
        }
        let indefinite = [b"\xbf", &payload[1..], b"\xff"].concat();
        assert_eq!(document_time_ms(&document(false, &indefinite)), Ok(1_700_000_000_042));
        let whole = document(false, payload);
        for end in 0..whole.len() - 4 {
            assert_eq!(document_time_ms(&whole[..end]), Err(MessageError), "{end}");
        }
    }

    #[test]
    fn documents_without_a_time_have_none() {
        for payload in [
            &b"\xa0"[..],
            b"\xbf\xff",
            b"\xbf\x61a\x00",
            b"\xa1\x69timestamp\x20",
            b"\xa1\x69timestamp\xf6",
            b"\x80",
            b"",
        ] {
            assert_eq!(document_time_ms(&document(false, payload)), Err(MessageError), "{payload:?}");
        }
        assert_eq!(document_time_ms(b"\x83\x40\xa0\x40"), Err(MessageError));
    }
}
