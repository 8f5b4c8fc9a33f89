//! A comparison in words: for terminals, for programs, for a browser.

mod html;
mod text;

pub use html::PageTitle;

use crate::cause::{Attribution, Cause};
use crate::diff::{Aspect, Comparison, Difference, EntryFacts, LayerComparison, LayerOutcome, Status};
use std::borrow::Cow;

/// Differences with one story: a file by itself, or everything that one package, umask or owner explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding<'c> {
    /// The most telling of them.
    pub first: &'c Difference,
    /// How many more there are.
    pub more: usize,
}

impl Comparison {
    /// Whether anything differs: an entry, a section, a register, or something that could not be compared.
    pub fn is_same(&self) -> bool {
        self.differences.is_empty()
            && self.registers.as_ref().is_none_or(Vec::is_empty)
            && self
                .layers
                .iter()
                .all(|layer| layer.outcome != LayerOutcome::NotCompared && layer.problems.is_empty())
    }

    /// The differences, the most telling first, told once where many have one cause.
    pub fn findings(&self) -> Vec<Finding<'_>> {
        let mut findings: Vec<Finding<'_>> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        for difference in &self.differences {
            let story = story(difference);
            let known: Option<usize> = story.and_then(|story| seen.get(&story).copied());
            if let Some(index) = known {
                findings[index].more += 1;
                continue;
            }
            if let Some(story) = story {
                seen.insert(story, findings.len());
            }
            findings.push(Finding { first: difference, more: 0 });
        }
        findings
    }

    /// Which registers differ, and so which layer; `None` where none does or a side has none.
    pub fn register_words(&self) -> Option<&'static str> {
        let registers = self.registers.as_ref()?;
        let has = |number: u8| registers.iter().any(|difference| difference.register == number);
        Some(match (has(0), has(1), has(2), has(8)) {
            (_, true, true, _) => "PCR1 and PCR2 differ: EnclaveOS and the application",
            (_, true, false, _) => "PCR1 differs: the EnclaveOS layer",
            (_, false, true, _) => "PCR2 differs: the application layer (its files, or how it is started)",
            (false, false, false, true) => "PCR8 differs: the same image, signed by others or not at all",
            (true, false, false, _) => {
                "PCR0 alone differs: the layers are the same in another order or split"
            }
            (false, false, false, false) => return None,
        })
    }
}

impl LayerComparison {
    /// What both sides call it, or each.
    fn name(&self) -> String {
        match (&self.left, &self.right) {
            (Some(left), Some(right)) if left != right => format!("{left} and {right}"),
            (left, right) => left.clone().or_else(|| right.clone()).unwrap_or_default(),
        }
    }

    /// How its two sides compare.
    const fn words(&self) -> &'static str {
        match (self.outcome, &self.left) {
            (LayerOutcome::SameBytes, _) => "the same bytes",
            (LayerOutcome::SameEntries, _) => "the same entries",
            (LayerOutcome::Differ, _) => "differs",
            (LayerOutcome::NotCompared, Some(_)) => "not compared: only the left has one",
            (LayerOutcome::NotCompared, None) => "not compared: only the right has one",
        }
    }
}

impl Difference {
    /// Its path, or that it is about a layer as a whole.
    fn name(&self) -> Cow<'_, str> {
        if self.path.is_empty() {
            format!("{} (as a whole)", self.layer).into()
        } else {
            self.path.as_str().into()
        }
    }

    /// What wrote it, in words: once where both sides say the same or only one says anything.
    fn written_words(&self) -> Vec<String> {
        let of = |facts: &Option<EntryFacts>| Some(facts.as_ref()?.written_by.as_ref()?.to_string());
        match (of(&self.left), of(&self.right)) {
            (Some(left), Some(right)) if left != right => {
                vec![format!("written on the left by: {left}"), format!("written on the right by: {right}")]
            }
            (left, right) => left.or(right).map(|step| format!("written by: {step}")).into_iter().collect(),
        }
    }

    /// What stays open about it; `None` where everything is explained, or only one side has it.
    fn open_words(&self) -> Option<Cow<'static, str>> {
        match self.not_looked_into {
            Some(why) => Some(format!("not looked into: {why}").into()),
            None if !self.unexplained || self.status != Status::Changed => None,
            None if self.attributions.is_empty() => Some("cause unknown".into()),
            None => Some("not everything is explained by this".into()),
        }
    }
}

/// What many differences can have in common.
fn story(difference: &Difference) -> Option<(Cause, &str)> {
    let Attribution { cause, evidence, .. } = difference.attributions.first()?;
    let only_around = !difference.aspects.is_empty()
        && difference
            .aspects
            .iter()
            .all(|aspect| matches!(aspect, Aspect::Mode | Aspect::Owner | Aspect::Mtime));
    let shared = *cause == Cause::PackageVersion
        || (only_around && difference.attributions.len() == 1 && difference.status == Status::Changed);
    shared.then_some((*cause, evidence.as_str()))
}
