//! Which instruction of a Containerfile wrote a file.

use crate::content::without_secrets;
use crate::side::{LayerName, Side};
use caution_appspec::excerpt;
use caution_rootfs::{LayerStep, StepPlace};
use serde::Serialize;
use std::fmt;

/// The step of a container's build whose layer wrote a file last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrittenBy {
    /// Its layer, the lowest is 1.
    pub layer: usize,
    /// The instruction as it stands in the Containerfile; what the engine says did it where no line is known.
    pub instruction: String,
    /// The Containerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containerfile: Option<String>,
    /// The instruction's line in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Whether the layer is one of the base image, and the instruction its `FROM`.
    pub base_image: bool,
}

impl WrittenBy {
    /// What is known of a path in a listing of that layer.
    pub(super) fn of(side: &Side, layer: LayerName, path: &[u8]) -> Option<Self> {
        let (layer, LayerStep { instruction, place }) = side.step_of(layer, path)?;
        // What is written down in a key's own form ends in front of it.
        let shown = |text: &str| {
            let (before, key) = text.split_once(PEM).map_or((text, ""), |(before, _)| (before, "…"));
            excerpt(&without_secrets(before), LONGEST) + key
        };
        let StepPlace { file, line, base_image } = match place {
            Some(place) => place.clone(),
            None => return Some(Self::recorded(layer, shown(instruction))),
        };
        let (containerfile, line) = (Some(excerpt(&file, LONGEST)), Some(line));
        Some(Self { layer, instruction: shown(instruction), containerfile, line, base_image })
    }

    const fn recorded(layer: usize, instruction: String) -> Self {
        Self { layer, instruction, containerfile: None, line: None, base_image: false }
    }
}

impl fmt::Display for WrittenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, instruction, containerfile, line, base_image } = self;
        match (containerfile, line) {
            (Some(file), Some(line)) if *base_image => {
                write!(f, "the base image, {file}:{line} {instruction}")
            }
            (Some(file), Some(line)) => write!(f, "{file}:{line} {instruction}"),
            _ => write!(f, "layer {layer}, which the engine says is of: {instruction}"),
        }
    }
}

/// How keys begin.
const PEM: &str = "-----BEGIN ";
/// The longest instruction that is shown, in characters.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests;
