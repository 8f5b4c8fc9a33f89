//! Lengths: QUIC's variable-length integers (RFC 9000, section 16), in their shortest form.

/// A length in more bytes than it needs, or in more than four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotShortest;

/// The longest that is read, in bytes.
const MAX_VARINT: usize = 4;

/// Appends a value below 2³⁰.
pub(crate) fn put(out: &mut Vec<u8>, value: usize) {
    let value = u32::try_from(value).expect("chunks are shorter than 2^30 bytes");
    match value {
        0..=0x3f => out.push(value.to_be_bytes()[3]),
        0x40..=0x3fff => out.extend_from_slice(&(value | 0x4000).to_be_bytes()[2..]),
        _ => out.extend_from_slice(&(value | 0x8000_0000).to_be_bytes()),
    }
}

/// A value and how many bytes it took; nothing where there are too few.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<(usize, usize)>, NotShortest> {
    let Some(first) = bytes.first() else { return Ok(None) };
    let length = 1 << (first >> 6);
    if length > MAX_VARINT {
        return Err(NotShortest);
    }
    let Some(bytes) = bytes.get(..length) else { return Ok(None) };
    let value =
        bytes[1..].iter().fold(usize::from(first & 0x3f), |value, byte| value << 8 | usize::from(*byte));
    let shortest = match value {
        0..=0x3f => 1,
        0x40..=0x3fff => 2,
        _ => 4,
    };
    if length == shortest { Ok(Some((value, length))) } else { Err(NotShortest) }
}
