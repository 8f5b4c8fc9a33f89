//! The fixed parts of the format: image header, section header, kinds.

use crate::error::EifError;
use std::fmt;

/// The processor an image is for. Not measured: the kernel inside decides what really runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// What stands in the header besides the section table. None of it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderOptions {
    /// The processor the image is for.
    pub arch: Arch,
    /// Memory to run with where the operator names none, in bytes.
    pub default_mem: u64,
    /// Processors to run with where the operator names none.
    pub default_cpus: u64,
}

impl Default for HeaderOptions {
    /// The values every AWS tool writes: 1 GiB, 2 processors.
    fn default() -> Self {
        Self { arch: Arch::X86_64, default_mem: 1 << 30, default_cpus: 2 }
    }
}

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// The kernel image (a bzImage on x86).
    Kernel,
    /// The kernel's command line, text without a final NUL.
    Cmdline,
    /// An initial ramdisk: a cpio archive, usually compressed.
    Ramdisk,
    /// Signatures over PCR0, CBOR.
    Signature,
    /// Where the image comes from, JSON. Not measured.
    Metadata,
}

impl SectionKind {
    /// The number that stands in a section header.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::Kernel => 1,
            Self::Cmdline => 2,
            Self::Ramdisk => 3,
            Self::Signature => 4,
            Self::Metadata => 5,
        }
    }

    /// The kind of a number in a section header.
    pub(crate) const fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Kernel,
            2 => Self::Cmdline,
            3 => Self::Ramdisk,
            4 => Self::Signature,
            5 => Self::Metadata,
            _ => return None,
        })
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Cmdline => "command line",
            Self::Ramdisk => "ramdisk",
            Self::Signature => "signature",
            Self::Metadata => "metadata",
        })
    }
}

/// One section and where it lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectionInfo {
    /// What it holds.
    pub kind: SectionKind,
    /// Where its 12-byte header begins.
    pub offset: u64,
    /// Where its content begins.
    pub data_offset: u64,
    /// Length of its content in bytes.
    pub size: u64,
}

/// The image header: 548 bytes, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Format version, 3 or 4.
    pub version: u16,
    /// Architecture and defaults.
    pub options: HeaderOptions,
    /// Where each section's header begins and how long its content is.
    pub table: Vec<(u64, u64)>,
    /// CRC-32/ISO-HDLC over every byte of the file but these four.
    pub crc32: u32,
}

impl Header {
    /// Length in bytes.
    pub const SIZE: usize = 548;
    /// Where the checksum lies: the last four bytes.
    pub(crate) const CRC_AT: usize = Self::SIZE - 4;
    /// The version written.
    pub const VERSION: u16 = 4;
    /// Sections the table has room for.
    pub const MAX_SECTIONS: usize = 32;

    /// The bytes of this header.
    pub(crate) fn to_bytes(&self) -> [u8; Self::SIZE] {
        debug_assert!(self.table.len() <= Self::MAX_SECTIONS);
        let mut out = Cursor { bytes: [0; Self::SIZE], at: 0 };
        out.put(MAGIC);
        out.put(self.version.to_be_bytes());
        let flags: u16 = if self.options.arch == Arch::Aarch64 { FLAG_AARCH64 } else { 0 };
        out.put(flags.to_be_bytes());
        out.put(self.options.default_mem.to_be_bytes());
        out.put(self.options.default_cpus.to_be_bytes());
        out.put(0u16.to_be_bytes());
        out.put(u16::try_from(self.table.len()).unwrap_or(u16::MAX).to_be_bytes());
        for slot in 0..Self::MAX_SECTIONS {
            out.put(self.table.get(slot).map_or(0, |(offset, _)| *offset).to_be_bytes());
        }
        for slot in 0..Self::MAX_SECTIONS {
            out.put(self.table.get(slot).map_or(0, |(_, size)| *size).to_be_bytes());
        }
        out.put(0u32.to_be_bytes());
        out.put(self.crc32.to_be_bytes());
        out.bytes
    }

