//! The report for a terminal.

use super::Finding;
use crate::diff::{Aspect, Comparison, Difference, EntryFacts, LayerComparison, Status};
use std::fmt::Write as _;

impl Comparison {
    /// What differs, in words: registers, layers, then at most `most` findings.
    pub fn to_text(&self, most: usize) -> String {
        let mut text = String::new();
        self.registers_text(&mut text);
        for layer in &self.layers {
            layer_text(&mut text, layer);
        }
        if self.differences.is_empty() {
            text.push_str(if self.is_same() { "\n  nothing differs\n" } else { "\n  no file differs\n" });
            return text;
        }
        text + "\n" + &self.findings_text(most)
    }

    /// At most `most` findings, under a line that says how many differences there are.
    pub fn findings_text(&self, most: usize) -> String {
        let (findings, count) = (self.findings(), self.differences.len());
        let noun = if count == 1 { "difference" } else { "differences" };
        let mut text = format!("  {count} {noun}, most telling first\n\n");
        for finding in findings.iter().take(most) {
            finding.write(&mut text);
        }
        if let Some(left) = findings.len().checked_sub(most).filter(|left| *left > 0) {
            let _ = writeln!(text, "  … and {left} more");
        }
        text
    }

    fn registers_text(&self, text: &mut String) {
        let Some(words) = self.register_words() else { return };
        let _ = writeln!(text, "  {words}\n");
        for difference in self.registers.iter().flatten() {
            let shown = |pcr: &Option<caution_measure::Pcr>| {
                pcr.as_ref().map_or_else(|| "none".to_owned(), caution_measure::Pcr::abbreviated)
            };
            let (left, right) = (shown(&difference.left), shown(&difference.right));
            let _ = writeln!(text, "  PCR{}  {left} → {right}", difference.register);
        }
        text.push('\n');
    }
}

fn layer_text(text: &mut String, layer: &LayerComparison) {
    let _ = writeln!(text, "  {:<12} {}", layer.name(), layer.words());
    for problem in &layer.problems {
        let _ = writeln!(text, "    {problem} There may be more than was seen.");
    }
}

impl Finding<'_> {
    /// The finding as an indented paragraph.
    pub(super) fn write(&self, text: &mut String) {
        let difference = self.first;
        let _ = write!(text, "    {}", headline(difference));
        if self.more > 0 {
            let _ = write!(text, ", and {} more", self.more);
        }
        text.push('\n');
        for words in difference.written_words() {
            let _ = writeln!(text, "      {words}");
        }
        let shown_changes = if difference.attributions.is_empty() { 3 } else { 1 };
        let content = difference.content.as_ref();
        let says_more = |change: &&crate::content::Change| {
            let told = |attribution: &crate::cause::Attribution| {
                attribution.evidence.contains(change.what.trim_end())
            };
            !difference.attributions.iter().any(told)
        };
        let changes = content.map_or(&[][..], |content| &content.changes).iter();
        for change in changes.filter(says_more).take(shown_changes) {
            let place = if change.place.is_empty() { String::new() } else { format!("{}: ", change.place) };
            // A hunk has lines of its own.
            let what = change.what.trim_end().replace('\n', "\n        ");
            let place = if what.contains('\n') { format!("{}\n        ", place.trim_end()) } else { place };
            let _ = writeln!(text, "      {place}{what}");
        }
        for attribution in &difference.attributions {
            let _ = writeln!(text, "      {}: {}", attribution.cause, attribution.evidence);
            let _ = writeln!(text, "        fix: {}", attribution.fix);
        }
        if let Some(words) = difference.open_words() {
            let _ = writeln!(text, "      {words}");
        }
        text.push('\n');
    }
}

/// Path, what happened to it, and sizes.
fn headline(difference: &Difference) -> String {
    let Difference { status, left, right, aspects, content, .. } = difference;
    let name = difference.name();
    let of = |facts: &Option<EntryFacts>| facts.as_ref().map(words).unwrap_or_default();
    let kind = content.as_ref().map(|content| format!(" · {}", content.kind)).unwrap_or_default();
    match status {
        Status::Added => format!("{name}  only on the right: {}", of(right)),
        Status::Removed => format!("{name}  only on the left: {}", of(left)),
        Status::Changed if aspects.contains(&Aspect::Kind) => format!("{name}  {} → {}", of(left), of(right)),
        Status::Changed if aspects.contains(&Aspect::Target) || aspects.contains(&Aspect::Device) => {
            format!("{name}  {} → {}", of(left), of(right))
        }
        Status::Changed => {
            let names: Vec<&str> = aspects.iter().map(|aspect| aspect.name()).collect();
            let size = |facts: &Option<EntryFacts>| facts.as_ref().and_then(|facts| facts.size);
            let sizes = match (size(left), size(right)) {
                (Some(left), Some(right)) if left != right => format!(", {left} → {right} bytes"),
                _ => String::new(),
            };
            format!("{name}  {}{sizes}{kind}", names.join(", "))
        }
    }
}

fn words(facts: &EntryFacts) -> String {
    match (&facts.target, facts.size) {
        (Some(target), _) => format!("{} {target}", facts.kind.words()),
        (None, Some(size)) => format!("{}, {size} bytes", facts.kind.words()),
        (None, None) => facts.kind.words().to_owned(),
    }
}

impl Aspect {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Content => "content",
            Self::Target => "target",
            Self::Device => "device numbers",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Mtime => "time",
            Self::Links => "hard links",
            Self::Order => "order of entries",
        }
    }
}
