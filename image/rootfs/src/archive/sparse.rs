//! Files with holes, in the two forms GNU tar writes: its own header and PAX version 1.0.

use super::header::{BLOCK, Block, number};
use super::pax::{PaxSparse, decimal};
use super::{Reader, TarError};
use crate::cpio::display;
use std::io::Read;

/// The parts of a file that are stored: (offset, length), ascending, without overlap.
pub type SparseMap = Vec<(u64, u64)>;

/// Reads the map of an old GNU header, whose continuation blocks come before the content.
pub(super) fn from_gnu<R: Read>(
    reader: &mut Reader<R>,
    block: &Block,
    path: &[u8],
) -> Result<(u64, SparseMap), TarError> {
    let bad = |reason| TarError::Sparse { path: display(path), reason };
    let (pairs, mut more, real_size) =
        block.gnu_sparse().ok_or_else(|| bad("the header is not GNU tar's"))?;
    let mut map = SparseMap::new();
    add_pairs(&mut map, pairs).ok_or_else(|| bad("a number is malformed"))?;
    while more {
        let mut bytes = [0; BLOCK];
        if reader.fill(&mut bytes)? < BLOCK {
            return Err(TarError::Truncated { position: reader.position });
        }
        // Continuation blocks do not count as content.
        add_pairs(&mut map, &bytes[..504]).ok_or_else(|| bad("a number is malformed"))?;
        more = bytes[504] != 0;
        if map.len() > MAX_PARTS {
            return Err(bad("it has more than 65536 parts"));
        }
    }
    checked(map, real_size, reader.content).map(|map| (real_size, map)).map_err(bad)
}

/// Reads the map of PAX version 1.0, which stands as decimal lines at the beginning of the content.
pub(super) fn from_pax<R: Read>(
    reader: &mut Reader<R>,
    pax: &PaxSparse,
    path: &[u8],
) -> Result<(u64, SparseMap), TarError> {
    let bad = |reason| TarError::Sparse { path: display(path), reason };
    let (Some(1), Some(0), Some(real_size), false) = (pax.major, pax.minor, pax.real_size, pax.is_old) else {
        return Err(bad("only GNU tar's form 1.0 is read"));
    };
    let mut lines = Lines { reader, block: [0; BLOCK], at: BLOCK };
    let count = lines.number().map_err(|error| error.or(&bad))?;
    if count > MAX_PARTS as u64 {
        return Err(bad("it has more than 65536 parts"));
    }
    let mut map = SparseMap::new();
    for _ in 0..count {
        let offset = lines.number().map_err(|error| error.or(&bad))?;
        let length = lines.number().map_err(|error| error.or(&bad))?;
        map.push((offset, length));
    }
    let stored = reader.content;
    checked(map, real_size, stored).map(|map| (real_size, map)).map_err(bad)
}

/// Decimal lines in blocks of content; the last block is used up whole.
struct Lines<'r, R> {
    reader: &'r mut Reader<R>,
    block: [u8; BLOCK],
    at: usize,
}

enum LineError {
    Malformed,
    Tar(TarError),
}

impl LineError {
    fn or(self, bad: &dyn Fn(&'static str) -> TarError) -> TarError {
        match self {
            Self::Malformed => bad("a line is no number"),
            Self::Tar(error) => error,
        }
    }
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64, LineError> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                if self.reader.content < BLOCK as u64 {
                    return Err(LineError::Malformed);
                }
                self.reader.exact_content(&mut self.block).map_err(LineError::Tar)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            if byte == b'\n' {
                return decimal(&digits).ok_or(LineError::Malformed);
            }
            digits.push(byte);
            if digits.len() > 20 {
                return Err(LineError::Malformed);
            }
        }
    }
}

fn add_pairs(map: &mut SparseMap, pairs: &[u8]) -> Option<()> {
    for pair in pairs.chunks_exact(24) {
        // Unused pairs are empty.
        if pair[0] == 0 {
            break;
        }
        map.push((number(&pair[..12])?, number(&pair[12..])?));
    }
    Some(())
}

/// Refuses a map that overlaps itself, passes the file's end or does not add up to what is stored.
fn checked(map: SparseMap, real_size: u64, stored: u64) -> Result<SparseMap, &'static str> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for (offset, length) in &map {
        if *offset < end {
            return Err("parts overlap or are not in order");
        }
        end = offset.checked_add(*length).ok_or("a part is too long")?;
        sum = sum.checked_add(*length).ok_or("a part is too long")?;
    }
    if end > real_size {
        return Err("a part passes the file's end");
    }
    if sum != stored {
        return Err("the parts do not add up to what is stored");
    }
    Ok(map)
}

const MAX_PARTS: usize = 65_536;
