//! Records in, bytes out.

use super::{Block, Kind, aad};
use crate::hpke::TAG;
use crate::varint;

/// Seals one direction of an exchange.
pub struct Sealer {
    block: Block,
    max_chunk: usize,
    bucket: usize,
    ended: bool,
}

impl Sealer {
    pub(crate) fn new(block: Block, max_chunk: u32) -> Self {
        Self { block, max_chunk: max_chunk as usize, bucket: 1, ended: false }
    }

    /// The longest content of a record, in bytes.
    pub fn max_content(&self) -> usize {
        self.max_chunk
    }

    /// From the next record on content is padded to a multiple of `bucket` bytes with its type, as far as the
    /// longest chunk allows; 1, as at the start, does not pad.
    pub fn pad_to(&mut self, bucket: usize) {
        self.bucket = bucket.max(1);
    }

    /// Appends a record to `out`.
    ///
    /// # Panics
    ///
    /// Where the content is longer than [`Sealer::max_content`], or the last record was sealed: both
    /// are errors of the caller, and bytes that no peer takes.
    pub fn seal(&mut self, kind: Kind, content: &[u8], last: bool, out: &mut Vec<u8>) {
        assert!(!self.ended, "a record after the last");
        assert!(content.len() <= self.max_chunk, "content of {} bytes", content.len());
        self.ended = last;
        let inner = (content.len() + 1).next_multiple_of(self.bucket).min(self.max_chunk + 1);
        if last {
            out.push(0);
        } else {
            varint::put(out, inner + TAG);
        }
        let start = out.len();
        out.reserve(inner + TAG);
        out.extend_from_slice(content);
        out.push(kind.byte());
        out.resize(start + inner, 0);
        let tag = self
            .block
            .next(|key, nonce| key.seal_in_place_separate_tag(nonce, aad(last), &mut out[start..]))
            .expect("chunks are far below the limit of AES-GCM");
        out.extend_from_slice(tag.as_ref());
    }
}
