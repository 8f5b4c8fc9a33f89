//! The HTTP API, asked over a real connection.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

mod access;
mod app;
mod known;
mod scene;
mod streams;
