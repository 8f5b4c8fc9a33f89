//! Writing an image as a stream.

use crate::error::{Doing as _, EifError};
use crate::header::{Header, HeaderOptions, SECTION_HEADER_SIZE, SectionInfo, SectionKind, section_header};
use crate::measure::Measurer;
use crate::metadata::Metadata;
use crate::signature::Signer;
use caution_measure::{Measurements, Pcr, Sha256Digest};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// PCR0 to PCR2, computed from the bytes as they were written.
    pub measurements: Measurements,
    /// PCR8, when the image was signed.
    pub pcr8: Option<Pcr>,
    /// Digest of the whole file, computed from the bytes read back.
    pub sha256: Sha256Digest,
    /// Length of the file in bytes.
    pub size: u64,
    /// The sections in file order.
    pub sections: Vec<SectionInfo>,
}

/// Writes an image: kernel, command line, metadata, one ramdisk or more, and at the end a signature.
///
/// Parts are streamed and measured as they pass; the header goes in last, once sizes are known. The
/// output must be empty and positioned anywhere; [`Writer::finish`] reads it back once, because the
/// digest of a file begins with its header, so open files for reading and writing:
///
/// ```
/// use caution_eif::{Metadata, Writer};
/// let mut writer = Writer::new(std::io::Cursor::new(Vec::new()), Default::default())?;
/// writer.kernel(&b"kernel"[..])?;
/// writer.cmdline("reboot=k panic=1")?;
/// writer.metadata(&Metadata::new("6.12.1"))?;
/// writer.ramdisk(&b"EnclaveOS"[..])?;
/// let mut application = writer.ramdisk_writer()?;
/// std::io::Write::write_all(&mut application, b"application")?;
/// application.finish()?;
/// let (file, written) = writer.finish()?;
/// assert_eq!(file.into_inner().len() as u64, written.size);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer<W> {
    out: W,
    options: HeaderOptions,
    measurer: Measurer,
    /// Checksum of everything after the image header.
    crc: crc32fast::Hasher,
    sections: Vec<SectionInfo>,
    pcr8: Option<Pcr>,
    end: u64,
    stage: Stage,
    copy: Vec<u8>,
}

/// What may come next. `Broken` stays: a half-written section cannot be repaired.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Kernel,
    Cmdline,
    Metadata,
    Ramdisk0,
    MoreRamdisks,
    Signed,
    Broken,
}

impl Stage {
    /// The stage after a section of `kind`, or what was expected instead.
    fn after(self, kind: SectionKind) -> Result<Self, &'static str> {
        match (self, kind) {
            (Self::Kernel, SectionKind::Kernel) => Ok(Self::Cmdline),
            (Self::Cmdline, SectionKind::Cmdline) => Ok(Self::Metadata),
            (Self::Metadata, SectionKind::Metadata) => Ok(Self::Ramdisk0),
            (Self::Ramdisk0 | Self::MoreRamdisks, SectionKind::Ramdisk) => Ok(Self::MoreRamdisks),
            (Self::MoreRamdisks, SectionKind::Signature) => Ok(Self::Signed),
            (Self::Kernel, _) => Err("the kernel"),
            (Self::Cmdline, _) => Err("the command line"),
            (Self::Metadata, _) => Err("the metadata"),
            (Self::Ramdisk0, _) => Err("a ramdisk"),
            (Self::MoreRamdisks, _) => Err("a ramdisk or the signature"),
            (Self::Signed, _) => Err("nothing more: the signature is the last section"),
            (Self::Broken, _) => Err("nothing more: an earlier section was not finished"),
        }
    }
}

