//! Container image to merged tree to canonical cpio to deterministic gzip.
//!
//! `specs/rootfs.md` is the normative text: every rule there has a test here.
//!
//! | step | function |
//! |---|---|
//! | OCI layout or archive → image | [`oci::open`] |
//! | image → tree | [`merge`]; [`merge_archives`] where the layers' archives are at hand |
//! | unpacked image → tree | [`walk`] |
//! | `USER` → numbers | [`resolve_user`] |
//! | tree → canonical archive | [`Tree::write_cpio`] |
//! | archive → bytes that are measured | [`gzip::GzipWriter`] |
//! | … without doing again what was done before | [`Store`] |
//! | tree → which step of the build wrote what | [`LayerRecord`] |

mod archive;
mod bounded;
pub mod cpio;
pub mod gzip;
mod limits;
pub mod oci;
mod record;
mod section;
mod store;
mod tree;
mod zstd;

pub use archive::{Globals, Member, MemberKind, Reader as TarReader, SparseMap, TarError};
pub use limits::{LimitError, Limits};
pub use record::{LayerRecord, LayerStep, StepPlace};
pub use section::Section;
pub use store::{Reuse, Store};
pub use tree::{
    DroppedXattr, EntryError, ResolvedUser, RootfsError, Tree, UserError, merge, merge_archives,
    resolve_user, walk,
};
pub use zstd::ZstdReader;
