//! Which line of a Containerfile left which layer of an image.
//!
//! An engine writes down what left each layer in words of its own (`specs/build.md` §7). They are compared with the
//! file's instructions, and a line is named only where nothing else can be meant.

use crate::containerfile::{Containerfile, Step};
use caution_appspec::excerpt;
use caution_rootfs::oci::{self, Image};
use caution_rootfs::{LayerStep, StepPlace};
use std::collections::HashMap;

/// The step that left each layer, the lowest first; none where the engine does not say. `built_from` is the
/// Containerfile's name with what it says, where the image was built from one.
pub(crate) fn steps(image: &Image, built_from: Option<(&str, &Containerfile)>) -> Vec<LayerStep> {
    let Some(of_layers) = image.steps_of_layers() else { return Vec::new() };
    let lines = built_from.map(|(_, parsed)| Lines::of(&image.history, parsed)).unwrap_or_default();
    let file = built_from.map_or("", |(file, _)| file);
    let step = |index: usize| match lines.of_entry(index) {
        Some((line, written, base_image)) => LayerStep {
            instruction: excerpt(written, LONGEST),
            place: Some(StepPlace { file: excerpt(file, LONGEST), line, base_image }),
        },
        None => LayerStep { instruction: excerpt(&image.history[index].created_by, LONGEST), place: None },
    };
    of_layers.into_iter().map(step).collect()
}

/// What entries of a history are known to be.
#[derive(Default)]
struct Lines<'c> {
    /// Instructions by the index of their entry.
    steps: HashMap<usize, &'c Step>,
    /// The base image: its line, its `FROM`, and how many entries are its own.
    base: Option<(usize, &'c str, usize)>,
}

impl<'c> Lines<'c> {
    fn of(history: &[oci::Step], parsed: &'c Containerfile) -> Self {
        let stages = parsed.stages_of_image();
        let steps: Vec<&Step> = stages
            .iter()
            .flat_map(|stage| parsed.steps.iter().filter(move |step| step.stage == *stage))
            .collect();
        let Some(pairs) = pairs(history, &steps) else { return Self::default() };
        // Whatever stands before the first instruction's entry, no instruction left.
        let first = pairs.iter().find(|(_, step)| *step == 0).map(|(entry, _)| *entry);
        let below = stages.first().map(|stage| &parsed.begins[*stage]);
        let base = first.zip(below).map(|(entries, from)| (from.line, from.written.as_str(), entries));
        Self { steps: pairs.into_iter().map(|(entry, step)| (entry, steps[step])).collect(), base }
    }

    /// Line, instruction, and whether it is the base image's `FROM`.
    fn of_entry(&self, entry: usize) -> Option<(usize, &'c str, bool)> {
        let base =
            || self.base.filter(|(.., entries)| entry < *entries).map(|(line, from, _)| (line, from, true));
        self.steps.get(&entry).map(|step| (step.line, step.written.as_str(), false)).or_else(base)
    }
}

/// Entries with their instructions, in order. Words that as many entries say as instructions mean them in that order;
/// where there are more, of the base image for example, or fewer, none of them has a line. `None` where the orders of
/// both disagree.
fn pairs(history: &[oci::Step], steps: &[&Step]) -> Option<Vec<(usize, usize)>> {
    let mut said: HashMap<String, (Vec<usize>, Vec<usize>)> = HashMap::new();
    for (index, entry) in history.iter().enumerate() {
        if let Some(words) = words_of_entry(&entry.created_by) {
            said.entry(words).or_default().0.push(index);
        }
    }
    for (index, step) in steps.iter().enumerate() {
        for words in words_of_step(step) {
            if let Some((_, steps)) = said.get_mut(&words) {
                steps.push(index);
            }
        }
    }
    let as_many = said.into_values().filter(|(entries, steps)| entries.len() == steps.len());
    let mut pairs: Vec<(usize, usize)> =
        as_many.flat_map(|(entries, steps)| entries.into_iter().zip(steps)).collect();
    pairs.sort_unstable();
    pairs.windows(2).all(|two| two[0].1 < two[1].1).then_some(pairs)
}

/// What an engine wrote down, without what depends on the engine; `None` where it is in no known form.
fn words_of_entry(created_by: &str) -> Option<String> {
    let words: Vec<&str> = created_by.split_ascii_whitespace().collect();
    let (words, buildkit) = match &*words {
        [words @ .., "#", "buildkit"] => (words, true),
        words => (words, false),
    };
    match words {
        // buildah: the digest of what was copied in place of its name.
        ["/bin/sh", "-c", "#(nop)", name @ ("COPY" | "ADD"), _, "in", to] => Some(placed(name, to)),
        ["/bin/sh", "-c", "#(nop)", rest @ ..] => Some(rest.join(" ")),
        ["RUN", rest @ ..] if buildkit => ran(rest),
        // BuildKit, whose WORKDIR alone says nothing of it.
        ["WORKDIR", ..] => Some(words.join(" ")),
        words if buildkit => Some(words.join(" ")),
        words => ran(words),
    }
}

/// What the shell ran; in front of it stands, where there are any, how many arguments of the build, and these.
fn ran(words: &[&str]) -> Option<String> {
    let arguments = words.first().is_some_and(|word| word.starts_with('|'));
    let shell = words.windows(2).position(|two| *two == ["/bin/sh", "-c"])?;
    (shell == 0 || arguments).then(|| format!("RUN {}", words[shell + 2..].join(" ")))
}

/// Everything that an entry of this instruction can say.
fn words_of_step(step: &Step) -> Vec<String> {
    let Step { name, flags, words, .. } = step;
    let with = |flags: &[&String]| {
        let all: Vec<&str> =
            flags.iter().map(|flag| flag.as_str()).chain(words.iter().map(String::as_str)).collect();
        format!("{name} {}", all.join(" "))
    };
    let all: Vec<&String> = flags.iter().collect();
    let without_from: Vec<&String> = flags.iter().filter(|flag| !flag.starts_with("--from=")).collect();
    let mut said = vec![with(&[]), with(&all), with(&without_from)];
    if let ("COPY" | "ADD", Some(to)) = (*name, words.last()) {
        said.push(placed(name, to));
    }
    said.sort_unstable();
    said.dedup();
    said
}

/// Content of any name, put there.
fn placed(name: &str, to: &str) -> String {
    format!("{name} … {to}")
}

/// The longest instruction that is kept, in characters.
const LONGEST: usize = 300;

#[cfg(test)]
mod tests;