impl<W: Write + Seek> Writer<W> {
    /// A writer that begins at the start of `out`.
    pub fn new(mut out: W, options: HeaderOptions) -> Result<Self, EifError> {
        out.seek(SeekFrom::Start(0)).doing("go to the start of the image")?;
        // A placeholder without magic: an interrupted write is never taken for an image.
        out.write_all(&[0; Header::SIZE]).doing("write the image header")?;
        Ok(Self {
            out,
            options,
            measurer: Measurer::default(),
            crc: crc32fast::Hasher::new(),
            sections: Vec::new(),
            pcr8: None,
            end: Header::SIZE as u64,
            stage: Stage::Kernel,
            copy: Vec::new(),
        })
    }

    /// Writes the kernel and returns its length.
    pub fn kernel(&mut self, kernel: impl Read) -> Result<u64, EifError> {
        let size = self.copy_section(SectionKind::Kernel, kernel)?;
        if size == 0 {
            self.stage = Stage::Broken;
            return Err(EifError::EmptyKernel);
        }
        Ok(size)
    }

    /// Writes the kernel's command line.
    pub fn cmdline(&mut self, cmdline: &str) -> Result<(), EifError> {
        if let Some(position) = cmdline.bytes().position(|b| b == 0) {
            return Err(EifError::CmdlineText { position, byte: 0 });
        }
        self.copy_section(SectionKind::Cmdline, cmdline.as_bytes()).map(drop)
    }

    /// Writes the metadata.
    pub fn metadata(&mut self, metadata: &Metadata) -> Result<(), EifError> {
        self.copy_section(SectionKind::Metadata, metadata.to_json().as_slice()).map(drop)
    }

    /// Writes the next ramdisk and returns its length.
    pub fn ramdisk(&mut self, ramdisk: impl Read) -> Result<u64, EifError> {
        self.copy_section(SectionKind::Ramdisk, ramdisk)
    }

    /// Begins the next ramdisk, for a producer that writes. Give it pieces of 128 KiB and more: each is
    /// written and hashed at once.
    pub fn ramdisk_writer(&mut self) -> Result<SectionWriter<'_, W>, EifError> {
        self.section(SectionKind::Ramdisk)
    }

    /// Writes the signature over everything that was measured, after which nothing may follow.
    pub fn sign(&mut self, signer: &Signer) -> Result<(), EifError> {
        let content = signer.section(&self.measurer.pcr0());
        self.copy_section(SectionKind::Signature, content.as_slice())?;
        self.pcr8 = Some(signer.certificate().pcr8);
        Ok(())
    }

    fn copy_section(&mut self, kind: SectionKind, mut from: impl Read) -> Result<u64, EifError> {
        let mut buffer = std::mem::take(&mut self.copy);
        buffer.resize(COPY_BUFFER, 0);
        let mut section = self.section(kind)?;
        loop {
            let filled = fill(&mut from, &mut buffer).doing("read a part of the image")?;
            section.write_all(&buffer[..filled]).doing("write the image")?;
            if filled < buffer.len() {
                break;
            }
        }
        let size = section.finish()?;
        self.copy = buffer;
        Ok(size)
    }

    fn section(&mut self, kind: SectionKind) -> Result<SectionWriter<'_, W>, EifError> {
        let next =
            self.stage.after(kind).map_err(|expected| EifError::WriteOrder { found: kind, expected })?;
        if self.sections.len() == Header::MAX_SECTIONS {
            return Err(EifError::WriteOrder {
                found: kind,
                expected: "nothing more: 32 sections are the most",
            });
        }
        // Until the section is finished the file is unusable.
        self.stage = Stage::Broken;
        self.out.write_all(&section_header(kind, 0)).doing("write the image")?;
        self.measurer.begin(kind);
        Ok(SectionWriter { writer: self, kind, next, size: 0, crc: crc32fast::Hasher::new() })
    }
}

