//! Container image to merged tree to canonical cpio to deterministic gzip.
//!
//! `specs/rootfs.md` is the normative text: every rule there has a test here.

pub mod cpio;
pub mod gzip;
mod limits;

pub use limits::Limits;
