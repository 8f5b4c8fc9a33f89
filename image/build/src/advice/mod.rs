//! What in a Containerfile will make the next build differ, said before anything is built.
//!
//! Advice, not judgement: it looks at words and never runs them. What it does not know it is silent about.

mod rules;
mod shell;

use crate::containerfile::{self, Containerfile};
use shell::Command;

/// One piece of advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// One-based line of the Containerfile.
    pub line: usize,
    /// The rule's stable name: `pip-without-hashes`.
    pub rule: &'static str,
    /// What stands there: one sentence with the words it is about.
    pub what: String,
    /// Why builds will differ.
    pub why: &'static str,
    /// What to write instead.
    pub fix: String,
}

/// The longest Containerfile anyone reads, in bytes.
pub const MAX_BYTES: u64 = containerfile::MAX_BYTES;

/// Reads a Containerfile and gives advice in the order of its lines; none: nothing was noticed.
///
/// Images without a digest are none of its matter where a `Containerfile.eif` pins them (`images_are_pinned`).
pub fn advise(text: &str, images_are_pinned: bool) -> Vec<Advice> {
    let parsed = containerfile::parse(text);
    let steps: Vec<Step> = parsed.runs.iter().map(|run| Step::new(run, &parsed)).collect();
    let file = File { text, parsed: &parsed, steps };
    let mut advice = rules::all(&file);
    advice.retain(|advice| !images_are_pinned || advice.rule != rules::UNPINNED_IMAGE);
    advice.sort_by(|a, b| (a.line, a.rule).cmp(&(b.line, b.rule)));
    advice.dedup_by(|a, b| (a.line, a.rule) == (b.line, b.rule));
    advice
}

/// What the rules look at.
struct File<'t> {
    text: &'t str,
    parsed: &'t Containerfile,
    steps: Vec<Step>,
}

impl File<'_> {
    fn commands(&self) -> impl Iterator<Item = (&Step, &Command)> {
        self.steps.iter().flat_map(|step| step.commands.iter().map(move |command| (step, command)))
    }

    /// Whether the text holds these words anywhere but in comments.
    fn mentions(&self, words: &str) -> bool {
        self.text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(words))
    }
}

/// A `RUN` and what it starts.
struct Step {
    line: usize,
    offline: bool,
    /// Whether its stage becomes the image.
    last_stage: bool,
    commands: Vec<Command>,
}

impl Step {
    fn new(run: &containerfile::Run, parsed: &Containerfile) -> Self {
        Self {
            line: run.line,
            offline: run.is_offline(),
            last_stage: run.stage + 1 == parsed.stages,
            commands: shell::commands(&run.script),
        }
    }

    fn starts(&self, programs: &[&str]) -> bool {
        self.commands.iter().any(|command| programs.contains(&command.program()))
    }
}

#[cfg(test)]
mod tests;
