//! What is compared: an enclave image, a folder, a container image, a ramdisk.

mod error;
mod folder;
mod layers;
mod listing;
#[cfg(test)]
mod tests;
mod tree;

use crate::entry::Entry;
use crate::ramdisk::{Beginning, Budget, Ramdisk};
use caution_eif::{SectionInfo, SectionKind};
use caution_measure::Sha256Digest;
use caution_rootfs::{Limits, Section, Tree, oci};
pub use error::SideError;
use layers::Wrote;
pub use listing::{Content, Layer, LayerName, Listed, Listing, Place};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One side of a comparison, recognised and open. What it holds may not change while it is read.
#[derive(Debug)]
pub struct Side {
    path: PathBuf,
    limits: Limits,
    facts: Facts,
    source: Source,
    layers: Vec<LayerFacts>,
    wrote: Wrote,
}

/// What a side is, and what it says as a whole.
#[derive(Debug)]
#[non_exhaustive]
pub enum Facts {
    /// An enclave image file, read to its end and measured.
    Eif {
        /// Header, sections, registers.
        image: Box<caution_eif::Image>,
        /// SHA-256 of each section's content, in file order.
        sections: Vec<Sha256Digest>,
    },
    /// A container image: an OCI layout, an archive of one, or what `docker save` writes.
    Container {
        /// Digest of the manifest.
        digest: Sha256Digest,
        /// Digest of the configuration: the image ID.
        config_digest: Sha256Digest,
        /// What it says about running it.
        config: oci::ImageConfig,
    },
    /// A ramdisk by itself.
    Ramdisk,
    /// A folder.
    Folder,
}

/// A layer before anything in it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFacts {
    /// What it is called.
    pub name: LayerName,
    /// SHA-256 of a ramdisk as it is stored: two with the same digest hold the same. `None` where nothing is stored
    /// in one piece.
    pub stored: Option<Sha256Digest>,
}

#[derive(Debug)]
enum Source {
    /// Ramdisks: ranges of a file.
    Ramdisks(Vec<Section>),
    Tree(Box<Tree>),
    Folder(PathBuf),
}

