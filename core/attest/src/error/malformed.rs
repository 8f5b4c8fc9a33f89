//! What can be wrong with a document's bytes.

use alloc::string::String;
use caution_measure::PcrIndex;

/// Why bytes are not an attestation document. Offsets count from the document's first byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than any document.
    #[error("{found} bytes are too many for an attestation document (at most {limit})")]
    TooLong {
        /// Bytes given.
        found: usize,
        /// Bytes read at most.
        limit: usize,
    },
    /// The bytes end inside an item.
    #[error("the document ends at byte {at}, inside an item")]
    Truncated {
        /// Where the bytes end.
        at: usize,
    },
    /// An item is not of the type its place asks for.
    #[error("byte {at}: expected {expected}, found {found}")]
    UnexpectedType {
        /// Where the item starts.
        at: usize,
        /// The type its place asks for.
        expected: &'static str,
        /// Its type.
        found: &'static str,
    },
    /// A number or length is written longer than need be.
    #[error("byte {at}: a number is not in its shortest form")]
    NotShortest {
        /// Where the item starts.
        at: usize,
    },
    /// An initial byte that RFC 8949 reserves.
    #[error("byte {at}: {found:#04x} starts no CBOR item")]
    ReservedHead {
        /// Where it stands.
        at: usize,
        /// The byte.
        found: u8,
    },
    /// A string or array of indefinite length.
    #[error("byte {at}: strings and arrays must say their length")]
    IndefiniteLength {
        /// Where the item starts.
        at: usize,
    },
    /// A text string that is not UTF-8.
    #[error("byte {at}: {field} is not UTF-8")]
    NotUtf8 {
        /// Where the item starts.
        at: usize,
        /// What it was read as.
        field: &'static str,
    },
    /// Bytes follow where everything should have ended.
    #[error("byte {at}: {count} more bytes follow {after}")]
    TrailingBytes {
        /// Where they start.
        at: usize,
        /// How many there are.
        count: usize,
        /// What they follow.
        after: &'static str,
    },
    /// A CBOR tag other than that of COSE_Sign1.
    #[error("CBOR tag {found} is not that of COSE_Sign1 (18)")]
    Tag {
        /// The tag.
        found: u64,
    },
    /// The COSE structure has not four elements.
    #[error("a COSE_Sign1 array has 4 elements, this one {found}")]
    CoseLength {
        /// Its number of elements.
        found: u64,
    },
    /// The unprotected header is not the empty map.
    #[error("the unprotected header is not the empty map (a0): from byte {at} on stands {found}")]
    UnprotectedHeader {
        /// Where it should start.
        at: usize,
        /// What the document goes on with there, in hex: 64 bytes at most, and where there are more how many.
        found: String,
    },
    /// A field is longer than its limit.
    #[error("{field} is {found} bytes long, at most {limit} are read")]
    FieldTooLong {
        /// The field.
        field: &'static str,
        /// Its length in bytes.
        found: u64,
        /// The limit in bytes.
        limit: usize,
    },
    /// A map or array has more entries than its limit.
    #[error("{field} has more than {limit} entries")]
    TooManyEntries {
        /// The field.
        field: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A field stands in the payload twice.
    #[error("the field `{field}` stands in the payload twice")]
    DuplicateField {
        /// The field.
        field: &'static str,
    },
    /// A field no Nitro document has.
    #[error("the payload has an unknown field `{}`", .field.escape_default())]
    UnknownField {
        /// Its name, at most 64 bytes.
        field: String,
    },
    /// A required field is absent.
    #[error("the payload lacks the field `{field}`")]
    MissingField {
        /// The field.
        field: &'static str,
    },
    /// A document of NitroTPM: about a virtual machine, not an enclave.
    #[error(
        "this is a NitroTPM document, about a whole EC2 instance and not an enclave; such documents are not supported"
    )]
    NitroTpm,
    /// A register number above 31.
    #[error("{found} is not a PCR number (0 to 31)")]
    PcrIndex {
        /// The number.
        found: u64,
    },
    /// A register stands in the payload twice.
    #[error("{register} stands in the payload twice")]
    DuplicatePcr {
        /// The register.
        register: PcrIndex,
    },
    /// A register that is not 48 bytes long.
    #[error("{register} is {found} bytes long, a SHA-384 register has 48")]
    PcrLength {
        /// The register.
        register: PcrIndex,
        /// Its length in bytes.
        found: usize,
    },
    /// The certificate bundle is empty.
    #[error("the certificate bundle is empty")]
    EmptyCabundle,
}
names!(Malformed: TooLong, Truncated, UnexpectedType, NotShortest, ReservedHead, IndefiniteLength, NotUtf8,
    TrailingBytes, Tag, CoseLength, UnprotectedHeader, FieldTooLong, TooManyEntries, DuplicateField,
    UnknownField, MissingField, NitroTpm, PcrIndex, DuplicatePcr, PcrLength, EmptyCabundle);
