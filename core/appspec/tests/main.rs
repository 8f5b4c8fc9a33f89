//! Vectors and properties of both file formats.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod common;
mod pages;
mod properties;
mod vectors;
