//! What the readers of tar and cpio archives do alike: read the content of a member, and no more.

use std::io::{self, Read};

/// Reads content of the member at hand from `input`, never beyond its end. `left` is what was not read
/// yet of it, `position` counts the archive's bytes; an archive that ends early is an error.
pub(crate) fn read(
    input: &mut impl Read,
    left: &mut u64,
    position: &mut u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let wanted = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    if wanted == 0 {
        return Ok(0);
    }
    let n = input.read(&mut buffer[..wanted])?;
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *left -= n as u64;
    *position += n as u64;
    Ok(n)
}
