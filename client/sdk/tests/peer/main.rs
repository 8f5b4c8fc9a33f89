//! The client against a server over `core/steve`, and against a host that is not on its side.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests stop at what they did not expect, as tests do"
)]

mod app;
mod hostile;
mod order;
mod requests;
mod support;
mod trust;
