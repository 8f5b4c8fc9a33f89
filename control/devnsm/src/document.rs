//! Writing attestation documents: Nitro's shape by default, every part replaceable.
//!
//! The defaults are what an honest module writes. Everything is a public field, so that a test can
//! write what no honest module would: a wrong header, a key that may not sign, a map with two equal
//! keys. Nothing here is random or reads a clock; signatures are deterministic (RFC 6979).

mod cbor;
mod certificate;
mod chain;
mod cose;

pub use cbor::Value;
pub use certificate::{Certificate, Extension, key_usage, name, spki};
pub(crate) use chain::root_certificate;
pub use chain::{Chain, Keys, Window};
pub use cose::{Document, PROTECTED_ES384, Payload};

/// DER's tag, length, value.
pub mod der;
