//! What can be wrong with an enclave image file or with the way one is written.

use crate::header::{Header, SectionKind};
use std::io;

/// Why an enclave image file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EifError {
    // ── malformed ───────────────────────────────────────────────────────────────────────────────
    /// The file ends before the end of its header.
    #[error("not an enclave image: the file has {found} bytes, its header alone needs {needed}", needed = Header::SIZE)]
    NoHeader {
        /// Bytes present.
        found: usize,
    },
    /// The first four bytes are not `.eif`.
    #[error("not an enclave image: it begins with the bytes {found:02x?} and not with `.eif`")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A format version this code does not know.
    #[error("enclave image format version {found} is not supported (this program reads versions 3 and 4)")]
    Version {
        /// The version in the header.
        found: u16,
    },
    /// Header flags other than the architecture bit.
    #[error("the image header has unknown flags 0x{found:04x}")]
    HeaderFlags {
        /// The flags.
        found: u16,
    },
    /// A reserved or unused header field is not zero.
    #[error("the image header's {field} is 0x{found:x}, it must be zero")]
    NotZero {
        /// The field's name.
        field: &'static str,
        /// Its value.
        found: u64,
    },
    /// More sections than the table holds, or fewer than any image has.
    #[error("the image header announces {found} sections, it must be 3 to 32")]
    SectionCount {
        /// The count in the header.
        found: u16,
    },
    /// The table's offset of a section is not where the section before it ends.
    #[error("section {index} is announced at offset {found}, but the sections before it end at {expected}")]
    Offset {
        /// Zero-based section number.
        index: usize,
        /// The end of the section before.
        expected: u64,
        /// The offset in the header.
        found: u64,
    },
    /// The section's own header and the table of the image header disagree about its size.
    #[error("section {index} says it has {own} bytes, the image header says {announced}")]
    SizeMismatch {
        /// Zero-based section number.
        index: usize,
        /// Size in the image header.
        announced: u64,
        /// Size in the section header.
        own: u64,
    },
    /// A section type nobody defined.
    #[error("section {index} has the unknown type {found}")]
    SectionType {
        /// Zero-based section number.
        index: usize,
        /// The type's number.
        found: u16,
    },
    /// Section flags, of which none are defined.
    #[error("section {index} has unknown flags 0x{found:04x}")]
    SectionFlags {
        /// Zero-based section number.
        index: usize,
        /// The flags.
        found: u16,
    },
    /// A section stands where its kind may not.
    #[error("section {index} is a {found} section, which cannot stand there (expected {expected})")]
    Order {
        /// Zero-based section number.
        index: usize,
        /// Its kind.
        found: SectionKind,
        /// Kinds that may follow.
        expected: &'static str,
    },
    /// The file ends inside a section.
    #[error("the file is truncated: {missing} bytes of section {index} ({kind}) are missing")]
    Truncated {
        /// Zero-based section number.
        index: usize,
        /// Its kind.
        kind: SectionKind,
        /// Bytes that should follow.
        missing: u64,
    },
    /// The file ends inside the header of a section.
    #[error("the file is truncated: the header of section {index} is missing")]
    TruncatedHeader {
        /// Zero-based section number.
        index: usize,
    },
    /// The image holds no ramdisk.
    #[error("the image holds no ramdisk")]
    NoRamdisk,
    /// The kernel section holds nothing.
    #[error("the kernel section is empty")]
    EmptyKernel,
    /// The file goes on after the last section.
    #[error("the file goes on after its last section, which ends at {end}")]
    TrailingBytes {
        /// Where the last section ends.
        end: u64,
    },
    /// The checksum in the header is not that of the file.
    #[error("the checksum is wrong: the header says {announced:08x}, the content gives {computed:08x}")]
    Crc {
        /// CRC-32 in the header.
        announced: u32,
        /// CRC-32 of the content.
        computed: u32,
    },
    /// The command line is not UTF-8 text without NUL.
    #[error("the command line is not text: byte {position} is 0x{byte:02x}")]
    CmdlineText {
        /// Offset of the first byte that is not text.
        position: usize,
        /// That byte.
        byte: u8,
    },

    // ── limits ──────────────────────────────────────────────────────────────────────────────────
    /// A section is larger than the caller allows.
    #[error("section {index} ({kind}) has {found} bytes, the limit is {limit}")]
    SectionTooLarge {
        /// Zero-based section number.
        index: usize,
        /// Its kind.
        kind: SectionKind,
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The image is larger than the caller allows.
    #[error("the image has {found} bytes or more, the limit is {limit}")]
    TooLarge {
        /// Size the header announces.
        found: u64,
        /// The limit.
        limit: u64,
    },

    // ── misuse ──────────────────────────────────────────────────────────────────────────────────
    /// A part was given to the writer out of order.
    #[error("the writer was given a {found} section, but expected {expected}")]
    WriteOrder {
        /// What was given.
        found: SectionKind,
        /// What may come.
        expected: &'static str,
    },
    /// The file was finished without a needed part.
    #[error("the image was finished without {missing}")]
    Unfinished {
        /// What is missing.
        missing: &'static str,
    },
    /// The bytes read back from the output are not those written.
    #[error(
        "the image read back from its file differs from what was written (checksum {read:08x}, not {written:08x})"
    )]
    ReadBack {
        /// CRC-32 of what was written.
        written: u32,
        /// CRC-32 of what the file holds.
        read: u32,
    },

    // ── the caller's reader or writer ───────────────────────────────────────────────────────────
    /// The given reader or writer failed.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
}

/// Names what an I/O operation was for.
pub(crate) trait Doing<T> {
    /// Turns an I/O error into [`EifError::Io`].
    fn doing(self, doing: &'static str) -> Result<T, EifError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, EifError> {
        self.map_err(|source| EifError::Io { doing, source })
    }
}
