//! Two enclave images, or folders, or container images: which files differ, and why.
//!
//! | item | for |
//! |---|---|
//! | [`Side`] | opens whatever is compared; its [`Listing`], and the content of chosen files |
//! | [`Ramdisk`] | the entries of a ramdisk as Linux unpacks it, as a stream |
//! | [`compare`] | two contents of one path: what changed, with the [`Cause`]s that are shown |
//! | [`packages`] | names and versions in the files where package managers keep them |

mod cause;
mod content;
mod entry;
mod ramdisk;
mod side;
#[cfg(test)]
mod testing;

pub use cause::{Attribution, Cause};
pub use content::{Change, Explanation, compare, packages};
pub use entry::{Entry, Kind};
pub use ramdisk::{Budget, Ramdisk, RamdiskError};
pub use side::{Content, Facts, Layer, LayerFacts, LayerName, Listed, Listing, Place, Side, SideError};
