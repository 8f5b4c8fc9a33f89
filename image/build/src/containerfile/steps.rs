//! The instructions that can leave a layer, and the stages they stand in.

use super::Containerfile;
use super::lines::Instruction;

/// An instruction that can leave a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// One-based line.
    pub(crate) line: usize,
    /// Index of the stage it belongs to.
    pub(crate) stage: usize,
    /// `RUN`, `COPY`, `ADD` or `WORKDIR`.
    pub(crate) name: &'static str,
    /// Its flags.
    pub(crate) flags: Vec<String>,
    /// The words behind its flags.
    pub(crate) words: Vec<String>,
    /// All of it on one line, as written but for the space between words.
    pub(crate) written: String,
}

/// Where a stage begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    /// One-based line of its `FROM`.
    pub(crate) line: usize,
    /// All of its `FROM` on one line.
    pub(crate) written: String,
    /// The earlier stage that it goes on from; `None`: an image from outside.
    pub(crate) below: Option<usize>,
}

impl Step {
    /// The step that an instruction is, after so many stages have begun.
    pub(super) fn of(instruction: &Instruction<'_>, stages: usize) -> Option<Self> {
        let name = NAMES.into_iter().find(|name| instruction.is(name))?;
        let owned = |(word, ..): &(&str, usize, usize)| (*word).to_owned();
        let flags: Vec<String> = instruction.flags().map(owned).collect();
        let words = instruction.words[1 + flags.len()..].iter().map(owned).collect();
        let written = instruction.text();
        Some(Self { line: instruction.line, stage: stages.checked_sub(1)?, name, flags, words, written })
    }
}

impl Containerfile {
    /// The stages that became the image, the last one last: a stage can go on from another.
    pub(crate) fn stages_of_image(&self) -> Vec<usize> {
        let last = self.begins.len().checked_sub(1);
        // A stage goes on from an earlier one.
        let mut stages: Vec<usize> = std::iter::successors(last, |stage| self.begins[*stage].below).collect();
        stages.reverse();
        stages
    }
}

const NAMES: [&str; 4] = ["RUN", "COPY", "ADD", "WORKDIR"];