impl<W: Read + Write + Seek> Writer<W> {
    /// Writes the header, reads the file back for its digest, and returns the output positioned at its end.
    pub fn finish(mut self) -> Result<(W, Written), EifError> {
        match self.stage {
            Stage::MoreRamdisks | Stage::Signed => {}
            Stage::Kernel => return Err(EifError::Unfinished { missing: "a kernel" }),
            Stage::Cmdline => return Err(EifError::Unfinished { missing: "a command line" }),
            Stage::Metadata => return Err(EifError::Unfinished { missing: "metadata" }),
            Stage::Ramdisk0 => return Err(EifError::Unfinished { missing: "a ramdisk" }),
            Stage::Broken => return Err(EifError::Unfinished { missing: "the end of a section" }),
        }
        let mut header = Header {
            version: Header::VERSION,
            options: self.options,
            table: self.sections.iter().map(|section| (section.offset, section.size)).collect(),
            crc32: 0,
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(&header.to_bytes()[..Header::CRC_AT]);
        crc.combine(&self.crc);
        header.crc32 = crc.finalize();
        self.out.seek(SeekFrom::Start(0)).doing("go to the start of the image")?;
        self.out.write_all(&header.to_bytes()).doing("write the image header")?;
        self.out.flush().doing("write the image")?;
        let sha256 = self.read_back(header.crc32)?;
        let written = Written {
            measurements: self.measurer.finish(),
            pcr8: self.pcr8,
            sha256,
            size: self.end,
            sections: self.sections,
        };
        Ok((self.out, written))
    }

    /// The digest of the file, read back and checked against the checksum just written.
    fn read_back(&mut self, written: u32) -> Result<Sha256Digest, EifError> {
        self.out.seek(SeekFrom::Start(0)).doing("go to the start of the image")?;
        let mut buffer = std::mem::take(&mut self.copy);
        buffer.resize(COPY_BUFFER, 0);
        let (mut sha256, mut crc) = (Sha256::new(), crc32fast::Hasher::new());
        let mut left = self.end;
        let mut at_start = true;
        while left > 0 {
            let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            self.out.read_exact(&mut buffer[..wanted]).doing("read the image back")?;
            sha256.update(&buffer[..wanted]);
            if std::mem::take(&mut at_start) {
                crc.update(&buffer[..Header::CRC_AT]);
                crc.update(&buffer[Header::SIZE..wanted]);
            } else {
                crc.update(&buffer[..wanted]);
            }
            left -= wanted as u64;
        }
        let read = crc.finalize();
        if read != written {
            return Err(EifError::ReadBack { written, read });
        }
        Ok(Sha256Digest::new(sha256.finalize().into()))
    }
}

/// A section being written. Dropping it without [`SectionWriter::finish`] makes the whole image unusable.
#[must_use = "a section must be finished"]
pub struct SectionWriter<'w, W: Write + Seek> {
    writer: &'w mut Writer<W>,
    kind: SectionKind,
    next: Stage,
    size: u64,
    crc: crc32fast::Hasher,
}

impl<W: Write + Seek> SectionWriter<'_, W> {
    /// Ends the section and returns its length.
    pub fn finish(self) -> Result<u64, EifError> {
        let writer = self.writer;
        let offset = writer.end;
        let data_offset = offset + SECTION_HEADER_SIZE as u64;
        let header = section_header(self.kind, self.size);
        writer.end = data_offset + self.size;
        writer.out.seek(SeekFrom::Start(offset)).doing("go to a section's header")?;
        writer.out.write_all(&header).doing("write a section's header")?;
        writer.out.seek(SeekFrom::Start(writer.end)).doing("go to the end of the image")?;
        writer.crc.update(&header);
        writer.crc.combine(&self.crc);
        writer.sections.push(SectionInfo { kind: self.kind, offset, data_offset, size: self.size });
        writer.stage = self.next;
        Ok(self.size)
    }
}

impl<W: Write + Seek> Write for SectionWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // All or nothing: what is hashed is what is written.
        self.writer.out.write_all(bytes)?;
        let crc = &mut self.crc;
        self.writer.measurer.update(bytes, || crc.update(bytes));
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.out.flush()
    }
}

/// Reads until `buffer` is full or the input ends; returns the bytes read.
pub(crate) fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Read and hashed at once.
pub(crate) const COPY_BUFFER: usize = 1024 * 1024;
