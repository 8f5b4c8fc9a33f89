//! Texts, line by line.

use super::findings::Findings;
use super::judge::{Context, explain};
use super::token::{TokenKind, tokens};
use super::{MOST_PIECES, order, path};
use imara_diff::{Algorithm, Diff, Token};
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::Range;

/// Compares two texts. What is not UTF-8 is compared as if it were, with marks in its place.
pub(super) fn compare(path: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    let (left, right) = (String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    let context = Context {
        source: path::is_by_people(path),
        environment: is_environment(&left) && is_environment(&right),
        ..Context::default()
    };
    let (start, end) = common_ends(&left, &right);
    let (l, r) = (&left[start..left.len() - end], &right[start..right.len() - end]);
    let count = |text: &str| text.bytes().filter(|b| *b == b'\n').count();
    if count(l).max(count(r)) > MOST_PIECES {
        findings.unexplained("", format!("{} → {} lines, too many to compare", count(l), count(r)));
        return;
    }
    let (l_lines, r_lines): (Vec<&str>, Vec<&str>) = (l.lines().collect(), r.lines().collect());
    // Lines are compared without their ends.
    let ends = |text: &str| (text.matches("\r\n").count(), text.ends_with('\n'));
    if l_lines != r_lines && l_lines.len() == r_lines.len() && ends(l) != ends(r) {
        findings.unexplained("", "line ends differ, too");
    }
    compare_lines(path, count(&left[..start]), (&l_lines, &r_lines), &context, findings);
}

/// How many bytes both begin with, and end with, in whole lines.
fn common_ends(left: &str, right: &str) -> (usize, usize) {
    let (l, r) = (left.as_bytes(), right.as_bytes());
    let same = l.iter().zip(r).take_while(|(l, r)| l == r).count();
    let start = l[..same].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    let same = l[start..].iter().rev().zip(r[start..].iter().rev()).take_while(|(l, r)| l == r).count();
    let end = l[l.len() - same..].iter().position(|b| *b == b'\n').map_or(0, |at| same - at - 1);
    (start, end)
}

/// Compares two lists of lines, before which there are `before` others.
fn compare_lines(
    path: &str,
    before: usize,
    (left, right): (&[&str], &[&str]),
    context: &Context<'_>,
    findings: &mut Findings,
) {
    let hunks = align(left, right);
    if hunks.is_empty() {
        findings.unexplained("", "only line ends differ");
        return;
    }
    let moved = moved(path, before, (left, right), &hunks, findings);
    for hunk in hunks {
        let place = format!("line {}", before + hunk.left.start + 1);
        let keep = |lines: &[&'_ str], range: &Range<usize>| -> Vec<usize> {
            range.clone().filter(|index| !moved.contains(lines[*index])).collect()
        };
        let (l, r) = (keep(left, &hunk.left), keep(right, &hunk.right));
        if l.is_empty() && r.is_empty() {
            continue;
        }
        findings.change(&place, unified(left, right, &l, &r));
        let l: Vec<&str> = l.into_iter().map(|index| left[index]).collect();
        let r: Vec<&str> = r.into_iter().map(|index| right[index]).collect();
        if !explain_hunk(&place, &l, &r, context, findings) {
            findings.leave_open();
        }
    }
}

/// Names what the replaced lines of one hunk show; whether that is all.
fn explain_hunk(
    place: &str,
    left: &[&str],
    right: &[&str],
    context: &Context<'_>,
    findings: &mut Findings,
) -> bool {
    let mut complete = true;
    let mut explain = |l: &str, r: &str| {
        complete &= explain(place, l, r, context, findings).is_some_and(|explained| explained.complete);
    };
    if left.len() == right.len() {
        left.iter().zip(right).filter(|(l, r)| l != r).for_each(|(l, r)| explain(l, r));
        return complete;
    }
    if left.len().max(right.len()) > MOST_UNEVEN {
        return false;
    }
    // Lines were added or removed; those that differ only in values are still pairs.
    let (masked_left, masked_right) = (masks(left), masks(right));
    let (l, r): (Vec<&str>, Vec<&str>) =
        (masked_left.iter().map(String::as_str).collect(), masked_right.iter().map(String::as_str).collect());
    let hunks = align(&l, &r);
    let (mut at_left, mut at_right) = (0, 0);
    for hunk in hunks.iter().chain([&Hunk { left: left.len()..left.len(), right: right.len()..right.len() }])
    {
        while at_left < hunk.left.start && at_right < hunk.right.start {
            if left[at_left] != right[at_right] {
                explain(left[at_left], right[at_right]);
            }
            (at_left, at_right) = (at_left + 1, at_right + 1);
        }
        (at_left, at_right) = (hunk.left.end, hunk.right.end);
    }
    false
}

/// Lines with their values taken out.
fn masks(lines: &[&str]) -> Vec<String> {
    let mask = |line: &&str| {
        tokens(line, false)
            .iter()
            .map(|token| match token.kind {
                TokenKind::Word | TokenKind::Space | TokenKind::Other => token.text,
                TokenKind::Moment(_) => "\u{1}",
                TokenKind::Uuid => "\u{2}",
                TokenKind::Account => "\u{3}",
                TokenKind::Path => "\u{4}",
            })
            .collect()
    };
    lines.iter().map(mask).collect()
}

/// The lines that only stand elsewhere, where that shows a cause.
fn moved<'a>(
    path: &str,
    before: usize,
    (left, right): (&[&'a str], &[&'a str]),
    hunks: &[Hunk],
    findings: &mut Findings,
) -> HashSet<&'a str> {
    let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
    for hunk in hunks {
        left[hunk.left.clone()].iter().for_each(|line| counts.entry(line).or_default().0 += 1);
        right[hunk.right.clone()].iter().for_each(|line| counts.entry(line).or_default().1 += 1);
    }
    let moved = |line: &&&str| counts.get(**line).is_some_and(|(l, r)| l == r && !line.trim().is_empty());
    let (Some(first), Some(last)) = (hunks.first(), hunks.last()) else { return HashSet::new() };
    // What stands between them was not moved by the shortest account, but is part of the order.
    let span = |lines: &[&'a str], range: Range<usize>| -> Vec<&'a str> { lines[range].to_vec() };
    let whole_left = span(left, first.left.start..last.left.end);
    let whole_right = span(right, first.right.start..last.right.end);
    let found = if order::same_things(&whole_left, &whole_right) {
        order::judge(path, &whole_left, &whole_right)
    } else {
        let only = |lines: &[&'a str]| lines.iter().filter(moved).copied().collect::<Vec<_>>();
        let (l, r) = (only(&whole_left), only(&whole_right));
        // Lists of which little is the same are other lists.
        let replaced =
            |side: fn(&Hunk) -> &Range<usize>| hunks.iter().map(|hunk| side(hunk).len()).sum::<usize>();
        let others = replaced(|hunk| &hunk.left).max(replaced(|hunk| &hunk.right)) - l.len().min(r.len());
        if others * 2 > l.len() {
            return HashSet::new();
        }
        order::judge(path, &l, &r)
    };
    let Some((cause, evidence)) = found else { return HashSet::new() };
    let place = format!("line {}", before + first.left.start + 1);
    findings.change(&place, evidence.clone());
    findings.shows(cause, &place, evidence);
    whole_left.iter().filter(moved).copied().collect()
}

/// Lines that were replaced by others; one of the ranges may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) left: Range<usize>,
    pub(super) right: Range<usize>,
}

