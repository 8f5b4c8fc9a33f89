//! PCRs, measurements, digests and nonces: the values everything else compares.
//!
//! All textual forms are lower-case hex without prefix; upper-case input is accepted.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod bytes;
mod pcr;

pub use bytes::{HexError, Nonce, Sha256Digest};
pub use pcr::{ImagePcrs, Measurements, MeasurementsTextError, Pcr, PcrHasher, PcrIndex, PcrIndexError};
