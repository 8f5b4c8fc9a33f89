//! Enclave image files (EIF): written and read as streams, with their PCRs.
//!
//! `specs/eif.md` is the normative text; its source is the `aws-nitro-enclaves-image-format` crate,
//! which also judges this one in `tests/oracle-eif`. Nothing here opens a file: callers hand over
//! anything that reads, writes and seeks.
//!
//! | item | for |
//! |---|---|
//! | [`Writer`] | kernel, command line, metadata and ramdisks → EIF, measured while written |
//! | [`read`], [`read_with`] | EIF → [`Image`]: checked, measured and (with a sink) taken apart in one pass |
//! | [`Signer`], [`Image::signature`] | section and register of a signed image, made and checked |
//! | [`Metadata`] | the unmeasured JSON section, always the same bytes |

mod error;
mod header;
mod measure;
mod metadata;
mod read;
mod signature;
mod write;

pub use error::EifError;
pub use header::{Arch, Header, HeaderOptions, SectionInfo, SectionKind};
pub use metadata::Metadata;
pub use read::{Image, Limits, read, read_with};
pub use signature::{SignatureError, Signer, SigningCertificate};
pub use write::{SectionWriter, Writer, Written};
