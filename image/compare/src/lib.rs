//! Two enclave images, or folders, or container images: which files differ, and why.
//!
//! | item | for |
//! |---|---|
//! | [`Side`] | opens whatever is compared; its [`Listing`], and the content of chosen files |
//! | [`Ramdisk`] | the entries of a ramdisk as Linux unpacks it, as a stream |
//! | [`Cause`] | why two builds differ |

mod cause;
mod entry;
mod ramdisk;
mod side;
#[cfg(test)]
mod testing;

pub use cause::{Attribution, Cause};
pub use entry::{Entry, Kind};
pub use ramdisk::{Budget, Ramdisk, RamdiskError};
pub use side::{Content, Facts, Layer, LayerFacts, LayerName, Listed, Listing, Place, Side, SideError};
