//! `cautiond`, the control plane, as a library. `specs/platform.md`.

pub mod clock;
pub mod job;
pub mod store;
