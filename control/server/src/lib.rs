//! `cautiond`, the control plane, as a library. `specs/platform.md`.

pub mod bell;
pub mod clock;
pub mod git;
pub mod job;
pub mod provider;
pub mod store;
