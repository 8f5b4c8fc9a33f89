//! A layer's tar archive: where it lies, or unpacked; bounded, and compared with its digests.

use super::error::OciError;
use super::source::{Blob, Source, VerifiedBlob};
use super::{Compression, Layer};
use crate::section::{Section, State};
use caution_measure::Sha256Digest;
use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use sha2::{Digest as _, Sha256};
use std::io::{self, BufRead as _, BufReader, Read};

/// The archive of a layer.
pub(crate) enum Archive {
    /// Lies there as it is; its digests were compared with what the file held in this state.
    Plain(Section, State),
    /// Is to be unpacked; its digests are compared at the end.
    Packed(LayerReader),
}

impl Archive {
    pub(super) fn open(source: &Source, layer: &Layer, budget: u64) -> Result<Self, OciError> {
        let blob = source.blob(&layer.name)?;
        if let Some((digest, announced)) = layer.blob
            && announced != blob.size()
        {
            return Err(OciError::BlobSize { digest, announced, found: blob.size() });
        }
        if layer.compression == Compression::None {
            plain(blob.section(), layer, budget)
        } else {
            LayerReader::open(blob, layer, budget).map(Self::Packed)
        }
    }
}

fn plain(archive: Section, layer: &Layer, budget: u64) -> Result<Archive, OciError> {
    if archive.length() > budget {
        return Err(OciError::UncompressedTooLarge { limit: budget });
    }
    let state = State::of(archive.file()).map_err(OciError::Read)?;
    let found = archive.digest().map_err(OciError::Read)?;
    match layer.blob {
        // The blob's own digest first: a damaged file is not a lying configuration.
        Some((expected, _)) if found != expected => Err(OciError::BlobDigest { expected, found }),
        _ if found != layer.diff_id => Err(OciError::DiffId { expected: layer.diff_id, found }),
        _ => Ok(Archive::Plain(archive, state)),
    }
}

/// Unpacks the archive of a layer.
pub(crate) struct LayerReader {
    stream: Stream,
    sha256: Sha256,
    diff_id: Sha256Digest,
    read: u64,
    budget: u64,
}

impl LayerReader {
    fn open(blob: Blob, layer: &Layer, budget: u64) -> Result<Self, OciError> {
        let input = match layer.blob {
            Some((digest, size)) => Input::Verified(blob.verified(digest, size)?),
            None => Input::Unnamed(blob),
        };
        let input = BufReader::with_capacity(BUFFER, input);
        let stream = if layer.compression == Compression::Zstd {
            Stream::Zstd(Box::new(ZstdFrames { input, decoder: FrameDecoder::new(), inside: false }))
        } else {
            Stream::Gzip(Box::new(MultiGzDecoder::new(input)))
        };
        Ok(Self { stream, sha256: Sha256::new(), diff_id: layer.diff_id, read: 0, budget })
    }

    /// Reads to the end, compares both digests, and returns how many bytes the archive has.
    pub(crate) fn finish(mut self) -> Result<u64, OciError> {
        io::copy(&mut self, &mut io::sink()).map_err(OciError::from_read)?;
        let found = Sha256Digest::new(self.sha256.finalize().into());
        // The blob's own digest first: a damaged file is not a lying configuration.
        if let Input::Verified(blob) = self.stream.into_input() {
            blob.finish()?;
        }
        if found != self.diff_id {
            return Err(OciError::DiffId { expected: self.diff_id, found });
        }
        Ok(self.read)
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buffer)?;
        self.read += n as u64;
        if self.read > self.budget {
            return Err(OciError::UncompressedTooLarge { limit: self.budget }.into_read());
        }
        self.sha256.update(&buffer[..n]);
        Ok(n)
    }
}

enum Input {
    Verified(VerifiedBlob),
    Unnamed(Blob),
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Verified(blob) => blob.read(buffer),
            Self::Unnamed(blob) => blob.read(buffer),
        }
    }
}

enum Stream {
    Gzip(Box<MultiGzDecoder<BufReader<Input>>>),
    Zstd(Box<ZstdFrames>),
}

impl Stream {
    fn into_input(self) -> Input {
        match self {
            Self::Gzip(decoder) => decoder.into_inner().into_inner(),
            Self::Zstd(frames) => frames.input.into_inner(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let broken = |format| move |source| OciError::Compression { format, source }.into_read();
        match self {
            Self::Gzip(decoder) => decoder.read(buffer).map_err(broken("gzip")),
            Self::Zstd(frames) => frames.read(buffer).map_err(broken("zstd")),
        }
    }
}

/// A zstd stream is any number of frames; `zstd:chunked` layers also carry frames to be skipped.
struct ZstdFrames {
    input: BufReader<Input>,
    decoder: FrameDecoder,
    inside: bool,
}

impl ZstdFrames {
    /// Moves to the next frame with content; `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.input.fill_buf()?.is_empty() {
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

impl Read for ZstdFrames {
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

const BUFFER: usize = 256 * 1024;
