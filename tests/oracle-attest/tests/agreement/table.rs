//! Where the others and we disagree, and why.
//!
//! A row's key is the refusal by which we refuse what they accept, or the name of a document that we accept and they refuse.

/// `nsm-nitro-enclave-utils` reads CBOR with serde, and chains with webpki.
const NSM: &str = "nsm-nitro-enclave-utils";
/// `epsilon-attestation-verifier` reads CBOR with cbor2, and chains with cryptography.
const PYTHON: &str = "epsilon-attestation-verifier";

type Row = (&'static str, &'static [&'static str], &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // The encoding.
    ("NotShortest", &[NSM, PYTHON], "numbers and lengths may have any width"),
    ("IndefiniteLength", &[NSM, PYTHON], "strings and arrays may have an indefinite length"),
    ("UnexpectedType", &[NSM, PYTHON], "a field's name, or a text, may be a byte string"),
    ("UnknownField", &[NSM, PYTHON], "fields that no Nitro document has are skipped"),
    ("DuplicatePcr", &[NSM, PYTHON], "the last of several registers of one number counts"),
    ("DuplicateField", &[PYTHON], "the last of several fields of one name counts"),
    ("TrailingBytes", &[PYTHON], "bytes after the first item are not looked at"),
    ("FieldTooLong", &[NSM, PYTHON], "some fields have no limit, or a higher one"),
    ("TooManyEntries", &[NSM], "the number of registers has no limit"),
    ("PcrIndex", &[NSM], "register numbers have no limit"),
    ("PcrLength", &[NSM, PYTHON], "registers may have the length of other hash functions"),
    ("UnprotectedHeader", &[NSM, PYTHON], "the unprotected header, which nobody signs, may hold something"),
    ("ProtectedHeader", &[NSM, PYTHON], "the signature is taken for ES384 whatever, or whatever else, the header says"),
    ("ok-tagged", &[NSM], "a COSE tag is refused"),
    ("ok-longest-caller-fields", &[PYTHON], "user_data and nonce have at most 512 bytes; real documents carry 1024"),
    ("20240907T143739Z-72ffd835.cose", &[PYTHON], "user_data and nonce have at most 512 bytes; real documents carry 1024"),
    ("20240907T143806Z-f67dfb87.cose", &[PYTHON], "user_data and nonce have at most 512 bytes; real documents carry 1024"),
    // Certificates and their path.
    ("Der", &[NSM, PYTHON], "certificates are read less strictly"),
    ("Serial", &[NSM, PYTHON], "a serial number may be longer than RFC 5280 allows"),
    ("Version", &[PYTHON], "a certificate may have version 1"),
    ("UniqueIdentifier", &[PYTHON], "a certificate may have unique identifiers"),
    ("KeyPoint", &[NSM, PYTHON], "a key may be compressed"),
    ("UnknownRoot", &[NSM, PYTHON], "the root of the bundle is not compared: the given one counts by its name and key"),
    ("PathLength", &[NSM, PYTHON], "a path is looked for among the bundle's certificates, in whatever order they stand"),
    ("NoCertSign", &[NSM, PYTHON], "an authority needs no keyUsage, or none that says so"),
    ("NoDigitalSignature", &[NSM, PYTHON], "a leaf needs no keyUsage, or none that says so"),
    ("LeafIsCa", &[PYTHON], "a leaf may be an authority"),
    ("UnknownCriticalExtension", &[NSM], "critical extensions that it does not know are accepted"),
    // Times.
    ("Expired", &[NSM, PYTHON], "the last second is valid to its end; Python's is told not to look at expiry"),
    ("NotYetValid", &[NSM, PYTHON], "a root's validity is not looked at; Python's looks at the clock only"),
    ("TimestampOutsideLeaf", &[NSM, PYTHON], "the document's own time is not compared with anything"),
    ("FromTheFuture", &[NSM, PYTHON], "the document's own time is not compared with anything"),
    // What it says.
    ("Digest", &[NSM], "the hash function may be another"),
    ("EmptyModuleId", &[NSM], "the module's name may be empty"),
    ("MissingPcr", &[NSM, PYTHON], "PCR0, PCR1 and PCR2 may be absent"),
    ("PartlyZero", &[NSM, PYTHON], "some of PCR0, PCR1 and PCR2 may be zero"),
];

/// Whether a row is about this.
pub(crate) fn explains(verifier: &str, key: &str) -> bool {
    keys(verifier).any(|known| known == key)
}

/// What the rows about a verifier are about.
pub(crate) fn keys(verifier: &str) -> impl Iterator<Item = &'static str> {
    ROWS.iter().filter(move |(_, verifiers, _)| verifiers.contains(&verifier)).map(|(key, ..)| *key)
}
