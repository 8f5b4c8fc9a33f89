//! Files without a structure that is known here: the strings in them.

use super::MOST_PIECES;
use super::findings::Findings;
use super::judge::{Context, explain};
use super::text::align;
use std::collections::BTreeSet;
use std::ops::Range;

/// Compares two files by their strings.
pub(super) fn compare(left: &[u8], right: &[u8], findings: &mut Findings) {
    let context = Context { compiled: true, ..Context::default() };
    let strings = compare_strings("", left, right, &context, findings);
    if !strings.complete || !strings.same_outside {
        findings.unexplained("", amount(left, right));
    }
}

/// What the strings of two pieces show, and what is left.
pub(super) struct Strings {
    /// Whether every string that differs has a cause.
    pub(super) complete: bool,
    /// Whether the pieces are the same beside their strings.
    pub(super) same_outside: bool,
}

/// Compares the strings of two pieces.
pub(super) fn compare_strings(
    place: &str,
    left: &[u8],
    right: &[u8],
    context: &Context<'_>,
    findings: &mut Findings,
) -> Strings {
    let (l, r) = (strings(left), strings(right));
    let same_outside = outside(left, &l).eq(outside(right, &r));
    Strings {
        complete: compare_lists(place, &only_texts(&l), &only_texts(&r), context, findings),
        same_outside,
    }
}

fn only_texts<'a>(strings: &[(Range<usize>, &'a str)]) -> Vec<&'a str> {
    strings.iter().map(|(_, text)| *text).collect()
}

/// Names what differing strings of two lists show; whether that is all that differs.
pub(super) fn compare_lists(
    place: &str,
    left: &[&str],
    right: &[&str],
    context: &Context<'_>,
    findings: &mut Findings,
) -> bool {
    let mut complete = true;
    for hunk in align(left, right) {
        let (l, r) = (&left[hunk.left], &right[hunk.right]);
        if l.len() != r.len() {
            complete = false;
            continue;
        }
        for (l, r) in l.iter().zip(r) {
            let Some(explained) = explain(place, l, r, context, findings) else { return false };
            complete &= explained.complete;
            if explained.any {
                findings.change(place, format!("-{l}\n+{r}"));
            }
        }
    }
    complete
}

/// The same for tables of strings that end with a NUL and stand in any order, as linkers merge them: what only one
/// side has is judged in the order of the alphabet.
pub(super) fn compare_tables(
    place: &str,
    left: &[u8],
    right: &[u8],
    context: &Context<'_>,
    findings: &mut Findings,
) -> bool {
    fn table(bytes: &[u8]) -> BTreeSet<&str> {
        let texts = bytes.split(|byte| *byte == 0).take(MOST_PIECES);
        texts.filter_map(|text| std::str::from_utf8(text).ok()).collect()
    }
    let (l, r) = (table(left), table(right));
    let only_left: Vec<&str> = l.difference(&r).copied().collect();
    let only_right: Vec<&str> = r.difference(&l).copied().collect();
    compare_lists(place, &only_left, &only_right, context, findings)
}

/// How much differs: `12 of 4096 bytes differ`, `4096 → 4100 bytes`.
pub(super) fn amount(left: &[u8], right: &[u8]) -> String {
    if left.len() == right.len() {
        let differ = left.iter().zip(right).filter(|(l, r)| l != r).count();
        format!("{differ} of {} bytes differ", left.len())
    } else {
        format!("{} → {} bytes", left.len(), right.len())
    }
}

pub(super) fn refs(strings: &[String]) -> Vec<&str> {
    strings.iter().map(String::as_str).collect()
}

/// Runs of printable characters, as `strings -n 4` finds them.
fn strings(bytes: &[u8]) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, byte) in bytes.iter().chain([&0]).enumerate() {
        if matches!(byte, 0x20..=0x7e) {
            start.get_or_insert(at);
        } else if let Some(from) = start.take()
            && at - from >= LEAST_STRING
            && let Ok(text) = std::str::from_utf8(&bytes[from..at])
        {
            found.push((from..at, text));
            if found.len() >= MOST_PIECES {
                break;
            }
        }
    }
    found
}

/// What is left of a file without its strings; where one stood stays visible.
fn outside<'a>(bytes: &'a [u8], strings: &'a [(Range<usize>, &str)]) -> impl Iterator<Item = &'a [u8]> {
    let starts = std::iter::once(0).chain(strings.iter().map(|(range, _)| range.end));
    let ends = strings.iter().map(|(range, _)| range.start).chain([bytes.len()]);
    starts.zip(ends).map(|(start, end)| &bytes[start..end])
}

const LEAST_STRING: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    #[test]
    fn tables_in_another_order_show_the_path_that_differs() {
        let table =
            |texts: &[&str]| texts.iter().flat_map(|text| text.bytes().chain([0])).collect::<Vec<u8>>();
        let left = table(&["core::fmt", "/home/a/build/src/main.rs", "main", "alloc::vec"]);
        let right = table(&["alloc::vec", "core::fmt", "/home/b/build/src/main.rs", "main"]);
        let context = Context { compiled: true, debug: true, ..Context::default() };
        let mut findings = Findings::default();
        assert!(compare_tables(".debug_str", &left, &right, &context, &mut findings));
        assert!(findings.has(Cause::BuildPath));

        let mut findings = Findings::default();
        let other = table(&["core::fmt", "alloc::vec", "something else", "main"]);
        assert!(!compare_tables(".debug_str", &left, &other, &context, &mut findings));
        assert_eq!(findings.causes(), 0);
    }
}
