//! Compressed streams, by the bytes they begin with.

use super::RamdiskError;
use super::stream::Buffered;
use caution_rootfs::ZstdReader;
use flate2::bufread::GzDecoder;
use lz4_flex::frame::FrameDecoder;
use lzma_rust2::XzReader;
use std::io::{self, BufRead, Read};

/// How a ramdisk, or a part of it, is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    Zstd,
    /// Frames with a header, as `lz4` writes them.
    Lz4,
    /// Blocks alone, as the kernel reads them (`lz4 -l`).
    Lz4Legacy,
    Xz,
}

/// What some bytes begin like.
pub(crate) enum Beginning {
    /// An archive that is not compressed.
    Archive,
    Packed(Format),
    /// A compression that Linux knows and this reader does not.
    Unsupported(&'static str),
    Unknown,
}

impl Beginning {
    /// By the magic numbers of Linux' `lib/decompress.c`, and lz4's own.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match bytes {
            // Any of cpio's forms; the archive's reader says which it takes.
            [b'0', ..] => Self::Archive,
            [0x1f, 0x8b | 0x9e, ..] => Self::Packed(Format::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Packed(Format::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Packed(Format::Lz4),
            [0x02, 0x21, 0x4c, 0x18, ..] => Self::Packed(Format::Lz4Legacy),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Packed(Format::Xz),
            [b'B', b'Z', b'h', ..] => Self::Unsupported("bzip2"),
            [0x5d, 0, 0, ..] => Self::Unsupported("lzma"),
            [0x89, b'L', b'Z', b'O', ..] => Self::Unsupported("lzo"),
            _ => Self::Unknown,
        }
    }
}

impl Format {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 | Self::Lz4Legacy => "lz4",
            Self::Xz => "xz",
        }
    }

    /// The first byte of a stream of this form. What follows one and begins alike belongs to it: zeros, the `0` of
    /// an archive and the other forms begin otherwise.
    const fn first_byte(self) -> u8 {
        match self {
            Self::Gzip => 0x1f,
            Self::Zstd => 0x28,
            Self::Lz4 => 0x04,
            Self::Lz4Legacy => 0x02,
            Self::Xz => 0xfd,
        }
    }
}

/// Unpacks streams of one form that follow each other.
pub(crate) struct Unpacker<R: Read> {
    format: Format,
    /// `None` only while the next is made from what this one has left of the input.
    decoder: Option<Decoder<R>>,
}

enum Decoder<R: Read> {
    Gzip(Box<GzDecoder<Buffered<R>>>),
    Zstd(Box<ZstdReader<Buffered<R>>>),
    Lz4(Box<FrameDecoder<Buffered<R>>>),
    Lz4Legacy(Lz4Blocks<Buffered<R>>),
    Xz(Box<XzReader<Buffered<R>>>),
    /// What follows is of another form, or nothing.
    Ended(Buffered<R>),
}

impl<R: Read> Unpacker<R> {
    pub(crate) fn new(format: Format, input: Buffered<R>) -> Self {
        Self { format, decoder: Some(Decoder::new(format, input)) }
    }

    /// The input behind the streams that were read.
    pub(crate) fn into_inner(self) -> Option<Buffered<R>> {
        self.decoder.map(Decoder::into_inner)
    }

    /// Goes on to a stream of the same form behind this one; `false` where there is none.
    fn next_stream(&mut self) -> io::Result<bool> {
        let Some(mut input) = self.decoder.take().map(Decoder::into_inner) else { return Ok(false) };
        let goes_on = input.fill_buf()?.first() == Some(&self.format.first_byte());
        self.decoder = Some(if goes_on { Decoder::new(self.format, input) } else { Decoder::Ended(input) });
        Ok(goes_on)
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let format = self.format.name();
        let broken = |source: io::Error| RamdiskError::Compression { format, source }.into_io();
        loop {
            let Some(decoder) = &mut self.decoder else { return Ok(0) };
            let n = decoder.read(buffer).map_err(broken)?;
            if n > 0 || buffer.is_empty() || !self.next_stream()? {
                return Ok(n);
            }
        }
    }
}

impl<R: Read> Decoder<R> {
    fn new(format: Format, input: Buffered<R>) -> Self {
        match format {
            Format::Gzip => Self::Gzip(Box::new(GzDecoder::new(input))),
            // Frames to be skipped begin with 0x50 to 0x5f.
            Format::Zstd => {
                Self::Zstd(Box::new(ZstdReader::new(input, |first| matches!(first, 0x28 | 0x50..=0x5f))))
            }
            Format::Lz4 => Self::Lz4(Box::new(FrameDecoder::new(input))),
            Format::Lz4Legacy => Self::Lz4Legacy(Lz4Blocks::new(input)),
            Format::Xz => Self::Xz(Box::new(XzReader::new_mem_limit(input, false, XZ_MEMORY_KIB))),
        }
    }

    fn into_inner(self) -> Buffered<R> {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.into_inner(),
            Self::Lz4(decoder) => decoder.into_inner(),
            Self::Lz4Legacy(decoder) => decoder.input,
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Ended(input) => input,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Lz4(decoder) => decoder.read(buffer),
            Self::Lz4Legacy(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
            Self::Ended(_) => Ok(0),
        }
    }
}

/// The legacy form of lz4: a magic number, then blocks of 8 MiB at most, each behind its compressed length. Nothing
/// ends it but the input's end or a length of zero (Linux' `lib/decompress_unlz4.c`).
struct Lz4Blocks<R> {
    input: R,
    packed: Vec<u8>,
    plain: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: BufRead> Lz4Blocks<R> {
    fn new(input: R) -> Self {
        Self { input, packed: Vec::new(), plain: Vec::new(), at: 0, ended: false }
    }

    /// Unpacks the next block; `false` at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        (self.at, self.ended) = (0, true);
        self.plain.clear();
        loop {
            if self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let mut length = [0; 4];
            self.input.read_exact(&mut length)?;
            let length = u32::from_le_bytes(length);
            if length == LZ4_LEGACY_MAGIC {
                continue;
            }
            if length == 0 {
                return Ok(false);
            }
            if length > LZ4_BLOCK + LZ4_BLOCK / 255 + 16 {
                return Err(io::Error::other("a block is longer than 8 MiB"));
            }
            self.packed.resize(length as usize, 0);
            self.input.read_exact(&mut self.packed)?;
            self.plain.resize(LZ4_BLOCK as usize, 0);
            let n =
                lz4_flex::block::decompress_into(&self.packed, &mut self.plain).map_err(io::Error::other)?;
            self.plain.truncate(n);
            self.ended = false;
            return Ok(true);
        }
    }
}

impl<R: BufRead> Read for Lz4Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if self.ended || !self.next_block()? {
                return Ok(0);
            }
        }
        let left = &self.plain[self.at..];
        let n = left.len().min(buffer.len());
        buffer[..n].copy_from_slice(&left[..n]);
        self.at += n;
        Ok(n)
    }
}

const LZ4_LEGACY_MAGIC: u32 = 0x184c_2102;
/// Content of a block in the legacy form (`LZ4_DEFAULT_UNCOMPRESSED_CHUNK_SIZE`).
const LZ4_BLOCK: u32 = 8 << 20;
/// The greatest dictionary that `xz -9` asks for is 64 MiB; zstd's limit is 128 MiB too.
const XZ_MEMORY_KIB: u32 = 128 << 10;
