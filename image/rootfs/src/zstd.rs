//! zstd streams.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// Unpacks a zstd stream: any number of frames. `zstd:chunked` layers also carry frames to be skipped.
pub struct ZstdReader<R> {
    input: R,
    decoder: FrameDecoder,
    inside: bool,
    goes_on: fn(u8) -> bool,
}

impl<R: BufRead> ZstdReader<R> {
    /// Reads `input`, a frame at its beginning. `goes_on` is told the first byte of what follows a frame and
    /// says whether it belongs to the stream; there it must be a frame.
    pub fn new(input: R, goes_on: fn(u8) -> bool) -> Self {
        Self { input, decoder: FrameDecoder::new(), inside: false, goes_on }
    }

    /// The input, behind what was read of it.
    pub fn into_inner(self) -> R {
        self.input
    }

    /// Moves to the next frame with content; `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if !self.input.fill_buf()?.first().is_some_and(|first| (self.goes_on)(*first)) {
                return Ok(false);
            }
            // The decoder limits a frame's window to 128 MiB.
            match self.decoder.reset(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.inside && !self.next_frame()? {
                break;
            }
            self.inside = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let n = self.decoder.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            self.inside = false;
        }
        Ok(0)
    }
}
