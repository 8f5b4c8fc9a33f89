//! Reading an image in one pass: checked, measured, and taken apart for whoever wants its sections.

use crate::error::{Doing as _, EifError};
use crate::header::{Header, SECTION_HEADER_SIZE, SectionInfo, SectionKind, parse_section_header};
use crate::measure::{self, Measurer};
use crate::signature::{self, SignatureError, SigningCertificate};
use crate::write::{COPY_BUFFER, fill};
use caution_measure::{Measurements, Pcr, Sha256Digest};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};

/// How much a reader accepts. The defaults leave room for every image that fits an enclave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Whole file, in bytes: 16 GiB.
    pub total: u64,
    /// Command line, in bytes: 4096, twice what an x86 kernel takes (`COMMAND_LINE_SIZE`).
    pub cmdline: u64,
    /// Metadata, in bytes: 1 MiB.
    pub metadata: u64,
    /// Signature, in bytes: 64 KiB; the AWS tools stop at 32 KiB.
    pub signature: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 16 << 30, cmdline: 4096, metadata: 1 << 20, signature: 64 << 10 }
    }
}

/// An image that was read to its end and found consistent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The header.
    pub header: Header,
    /// The sections in file order.
    pub sections: Vec<SectionInfo>,
    /// The kernel's command line.
    pub cmdline: String,
    /// The metadata as it stands in the file; not measured, and not checked to be JSON.
    pub metadata: Option<Vec<u8>>,
    /// The signature section as it stands in the file, unverified.
    pub signature_unverified: Option<Vec<u8>>,
    /// PCR0 to PCR2.
    pub measurements: Measurements,
    /// Digest of the whole file.
    pub sha256: Sha256Digest,
    /// Length of the file in bytes.
    pub size: u64,
}

impl Image {
    /// Whether the image carries a signature section. Says nothing about its validity.
    pub fn has_signature(&self) -> bool {
        self.signature_unverified.is_some()
    }

    /// Whose signature the image carries; `None` when it carries none.
    ///
    /// # Errors
    /// A [`SignatureError`] when there is one and it is not one over this image's PCR0 with a P-384 key.
    pub fn signature(&self) -> Result<Option<SigningCertificate>, SignatureError> {
        let pcr0 = &self.measurements.pcr0;
        self.signature_unverified.as_deref().map(|content| signature::verify(content, pcr0)).transpose()
    }

    /// The PCR8 that a signed image has, whoever signed it with whatever key: unlike [`Image::signature`]
    /// this checks no signature, and so works for keys that it does not know.
    ///
    /// # Errors
    /// A [`SignatureError`] when the section is not a list of one certificate and one signature.
    pub fn pcr8_unverified(&self) -> Result<Option<Pcr>, SignatureError> {
        self.signature_unverified.as_deref().map(signature::pcr8_unverified).transpose()
    }

    /// The sections in file order, each with the numbers of the registers that measure it. Of a signature
    /// that is its certificate alone.
    pub fn measured_sections(&self) -> impl Iterator<Item = (&SectionInfo, &'static [u8])> {
        let mut ramdisks = 0;
        self.sections.iter().map(move |section| {
            let registers = measure::registers(section.kind, ramdisks);
            ramdisks += usize::from(section.kind == SectionKind::Ramdisk);
            (section, registers)
        })
    }

    /// The sections of one kind, in file order.
    pub fn sections_of(&self, kind: SectionKind) -> impl Iterator<Item = &SectionInfo> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }
}

/// Reads, checks and measures an image in one pass with fixed memory.
pub fn read<R: Read>(reader: R, limits: &Limits) -> Result<Image, EifError> {
    read_with(reader, limits, |_, _| Ok(()))
}

/// Like [`read`], and hands each piece of content to `sink` with its section as it passes.
///
/// Sections reach the sink before the whole file is known to be good: use what it collected only after
/// this function returned an image.
pub fn read_with<R, F>(reader: R, limits: &Limits, mut sink: F) -> Result<Image, EifError>
where
    R: Read,
    F: FnMut(&SectionInfo, &[u8]) -> io::Result<()>,
{
    let mut input = Input { reader, sha256: Sha256::new(), crc: crc32fast::Hasher::new() };
    let header = input.header()?;
    let end = header.end()?;
    if end > limits.total {
        return Err(EifError::TooLarge { found: end, limit: limits.total });
    }
    let mut measurer = Measurer::default();
    let mut kept = Kept::default();
    let mut sections = Vec::with_capacity(header.table.len());
    let mut stage = Stage::Kernel;
    let mut buffer = vec![0; COPY_BUFFER];
    for (index, (offset, announced)) in header.table.iter().copied().enumerate() {
        let info = input.section_header(index, offset, announced)?;
        stage = stage.after(info.kind).map_err(|expected| EifError::Order {
            index,
            found: info.kind,
            expected,
        })?;
        kept.check(index, &info, limits)?;
        measurer.begin(info.kind);
        let mut left = info.size;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let got = input.fill(&mut buffer[..wanted])?;
            if got < wanted {
                return Err(EifError::Truncated { index, kind: info.kind, missing: left - got as u64 });
            }
            let content = &buffer[..wanted];
            input.hash(content, &mut measurer);
            kept.add(info.kind, content);
            sink(&info, content).doing("pass on a section of the image")?;
            left -= wanted as u64;
        }
        sections.push(info);
    }
    if stage < Stage::AfterRamdisk {
        return Err(EifError::NoRamdisk);
    }
    if input.fill(&mut buffer[..1])? != 0 {
        return Err(EifError::TrailingBytes { end });
    }
    let computed = input.crc.finalize();
    if computed != header.crc32 {
        return Err(EifError::Crc { announced: header.crc32, computed });
    }
    Ok(Image {
        header,
        sections,
        cmdline: kept.cmdline()?,
        metadata: kept.metadata,
        signature_unverified: kept.signature,
        measurements: measurer.finish(),
        sha256: Sha256Digest::new(input.sha256.finalize().into()),
        size: end,
    })
}

