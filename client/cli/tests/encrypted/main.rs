//! `caution curl` and `caution proxy` against steved on loopback, with evidence of a development root.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

mod curl;
mod enclave;
mod https;
mod pages;
mod proxy;
