//! Two enclave images, or folders, or container images: which files differ, and why.
//!
//! | item | for |
//! |---|---|
//! | [`Side`] | opens whatever is compared; its [`Listing`], and the content of chosen files |
//! | [`Ramdisk`] | the entries of a ramdisk as Linux unpacks it, as a stream |
//! | [`compare`] | two sides → [`Comparison`]: everything that differs, the most telling first |
//! | [`Comparison::to_text`], [`Comparison::to_html`] | the same in words |
//! | [`compare_contents`] | two contents of one path: what changed, with the [`Cause`]s that are shown |
//! | [`packages`] | names and versions in the files where package managers keep them |
//! | [`extract`] | layers of a side as folders, never outside of them |

mod cause;
mod content;
mod diff;
mod entry;
mod extract;
mod ramdisk;
mod report;
mod side;
#[cfg(test)]
mod testing;

pub use cause::{Attribution, Cause};
pub use content::{Change, Explanation, compare as compare_contents, packages};
pub use diff::{
    Aspect, Comparison, DiffLimits, Difference, EntryFacts, LayerComparison, LayerOutcome, PackageDifference,
    RegisterDifference, Status, WrittenBy, compare, open_both,
};
pub use entry::{Entry, Kind, KindName};
pub use extract::{ExtractError, Extracted, ExtractedLayer, extract};
pub use ramdisk::{Budget, Ramdisk, RamdiskError};
pub use report::{Finding, PageTitle};
pub use side::{Content, Facts, Layer, LayerFacts, LayerName, Listed, Listing, Place, Side, SideError};
