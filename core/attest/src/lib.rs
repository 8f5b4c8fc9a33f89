//! A strict verifier of Nitro attestation documents: evidence, roots and a question in, [`Verified`] or a named refusal out.
//!
//! Nothing here reads a clock, a file, the network or random numbers: the time, the roots and the
//! challenge are arguments, so a verdict can be replayed anywhere, years later.
//!
//! ```
//! use caution_attest::{Blame, Evidence, Expected, Live, Roots, UnixMillis};
//!
//! # let (document, nonce) = (vec![0u8; 4], [7u8; 32]);
//! let live = Live { now: UnixMillis(1_768_478_400_000), nonce: &nonce, max_age_ms: 300_000 };
//! let verdict = Evidence::parse(&document)
//!     .map_err(Into::into)
//!     .and_then(|evidence| evidence.verify(&Roots::aws(), &live, &Expected::default()));
//! match verdict {
//!     Ok(verified) => println!("{}", verified.measurements().pcr0),
//!     Err(refusal) => assert_eq!(refusal.kind(), Blame::Malformed),
//! }
//! ```
//!
//! The rules, in the order in which they are applied, and every refusal's name: `specs/attestation.md`.
//! Its vectors: `specs/vectors/attest/`.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

mod cbor;
mod certificate;
mod chain;
mod error;
mod evidence;
mod excerpt;
mod intermediates;
mod names;
mod policy;
mod roots;
mod signature;
mod time;
mod verified;

pub use certificate::CertificateSummary;
pub use error::{Blame, CertificateError, Malformed, Mismatch, Mismatches, Position, RootError, VerifyError};
pub use evidence::{Evidence, Unverified, UnverifiedFields, limits};
pub use intermediates::Intermediates;
pub use policy::{Archived, Checked, DebugPolicy, Expected, Live};
pub use roots::{AWS_ROOT_G1_SHA256, RootKind, Roots};
pub use time::UnixMillis;
pub use verified::{Authentic, Verified};
