//! When the certificate in a security module's document ends.

use super::MessageError;
use super::time::{field, payload};
use minicbor::Decoder;

/// Until when the certificate that a document was signed with is valid, in milliseconds since the Unix epoch.
///
/// Nothing else of it is looked at and nothing is verified: this is for who has just asked the module
/// itself. Shape: X.509 (RFC 5280 §4.1), DER.
pub fn document_certificate_ends_ms(document: &[u8]) -> Result<u64, MessageError> {
    let mut cose = Decoder::new(document);
    let certificate = payload(&mut cose).and_then(|payload| field(payload, "certificate")?.bytes());
    not_after(certificate.map_err(|_| MessageError)?).ok_or(MessageError)
}

fn not_after(certificate: &[u8]) -> Option<u64> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    // Version, where it is said; serial number, algorithm, issuer.
    for expected in [VERSION, INTEGER, SEQUENCE, SEQUENCE] {
        let (tag, _, after) = element(rest)?;
        if tag == expected {
            rest = after;
        } else if expected != VERSION {
            return None;
        }
    }
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (_, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    let digits = time.strip_suffix(b"Z")?;
    let digits = match (tag, digits) {
        (GENERALIZED_TIME, digits) => digits.to_vec(),
        // Two digits of the year, until 2049 (RFC 5280 §4.1.2.5.1).
        (UTC_TIME, [b'0'..=b'4', ..]) => [b"20", digits].concat(),
        (UTC_TIME, digits) => [b"19", digits].concat(),
        _ => return None,
    };
    unix_seconds(&digits)?.checked_mul(1000)
}

/// Tag, content and what follows of the first element.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = der.split_first_chunk()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 | 0x82 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Of `YYYYMMDDHHMMSS`.
fn unix_seconds(digits: &[u8]) -> Option<u64> {
    let digits: &[u8; 14] = digits.try_into().ok()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number =
        |from: usize, to: usize| digits[from..to].iter().fold(0, |n, d| n * 10 + u64::from(d - b'0'));
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    // Days since 1 March of the year 0, as years that begin in March have the odd day at their end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - DAYS_TO_1970) * 86_400 + hour * 3600 + minute * 60 + second.min(59))
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
/// From 1 March of the year 0 to 1 January 1970.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[SEQUENCE, 0x82, high, low], &content[..]].concat()
    }

    fn document(version: bool, ends: &[u8]) -> Vec<u8> {
        let version = if version { &b"\xa0\x03\x02\x01\x02"[..] } else { b"" };
        let validity = sequence(&[b"\x17\x0d260101000000Z", ends]);
        let parts =
            [version, b"\x02\x01\x07", &sequence(&[b"\x06\x01\x01"]), &sequence(&[]), &validity, b"\x30\x00"];
        let certificate = sequence(&[&sequence(&parts), b"\x30\x00"]);
        let mut payload = b"\xa2\x63pcr\x00\x6bcertificate".to_vec();
        minicbor::Encoder::new(&mut payload).bytes(&certificate).unwrap();
        let mut bytes = b"\x84\x44\xa1\x01\x38\x22\xa0".to_vec();
        minicbor::Encoder::new(&mut bytes).bytes(&payload).unwrap();
        [&bytes[..], b"\x43sig"].concat()
    }

    #[test]
    fn the_end_of_a_certificate_is_found() {
        for (ends, seconds) in [
            (&b"\x17\x0d260301123456Z"[..], 1_772_368_496),
            (b"\x18\x0f20260301123456Z", 1_772_368_496),
            (b"\x17\x0d700101000000Z", 0),
            (b"\x18\x0f20000229235959Z", 951_868_799),
            (b"\x18\x0f99991231235959Z", 253_402_300_799),
        ] {
            for version in [false, true] {
                assert_eq!(document_certificate_ends_ms(&document(version, ends)), Ok(seconds * 1000));
            }
        }
    }

    #[test]
    fn what_is_no_certificate_with_an_end_is_refused() {
        let whole = document(true, b"\x17\x0d260301123456Z");
        for end in 0..whole.len() - 4 {
            assert_eq!(document_certificate_ends_ms(&whole[..end]), Err(MessageError), "{end}");
        }
        for ends in [
            &b"\x17\x0d261301123456Z"[..],
            b"\x17\x0d260301123456+",
            b"\x17\x0c26030112345Z",
            b"\x18\x0f19691231235959Z",
            b"\x04\x0d260301123456Z",
            b"",
        ] {
            assert_eq!(document_certificate_ends_ms(&document(true, ends)), Err(MessageError), "{ends:?}");
        }
    }
}
