//! Which step of a container's build wrote a file, where a side knows.

use super::{Facts, LayerName, Side, Source};
use caution_appspec::excerpt;
use caution_rootfs::oci::Image;
use caution_rootfs::{LayerRecord, LayerStep};

/// Who knows.
#[derive(Debug)]
pub(super) enum Wrote {
    Unknown,
    /// The steps that left the layers of a container image.
    Container(Vec<LayerStep>),
    /// What the build of an enclave image left beside it.
    Beside(LayerRecord),
}

impl Wrote {
    /// A container image says it itself; where its lines stand, nobody knows.
    pub(super) fn of_container(image: &Image) -> Self {
        let Some(steps) = image.steps_of_layers() else { return Self::Unknown };
        let said = |index: usize| excerpt(&image.history[index].created_by, LONGEST);
        let step = |index| LayerStep { instruction: said(index), place: None };
        Self::Container(steps.into_iter().map(step).collect())
    }
}

impl Side {
    /// Takes what a build left beside an enclave image, where that is there.
    pub(crate) fn with_record(self) -> Self {
        let record = match &self.facts {
            Facts::Eif { image, .. } => LayerRecord::beside(&self.path, &image.sha256),
            _ => None,
        };
        Self { wrote: record.map_or(self.wrote, Wrote::Beside), ..self }
    }

    /// The step that wrote what stands under a path, as a listing has it: the number of its layer, from 1, and what it
    /// was. `None` for directories, which every layer names.
    pub(crate) fn step_of(&self, layer: LayerName, path: &[u8]) -> Option<(usize, &LayerStep)> {
        // What stands beside an application's root no container's build wrote.
        let path = path.strip_prefix(b"/")?;
        match (&self.wrote, &self.source, layer) {
            (Wrote::Container(steps), Source::Tree(tree), LayerName::Image) => {
                let layer = tree.layer_of(path)?;
                Some((layer, steps.get(layer.checked_sub(1)?)?))
            }
            (Wrote::Beside(record), _, LayerName::Application) => record.step_of(path),
            _ => None,
        }
    }
}

/// The longest instruction that is kept, in characters.
const LONGEST: usize = 300;
