//! What was found so far, bounded.

use super::secrets;
use crate::cause::{Attribution, Cause};
use caution_appspec::printable;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What changed in one file, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What the file is: `ELF file`, `text`, `zip archive`, `Python byte code`, …
    pub kind: String,
    /// What differs, in the order of the file; 40 at most.
    pub changes: Vec<Change>,
    /// How many more changes there are.
    pub more_changes: usize,
    /// What shows why, one a cause, in the order of [`Cause::ALL`].
    pub attributions: Vec<Attribution>,
    /// Whether every change has a cause. Where it is false, something differs that nothing here can explain.
    pub complete: bool,
}

/// One difference inside a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// Where: `line 3`, `.note.gnu.build-id`, `lib/a.class: line 1`; empty for the file as a whole.
    pub place: String,
    /// What: a sentence fragment with both values, or for text a small hunk of lines that begin with `-` and `+`.
    pub what: String,
}

/// Collects changes and their causes; knows at which place inside archives it is.
#[derive(Debug, Default)]
pub(super) struct Findings {
    changes: Vec<Change>,
    more_changes: usize,
    causes: BTreeMap<Cause, Shown>,
    unexplained: usize,
    place: Vec<String>,
    unfolded: usize,
    judged: usize,
}

#[derive(Debug)]
struct Shown {
    evidence: String,
    fix: Option<&'static str>,
    more: usize,
}

impl Findings {
    /// A difference. Its cause, if any, is named apart.
    pub(super) fn change(&mut self, place: &str, what: impl Into<String>) {
        if self.changes.len() >= MOST_CHANGES {
            self.more_changes += 1;
            return;
        }
        let place = self.full_place(place);
        self.changes.push(Change { place, what: shortened(&what.into(), MOST_HUNK_BYTES) });
    }

    /// A difference that nothing explains.
    pub(super) fn unexplained(&mut self, place: &str, what: impl Into<String>) {
        self.unexplained += 1;
        self.change(place, what);
    }

    /// Marks a difference, which was told already, as one that nothing explains.
    pub(super) fn leave_open(&mut self) {
        self.unexplained += 1;
    }

    /// Evidence of a cause, with the values of both sides.
    pub(super) fn shows(&mut self, cause: Cause, place: &str, evidence: impl AsRef<str>) {
        self.shows_with_fix(cause, place, evidence, None);
    }

    /// The same where more than the usual fix is known.
    pub(super) fn shows_with_fix(
        &mut self,
        cause: Cause,
        place: &str,
        evidence: impl AsRef<str>,
        fix: Option<&'static str>,
    ) {
        let place = self.full_place(place);
        match self.causes.entry(cause) {
            std::collections::btree_map::Entry::Occupied(mut shown) => shown.get_mut().more += 1,
            std::collections::btree_map::Entry::Vacant(new) => {
                let evidence = evidence.as_ref();
                let evidence =
                    if place.is_empty() { evidence.to_owned() } else { format!("{place}: {evidence}") };
                new.insert(Shown { evidence: shortened(&evidence, MOST_EVIDENCE_BYTES), fix, more: 0 });
            }
        }
    }

    /// A difference that is itself the evidence of its cause.
    pub(super) fn change_shows(&mut self, cause: Cause, place: &str, evidence: &str) {
        self.change(place, evidence);
        self.shows(cause, place, evidence);
    }

    /// Whether a cause was shown.
    pub(super) fn has(&self, cause: Cause) -> bool {
        self.causes.contains_key(&cause)
    }

    /// How often a cause was shown.
    pub(super) fn times(&self, cause: Cause) -> usize {
        self.causes.get(&cause).map_or(0, |shown| shown.more + 1)
    }

    /// How many causes were shown.
    pub(super) fn causes(&self) -> usize {
        self.causes.len()
    }

    /// How many differences nothing explains so far.
    pub(super) const fn open(&self) -> usize {
        self.unexplained
    }

    /// How many differences were told so far.
    pub(super) const fn told(&self) -> usize {
        self.changes.len() + self.more_changes
    }

    /// Forgets that differences are unexplained, down to `open`: they follow from something that was shown since.
    pub(super) fn explained_down_to(&mut self, open: usize) {
        self.unexplained = self.unexplained.min(open);
    }

    /// How much of `wanted` may still be unfolded of archives, all of them together.
    pub(super) fn may_unfold(&self, wanted: usize) -> usize {
        wanted.min(MOST_UNFOLDED - self.unfolded)
    }

    /// Counts what was unfolded.
    pub(super) fn unfolded(&mut self, bytes: usize) {
        self.unfolded = (self.unfolded + bytes).min(MOST_UNFOLDED);
    }

    /// Whether a pair of lines may still be looked at piece by piece, all pairs together; counts it.
    pub(super) fn may_judge(&mut self, left: &str, right: &str) -> bool {
        self.judged = self.judged.saturating_add(left.len() + right.len());
        self.judged <= MOST_JUDGED
    }

    /// Everything that `inner` finds lies inside `place`.
    pub(super) fn inside<T>(&mut self, place: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.place.push(place.to_owned());
        let result = inner(self);
        self.place.pop();
        result
    }

    pub(super) fn into_explanation(self, kind: String) -> Explanation {
        let attributions = self
            .causes
            .into_iter()
            .map(|(cause, Shown { mut evidence, fix, more })| {
                if more > 0 {
                    let places = if more == 1 { "place" } else { "places" };
                    let _ = write!(evidence, ", and in {more} more {places}");
                }
                let fix = fix.unwrap_or_else(|| cause.usual_fix()).to_owned();
                Attribution { cause, evidence, fix }
            })
            .collect();
        Explanation {
            kind,
            changes: self.changes,
            more_changes: self.more_changes,
            attributions,
            complete: self.unexplained == 0,
        }
    }

    fn full_place(&self, place: &str) -> String {
        let mut parts: Vec<&str> = self.place.iter().map(String::as_str).collect();
        if !place.is_empty() {
            parts.push(place);
        }
        shortened(&parts.join(": "), MOST_EVIDENCE_BYTES)
    }
}

/// The beginning of a text, about `most` bytes of it, without secrets, and with everything escaped but line ends and
/// tabs that a terminal would obey or hide: contents are hostile to terminals, too.
pub(super) fn shortened(text: &str, most: usize) -> String {
    // Before it is cut: the beginning of a secret is one, too.
    let text = secrets::without(text);
    let cut = &text[..text.floor_char_boundary(most)];
    let escaped = |piece: &str| {
        let words = piece.trim_end_matches(['\n', '\t']);
        printable(words) + &piece[words.len()..]
    };
    let mut shown: String = cut.split_inclusive(['\n', '\t']).map(escaped).collect();
    if cut.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Uncompressed bytes, of both sides and all archives together.
const MOST_UNFOLDED: usize = 256 << 20;
/// Bytes of lines that are taken apart.
const MOST_JUDGED: usize = 8 << 20;
const MOST_CHANGES: usize = 40;
const MOST_HUNK_BYTES: usize = 2048;
const MOST_EVIDENCE_BYTES: usize = 400;
