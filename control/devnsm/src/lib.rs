//! A development root and an NSM emulator: documents of Nitro's shape that prove no hardware.
//!
//! On machines without Nitro, an enclave's security-module requests come over vsock to the host,
//! which measured the image itself and answers with [`DevNsm`]. Its documents have Nitro's shape to
//! the byte, and a root of this installation alone ([`DevRoot`]) whose every name says
//! "DEVELOPMENT, not hardware". A verifier trusts it only where a user names it.
//!
//! [`document`] writes documents, whole or broken, for this emulator and for the test vectors.

pub mod document;
mod nsm;
mod root;

pub use nsm::{DevNsm, LEAF_LIFETIME_SECONDS, expired_document};
pub use root::{CERTIFICATE_FILE, DevRoot, DevRootError, KEY_FILE};
