//! Two enclave images, or folders, or container images: which files differ, and why.

mod cause;

pub use cause::{Attribution, Cause};