impl Side {
    /// Opens a file or folder and finds out what it is. An enclave image is read to its end, checked and measured; of
    /// a container image the layers are merged, compressed ones through nameless files in `scratch`.
    ///
    /// # Errors
    /// A [`SideError`]: among others when it is nothing that can be compared.
    pub fn open(path: &Path, limits: &Limits, scratch: &Path) -> Result<Self, SideError> {
        let unreadable = |source| SideError::Read { path: path.to_owned(), source };
        let found = std::fs::metadata(path).map_err(unreadable)?;
        if found.is_dir() && !path.join("oci-layout").exists() {
            return Ok(Self::single(
                path,
                limits,
                Facts::Folder,
                Source::Folder(path.to_owned()),
                LayerName::Folder,
            ));
        }
        if found.is_dir() {
            return Self::container(path, limits, scratch);
        }
        if !found.is_file() {
            return Err(SideError::NotAFile { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let mut start = Vec::new();
        file.by_ref().take(TAR_MAGIC_AT + 5).read_to_end(&mut start).map_err(unreadable)?;
        if start.starts_with(EIF_MAGIC) {
            return Self::eif(path, limits, file, found.len());
        }
        // Names in the first member of a tar archive may begin like anything.
        if start.ends_with(b"ustar") {
            return Self::container(path, limits, scratch);
        }
        match Beginning::of(&start) {
            Beginning::Archive | Beginning::Packed(_) | Beginning::Unsupported(_) => {
                Self::ramdisk(path, limits, file, found.len())
            }
            Beginning::Unknown => Err(SideError::Unrecognised { path: path.to_owned() }),
        }
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its layers, lowest first.
    pub fn layers(&self) -> &[LayerFacts] {
        &self.layers
    }

    /// Shows the entries of a layer in their order, each with the content that stands with it, until `visit` breaks
    /// off. Content that is not read is skipped. A layer that is not there has no entries.
    ///
    /// Paths are as they are stored; in a [`Listing`] they are as users see them.
    pub fn visit<E: From<SideError>>(
        &self,
        layer: usize,
        visit: impl FnMut(Entry, &mut dyn Read) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        self.visit_within(layer, Budget::new(&self.limits), visit).map(drop)
    }

    /// Like [`Side::visit`]; gives what is left of the budget.
    fn visit_within<E: From<SideError>>(
        &self,
        layer: usize,
        mut budget: Budget,
        mut visit: impl FnMut(Entry, &mut dyn Read) -> Result<ControlFlow<()>, E>,
    ) -> Result<Budget, E> {
        match &self.source {
            Source::Ramdisks(sections) => {
                let Some(section) = sections.get(layer) else { return Ok(budget) };
                let in_layer = |source| SideError::Ramdisk { layer: self.layers[layer].name, source };
                let mut ramdisk = Ramdisk::new(section.clone(), budget);
                while let Some(entry) = ramdisk.next_entry().map_err(in_layer)? {
                    if visit(entry, &mut ramdisk)?.is_break() {
                        return Ok(budget);
                    }
                }
                Ok(ramdisk.budget().unwrap_or(budget))
            }
            Source::Tree(tree) => tree::visit(tree, visit).map(|()| budget),
            Source::Folder(folder) => {
                for found in folder::walk(folder, &mut budget)? {
                    let (entry, mut content) = found;
                    if visit(entry, &mut content)?.is_break() {
                        break;
                    }
                }
                Ok(budget)
            }
        }
    }

    fn single(path: &Path, limits: &Limits, facts: Facts, source: Source, name: LayerName) -> Self {
        let layers = vec![LayerFacts { name, stored: None }];
        Self { path: path.to_owned(), limits: *limits, facts, source, layers, wrote: Wrote::Unknown }
    }

    fn container(path: &Path, limits: &Limits, scratch: &Path) -> Result<Self, SideError> {
        let image = oci::open(path, limits)
            .map_err(|source| SideError::Container { path: path.to_owned(), source })?;
        let tree = caution_rootfs::merge(&image, limits, scratch, None)?;
        let wrote = Wrote::of_container(&image);
        let oci::Image { digest, config_digest, config, .. } = image;
        let facts = Facts::Container { digest, config_digest, config };
        let side = Self::single(path, limits, facts, Source::Tree(Box::new(tree)), LayerName::Image);
        Ok(Self { wrote, ..side })
    }

    fn ramdisk(path: &Path, limits: &Limits, file: File, size: u64) -> Result<Self, SideError> {
        let section = Section::new(Arc::new(file), 0, size);
        if let Err(source) = Ramdisk::new(section.clone(), Budget::new(limits)).next_entry() {
            return Err(SideError::NotARamdisk { path: path.to_owned(), source });
        }
        Ok(Self::single(path, limits, Facts::Ramdisk, Source::Ramdisks(vec![section]), LayerName::Ramdisk(0)))
    }

    fn eif(path: &Path, limits: &Limits, file: File, size: u64) -> Result<Self, SideError> {
        let mut digests: BTreeMap<u64, Sha256> = BTreeMap::new();
        let file = Arc::new(file);
        let whole = Section::new(Arc::clone(&file), 0, size);
        let image = caution_eif::read_with(whole, &caution_eif::Limits::default(), |section, piece| {
            digests.entry(section.offset).or_default().update(piece);
            Ok(())
        })
        .map_err(|source| SideError::Eif { path: path.to_owned(), source })?;
        // An empty section was never seen.
        let digest = |section: &SectionInfo| digests.get(&section.offset).cloned().unwrap_or_default();
        let digest = |section| Sha256Digest::new(digest(section).finalize().into());
        let ramdisks: Vec<&SectionInfo> = image.sections_of(SectionKind::Ramdisk).collect();
        let sections: Vec<Section> = ramdisks
            .iter()
            .map(|ramdisk| Section::new(Arc::clone(&file), ramdisk.data_offset, ramdisk.size))
            .collect();
        let is_ours = sections.len() == 2 && begins_with_boot_plan(&sections[1], limits);
        let name = |index| match (is_ours, index) {
            (true, 0) => LayerName::EnclaveOs,
            (true, _) => LayerName::Application,
            (false, index) => LayerName::Ramdisk(index),
        };
        let layers = ramdisks
            .iter()
            .enumerate()
            .map(|(index, ramdisk)| LayerFacts { name: name(index), stored: Some(digest(ramdisk)) })
            .collect();
        let digests = image.sections.iter().map(digest).collect();
        let facts = Facts::Eif { image: Box::new(image), sections: digests };
        let (source, wrote) = (Source::Ramdisks(sections), Wrote::Unknown);
        Ok(Self { path: path.to_owned(), limits: *limits, facts, source, layers, wrote })
    }
}

/// Whether a ramdisk is an application that Caution packed: the plan sorts before everything else in it.
fn begins_with_boot_plan(ramdisk: &Section, limits: &Limits) -> bool {
    let first = Ramdisk::new(ramdisk.clone(), Budget::new(limits)).next_entry();
    matches!(first, Ok(Some(entry)) if entry.path == b"boot.json")
}

/// What an enclave image begins with.
const EIF_MAGIC: &[u8] = b".eif";
/// Where every tar archive since 1988 says `ustar`.
const TAR_MAGIC_AT: u64 = 257;