/// Where two lists differ; the same, mirrored, when the sides are exchanged.
pub(super) fn align(left: &[&str], right: &[&str]) -> Vec<Hunk> {
    if left > right {
        let mut hunks = align(right, left);
        for hunk in &mut hunks {
            std::mem::swap(&mut hunk.left, &mut hunk.right);
        }
        return hunks;
    }
    let mut numbers: HashMap<&str, u32> = HashMap::new();
    let mut both: Vec<u32> = Vec::with_capacity(left.len() + right.len());
    for line in left.iter().chain(right) {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        both.push(*numbers.entry(line).or_insert(next));
    }
    let right = both.split_off(left.len());
    let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    let list = |numbers: Vec<u32>| -> Vec<Token> { numbers.into_iter().map(Token).collect() };
    let mut diff = Diff::default();
    diff.compute_with(Algorithm::Histogram, &list(both), &list(right), count);
    diff.hunks()
        .map(|hunk| Hunk {
            left: hunk.before.start as usize..hunk.before.end as usize,
            right: hunk.after.start as usize..hunk.after.end as usize,
        })
        .collect()
}

/// A small hunk: the lines of both sides, cut where they are many or long.
fn unified(left: &[&str], right: &[&str], removed: &[usize], added: &[usize]) -> String {
    let side = |mark: char, lines: &[&str], of: &[usize]| {
        let mut text = String::new();
        for index in of.iter().take(MOST_HUNK_LINES) {
            text.push(mark);
            text.push_str(&super::findings::shortened(lines[*index], MOST_LINE_BYTES));
            text.push('\n');
        }
        if of.len() > MOST_HUNK_LINES {
            let _ = writeln!(text, "{mark}… {} more lines", of.len() - MOST_HUNK_LINES);
        }
        text
    };
    let mut text = side('-', left, removed);
    text.push_str(&side('+', right, added));
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Whether the lines are those of `env`.
fn is_environment(text: &str) -> bool {
    let has = |key: &str| text.lines().any(|line| line.trim_start_matches("export ").starts_with(key));
    has("PATH=") && (has("HOME=") || has("PWD="))
}

/// Lines of one hunk that are paired where others were added or removed.
const MOST_UNEVEN: usize = 5000;
const MOST_HUNK_LINES: usize = 6;
const MOST_LINE_BYTES: usize = 160;