/// What has been read so far, and so what may follow.
///
/// One order only: PCRs are computed in file order, so an image with another order could measure alike
/// and boot differently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Kernel,
    Cmdline,
    MetadataOrRamdisk,
    Ramdisk,
    AfterRamdisk,
    AfterSignature,
}

impl Stage {
    fn after(self, kind: SectionKind) -> Result<Self, &'static str> {
        match (self, kind) {
            (Self::Kernel, SectionKind::Kernel) => Ok(Self::Cmdline),
            (Self::Cmdline, SectionKind::Cmdline) => Ok(Self::MetadataOrRamdisk),
            (Self::MetadataOrRamdisk, SectionKind::Metadata) => Ok(Self::Ramdisk),
            (Self::MetadataOrRamdisk | Self::Ramdisk | Self::AfterRamdisk, SectionKind::Ramdisk) => {
                Ok(Self::AfterRamdisk)
            }
            (Self::AfterRamdisk, SectionKind::Signature) => Ok(Self::AfterSignature),
            (Self::Kernel, _) => Err("the kernel"),
            (Self::Cmdline, _) => Err("the command line"),
            (Self::MetadataOrRamdisk, _) => Err("metadata or a ramdisk"),
            (Self::Ramdisk, _) => Err("a ramdisk"),
            (Self::AfterRamdisk, _) => Err("a ramdisk or the signature"),
            (Self::AfterSignature, _) => Err("nothing more"),
        }
    }
}

/// The reader with everything that is computed over all its bytes.
struct Input<R> {
    reader: R,
    sha256: Sha256,
    crc: crc32fast::Hasher,
}

impl<R: Read> Input<R> {
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, EifError> {
        fill(&mut self.reader, buffer).doing("read the image")
    }

    fn header(&mut self) -> Result<Header, EifError> {
        let mut bytes = [0; Header::SIZE];
        let found = self.fill(&mut bytes)?;
        if found < Header::SIZE {
            return Err(EifError::NoHeader { found });
        }
        self.sha256.update(bytes);
        self.crc.update(&bytes[..Header::CRC_AT]);
        Header::from_bytes(&bytes)
    }

    fn section_header(&mut self, index: usize, offset: u64, announced: u64) -> Result<SectionInfo, EifError> {
        let mut bytes = [0; SECTION_HEADER_SIZE];
        if self.fill(&mut bytes)? < SECTION_HEADER_SIZE {
            return Err(EifError::TruncatedHeader { index });
        }
        self.sha256.update(bytes);
        self.crc.update(&bytes);
        let (kind, own) = parse_section_header(index, bytes)?;
        if own != announced {
            return Err(EifError::SizeMismatch { index, announced, own });
        }
        Ok(SectionInfo { kind, offset, data_offset: offset + SECTION_HEADER_SIZE as u64, size: own })
    }

    fn hash(&mut self, content: &[u8], measurer: &mut Measurer) {
        measurer.update(content, || {
            self.sha256.update(content);
            self.crc.update(content);
        });
    }
}

/// The small sections, kept whole.
#[derive(Default)]
struct Kept {
    cmdline: Vec<u8>,
    metadata: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
}

impl Kept {
    /// Refuses a section that is too large or empty, before anything of it is read.
    fn check(&mut self, index: usize, info: &SectionInfo, limits: &Limits) -> Result<(), EifError> {
        let limit = match info.kind {
            SectionKind::Kernel if info.size == 0 => return Err(EifError::EmptyKernel),
            SectionKind::Kernel | SectionKind::Ramdisk => limits.total,
            SectionKind::Cmdline => limits.cmdline,
            SectionKind::Metadata => limits.metadata,
            SectionKind::Signature => limits.signature,
        };
        if info.size > limit {
            return Err(EifError::SectionTooLarge { index, kind: info.kind, found: info.size, limit });
        }
        match info.kind {
            SectionKind::Metadata => self.metadata = Some(Vec::new()),
            SectionKind::Signature => self.signature = Some(Vec::new()),
            SectionKind::Kernel | SectionKind::Cmdline | SectionKind::Ramdisk => {}
        }
        Ok(())
    }

    fn add(&mut self, kind: SectionKind, content: &[u8]) {
        match kind {
            SectionKind::Cmdline => self.cmdline.extend_from_slice(content),
            SectionKind::Metadata => self.metadata.get_or_insert_default().extend_from_slice(content),
            SectionKind::Signature => self.signature.get_or_insert_default().extend_from_slice(content),
            SectionKind::Kernel | SectionKind::Ramdisk => {}
        }
    }

    fn cmdline(&mut self) -> Result<String, EifError> {
        let bytes = std::mem::take(&mut self.cmdline);
        if let Some(position) = bytes.iter().position(|b| *b == 0) {
            return Err(EifError::CmdlineText { position, byte: 0 });
        }
        String::from_utf8(bytes).map_err(|error| {
            let position = error.utf8_error().valid_up_to();
            EifError::CmdlineText { position, byte: error.as_bytes()[position] }
        })
    }
}
