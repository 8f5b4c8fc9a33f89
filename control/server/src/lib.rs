//! `cautiond`, the control plane, as a library. `specs/platform.md`.

pub mod app;
pub mod bell;
pub mod clock;
pub mod config;
pub mod data;
pub mod git;
pub mod http;
pub mod job;
pub mod local;
pub mod provider;
pub mod serve;
pub mod store;
pub mod webauthn;
