//! A layer's tar archive: where it lies, or unpacked; bounded, and compared with its digests.

use super::error::OciError;
use super::source::{Blob, Source, VerifiedBlob};
use super::{Compression, Layer};
use crate::section::{Section, State};
use crate::zstd::ZstdReader;
use caution_measure::Sha256Digest;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use std::io::{self, BufReader, Read};

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
            Stream::Zstd(Box::new(ZstdReader::new(input, |_| true)))
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
    Zstd(Box<ZstdReader<BufReader<Input>>>),
}

impl Stream {
    fn into_input(self) -> Input {
        match self {
            Self::Gzip(decoder) => decoder.into_inner().into_inner(),
            Self::Zstd(frames) => frames.into_inner().into_inner(),
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

const BUFFER: usize = 256 * 1024;
