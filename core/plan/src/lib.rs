//! AppSpec plus image configuration to boot plan and manifest; builder and verifier call the same function.
//!
//! Everything here is a pure function: the same inputs give the same bytes on every machine.

mod boot;
mod claims;
mod manifest;
mod ways;

pub use boot::{ImageProcess, MAX_COMMAND_BYTES, PlanError, boot_plan};
pub use claims::{Disagreement, Expected, disagreements, logs_in_words};
pub use manifest::{SourceIdentity, manifest};
pub use ways::{TLS_ENDS_OUTSIDE, channel_in_words};