    /// Reads a header, and checks all that can be known without the sections.
    pub(crate) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Result<Self, EifError> {
        let mut input = Cursor { bytes: *bytes, at: 0 };
        let magic = input.take();
        if magic != MAGIC {
            return Err(EifError::Magic { found: magic });
        }
        let version = u16::from_be_bytes(input.take());
        if !(3..=Self::VERSION).contains(&version) {
            return Err(EifError::Version { found: version });
        }
        let flags = u16::from_be_bytes(input.take());
        if flags & !FLAG_AARCH64 != 0 {
            return Err(EifError::HeaderFlags { found: flags });
        }
        let arch = if flags == 0 { Arch::X86_64 } else { Arch::Aarch64 };
        let default_mem = u64::from_be_bytes(input.take());
        let default_cpus = u64::from_be_bytes(input.take());
        zero("reserved field", u16::from_be_bytes(input.take()).into())?;
        let count = u16::from_be_bytes(input.take());
        let used = usize::from(count);
        if !(MIN_SECTIONS..=Self::MAX_SECTIONS).contains(&used) {
            return Err(EifError::SectionCount { found: count });
        }
        let mut table = vec![(0, 0); Self::MAX_SECTIONS];
        for slot in &mut table {
            slot.0 = u64::from_be_bytes(input.take());
        }
        for slot in &mut table {
            slot.1 = u64::from_be_bytes(input.take());
        }
        for (offset, size) in table.split_off(used) {
            zero("unused section offset", offset)?;
            zero("unused section size", size)?;
        }
        zero("unused field", u32::from_be_bytes(input.take()).into())?;
        let crc32 = u32::from_be_bytes(input.take());
        Ok(Self { version, options: HeaderOptions { arch, default_mem, default_cpus }, table, crc32 })
    }

    /// The end of the file that the table announces, where every section begins at the end of the one before.
    pub(crate) fn end(&self) -> Result<u64, EifError> {
        let mut end = Self::SIZE as u64;
        for (index, (offset, size)) in self.table.iter().enumerate() {
            if *offset != end {
                return Err(EifError::Offset { index, expected: end, found: *offset });
            }
            end = end
                .checked_add(SECTION_HEADER_SIZE as u64)
                .and_then(|data| data.checked_add(*size))
                .ok_or(EifError::TooLarge { found: u64::MAX, limit: u64::MAX })?;
        }
        Ok(end)
    }
}

/// The twelve bytes before a section's content.
pub(crate) fn section_header(kind: SectionKind, size: u64) -> [u8; SECTION_HEADER_SIZE] {
    let mut out = [0; SECTION_HEADER_SIZE];
    out[..2].copy_from_slice(&kind.number().to_be_bytes());
    out[4..].copy_from_slice(&size.to_be_bytes());
    out
}

/// Reads the twelve bytes before a section's content.
pub(crate) fn parse_section_header(
    index: usize,
    bytes: [u8; SECTION_HEADER_SIZE],
) -> Result<(SectionKind, u64), EifError> {
    let [k0, k1, f0, f1, size @ ..] = bytes;
    let number = u16::from_be_bytes([k0, k1]);
    let kind = SectionKind::from_number(number).ok_or(EifError::SectionType { index, found: number })?;
    let flags = u16::from_be_bytes([f0, f1]);
    if flags != 0 {
        return Err(EifError::SectionFlags { index, found: flags });
    }
    Ok((kind, u64::from_be_bytes(size)))
}

fn zero(field: &'static str, found: u64) -> Result<(), EifError> {
    if found == 0 { Ok(()) } else { Err(EifError::NotZero { field, found }) }
}

/// A position in a header. Indexing cannot fail: the fields' lengths add up to the array's.
struct Cursor {
    bytes: [u8; Header::SIZE],
    at: usize,
}

impl Cursor {
    fn put<const N: usize>(&mut self, value: [u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(&value);
        self.at += N;
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        out
    }
}

const MAGIC: [u8; 4] = *b".eif";
const FLAG_AARCH64: u16 = 1;
/// Kernel, command line and one ramdisk.
const MIN_SECTIONS: usize = 3;
/// Length of the header before each section's content.
pub(crate) const SECTION_HEADER_SIZE: usize = 12;
