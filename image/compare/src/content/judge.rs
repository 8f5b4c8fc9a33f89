//! Two lines that differ: which of their pieces differ, and what each pair shows.
//!
//! Strict by intention: a pair of values is evidence only where nobody would write such a change by hand, or where
//! what stands before it says what it is.

use super::findings::Findings;
use super::moment::{DAY, Moment};
use super::token::{Token, TokenKind, tokens};
use super::{order, path, secrets, words};
use crate::cause::Cause;

/// What is known of the place where two lines stand.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, any of which may hold")]
pub(super) struct Context<'a> {
    /// Written by people: only what nobody types is evidence.
    pub(super) source: bool,
    /// Values of a document that says nothing of a build: settings as likely as a report.
    pub(super) settings: bool,
    /// Strings of a compiled file.
    pub(super) compiled: bool,
    /// Strings of debug information: paths are those of the build.
    pub(super) debug: bool,
    /// The file shows the environment of the build (`PATH=`, `HOME=`, …).
    pub(super) environment: bool,
    /// The key or heading above the line, in lower case.
    pub(super) key: &'a str,
}

/// What a pair of lines shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Causes, each with both values.
    pub(super) shown: Vec<(Cause, String)>,
    /// Whether every difference between the lines has a cause.
    pub(super) complete: bool,
}

/// Names what two lines that differ show at `place`. `None` where so much was looked at before that they are not.
pub(super) fn explain(
    place: &str,
    left: &str,
    right: &str,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Explained> {
    if !findings.may_judge(left, right) {
        return None;
    }
    let Verdict { shown, complete } = judge(left, right, context);
    let explained = Explained { any: !shown.is_empty(), complete };
    for (cause, evidence) in shown {
        findings.shows(cause, place, evidence);
    }
    Some(explained)
}

/// How far a pair of lines was explained.
pub(super) struct Explained {
    /// Whether anything was shown.
    pub(super) any: bool,
    /// Whether every difference between the lines has a cause.
    pub(super) complete: bool,
}

/// What two lines that differ show.
pub(super) fn judge(left: &str, right: &str, context: &Context<'_>) -> Verdict {
    if left.len().max(right.len()) > MOST_LINE_BYTES {
        return Verdict::default();
    }
    let (safe_left, safe_right) = (secrets::without(left), secrets::without(right));
    if safe_left != left || safe_right != right {
        // What is hidden has no cause, and the rest may have one.
        return Verdict { complete: false, ..judge_safe(&safe_left, &safe_right, context) };
    }
    judge_safe(left, right, context)
}

fn judge_safe(left: &str, right: &str, context: &Context<'_>) -> Verdict {
    if !context.source && number_format_differs(left, right) {
        let evidence = format!("{} → {}", left.trim(), right.trim());
        return Verdict { shown: vec![(Cause::Locale, evidence)], complete: true };
    }
    let (left_tokens, right_tokens) = (tokens(left, context.compiled), tokens(right, context.compiled));
    if !context.source
        && let Some(evidence) = other_order(&left_tokens, &right_tokens)
    {
        return Verdict { shown: vec![(Cause::FileOrder, evidence)], complete: true };
    }
    // Spaces only fill a column that a date or a number left.
    let solid = |token: &&Token<'_>| token.kind != TokenKind::Space;
    if left_tokens.iter().filter(solid).count() != right_tokens.iter().filter(solid).count() {
        return Verdict::default();
    }
    let mut verdict = Verdict { shown: Vec::new(), complete: true };
    let mut pairs = 0;
    for (l, r) in left_tokens.iter().filter(solid).zip(right_tokens.iter().filter(solid)) {
        if l.text == r.text {
            continue;
        }
        let mut found = Vec::new();
        pairs += 1;
        if l.kind.is_alike(r.kind) && pairs <= MOST_PAIRS {
            found = judge_pair(l, r, &Before::new(&left[..l.at], context), context);
            // What stands before them may differ as well, and must show the same.
            if !found.is_empty() && left[..l.at] != right[..r.at] {
                let other = judge_pair(l, r, &Before::new(&right[..r.at], context), context);
                found.retain(|cause| other.contains(cause));
            }
        }
        if found.is_empty() {
            verdict.complete = false;
        }
        verdict.shown.extend(found.into_iter().map(|cause| (cause, format!("{} → {}", l.text, r.text))));
    }
    // Other spaces and nothing else: somebody's formatting.
    if verdict.shown.is_empty() {
        verdict.complete = false;
    }
    verdict
}

fn judge_pair(left: &Token<'_>, right: &Token<'_>, before: &Before<'_>, context: &Context<'_>) -> Vec<Cause> {
    match (left.kind, right.kind) {
        (TokenKind::Moment(l), TokenKind::Moment(r)) => {
            judge_moments((&l, left.text), (&r, right.text), before, context)
        }
        // In sources they are constants.
        (TokenKind::Uuid, TokenKind::Uuid) if !context.source => vec![Cause::Randomness],
        (TokenKind::Account, TokenKind::Account) => judge_accounts(left.text, right.text, before),
        (TokenKind::Path, TokenKind::Path) => {
            if before.key_is(&["home"]) && !context.source {
                return vec![Cause::UserName];
            }
            let names_folder = context.debug || before.key_is(&FOLDER_KEYS);
            path::judge(left.text, right.text, names_folder, context).into_iter().collect()
        }
        (TokenKind::Word, TokenKind::Word) => {
            words::judge(left.text, right.text, before, context).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn judge_moments(
    (left, left_text): (&Moment, &str),
    (right, right_text): (&Moment, &str),
    before: &Before<'_>,
    context: &Context<'_>,
) -> Vec<Cause> {
    // Compilers name the day they were made.
    if before.is_within_toolchain() {
        return vec![Cause::Toolchain];
    }
    let mut causes = Vec::new();
    let zones_differ = left.offset != right.offset || zone_name(left_text) != zone_name(right_text);
    match (left.instant(), right.instant()) {
        (Some(l), Some(r)) if l == r => {
            if zones_differ {
                causes.push(Cause::TimeZone);
            }
            if left.style != right.style {
                causes.push(Cause::Locale);
            }
            return causes;
        }
        _ => {}
    }
    if let (Some(l), Some(r)) = (left.local(), right.local()) {
        let apart = (l - r).abs();
        // The same minute and second, hours apart, and no zone that would say otherwise: one moment, two clocks.
        if l == r && left.offset == right.offset && left.style != right.style {
            return vec![Cause::Locale];
        }
        if left.offset.is_none()
            && right.offset.is_none()
            && apart > 0
            && apart <= 26 * 3600
            && apart % 1800 == 0
            && l % 60 != 0
        {
            return vec![Cause::TimeZone];
        }
    }
    if is_of_build(left, left_text, before, context) && is_of_build(right, right_text, before, context) {
        causes.push(Cause::EmbeddedTime);
        if left.instant().is_some() && right.instant().is_some() && left.offset != right.offset {
            causes.push(Cause::TimeZone);
        }
        if left.style != right.style {
            causes.push(Cause::Locale);
        }
    }
    causes
}

/// Whether a clock wrote it: whole minutes, midnight and mere days are also written by people.
fn is_of_build(moment: &Moment, text: &str, before: &Before<'_>, context: &Context<'_>) -> bool {
    let said = before.line_says(&BUILD_WORDS);
    // `20240115093015` names a migration of a database.
    if context.source && text.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    match (moment.day, moment.time) {
        (Some(_), Some(time)) => time % 3600 != 0 || (said && time % DAY != 0),
        (Some(_), None) => {
            // `__DATE__`, or what says that it is of the build; in sources people write dates, too.
            (context.compiled && text.len() == 11 && text.as_bytes()[0].is_ascii_alphabetic())
                || (said && !context.source)
                || before.line.starts_with(".th ")
        }
        (None, Some(time)) => time % 60 != 0 && !context.source,
        (None, None) => false,
    }
}

fn zone_name(text: &str) -> Option<&str> {
    text.split(' ').find(|word| word.len() >= 3 && word.bytes().all(|b| b.is_ascii_uppercase()))
}

fn judge_accounts(left: &str, right: &str, before: &Before<'_>) -> Vec<Cause> {
    let (Some((left_user, left_host)), Some((right_user, right_host))) =
        (left.split_once('@'), right.split_once('@'))
    else {
        return Vec::new();
    };
    // `Linux version 6.1.0 (root@build) (gcc …`; an address of a maintainer is no such thing.
    let built = before.line_says(&["build", "built", "compiled", "builder", "buildhost"])
        || (before.line.starts_with("linux version ") || before.text.ends_with('('))
        || before.line.starts_with("ssh-")
        || before.line.starts_with("ecdsa-");
    if !built {
        return Vec::new();
    }
    let mut causes = Vec::new();
    if left_host != right_host {
        causes.push(Cause::HostName);
    }
    if left_user != right_user {
        causes.push(Cause::UserName);
    }
    causes
}

/// The same words between the same marks in another order, as hash tables give them: `{'a', 'b', 'c'}`.
fn other_order(left: &[Token<'_>], right: &[Token<'_>]) -> Option<String> {
    let words = |tokens: &[Token<'_>]| -> Vec<String> {
        let word = |token: &&Token<'_>| !matches!(token.kind, TokenKind::Space | TokenKind::Other);
        tokens.iter().filter(word).map(|token| token.text.to_owned()).collect()
    };
    let marks = |tokens: &[Token<'_>]| -> Vec<String> {
        tokens
            .iter()
            .filter(|token| token.kind == TokenKind::Other)
            .map(|token| token.text.to_owned())
            .collect()
    };
    let left_marks = marks(left);
    let paths = |tokens: &[Token<'_>]| tokens.iter().filter(|token| token.kind == TokenKind::Path).count();
    let listed = left_marks.iter().filter(|mark| *mark == ",").count() >= 2
        || (left_marks.is_empty() && paths(left).min(paths(right)) >= 3);
    let (l, r) = (words(left), words(right));
    if !listed || l.len() < 3 || l == r || left_marks != marks(right) || !order::same_things(&l, &r) {
        return None;
    }
    let (first, other) = l.iter().zip(&r).find(|(l, r)| l != r)?;
    Some(format!("the same {} words in another order, first {first} → {other}", l.len()))
}

/// Whether the lines are the same but for points and commas between digits.
fn number_format_differs(left: &str, right: &str) -> bool {
    let is_mark = |c: char| matches!(c, '.' | ',' | '\'' | '\u{a0}' | '\u{202f}');
    let (l, r): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    if l.len() != r.len() {
        return false;
    }
    let mut differs = false;
    for index in 0..l.len() {
        if l[index] == r[index] {
            continue;
        }
        let between = |side: &[char]| {
            index > 0
                && side[index - 1].is_ascii_digit()
                && side.get(index + 1).is_some_and(char::is_ascii_digit)
        };
        if !(is_mark(l[index]) && is_mark(r[index]) && between(&l) && between(&r)) {
            return false;
        }
        differs = true;
    }
    differs
}

/// What stands before a piece of a line, and around it.
pub(super) struct Before<'a> {
    /// The line up to the piece, in lower case.
    pub(super) text: String,
    /// The same with the key above it.
    line: String,
    key: &'a str,
}

impl<'a> Before<'a> {
    fn new(before: &str, context: &Context<'a>) -> Self {
        let text = before.to_lowercase();
        let line = if context.key.is_empty() { text.clone() } else { format!("{} {text}", context.key) };
        Self { text, line, key: context.key }
    }

    /// Whether one of the words stands before the piece.
    pub(super) fn line_says(&self, words: &[&str]) -> bool {
        let parts = |text: &str, wanted: &dyn Fn(&str) -> bool| {
            text.split(|c: char| !c.is_ascii_alphanumeric()).any(wanted)
        };
        parts(&self.line, &|part| {
            words.iter().any(|word| {
                // `buildtime`, `builddate`: words that run together.
                part == *word || (word.len() >= 4 && (part.starts_with(word) || part.ends_with(word)))
            })
        })
    }

    /// Whether what stands right before the piece, but for `=`, `:`, quotes and spaces, is one of the keys.
    pub(super) fn key_is(&self, keys: &[&str]) -> bool {
        let text = self.text.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
        // A word beside the value is a key only where something says so: `user alice` may be prose.
        let text = if text.is_empty() { self.key } else { text };
        keys.iter().any(|key| {
            text.strip_suffix(key)
                .is_some_and(|rest| !rest.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
    }

    /// Whether the piece stands in the parentheses behind a compiler's version: `rustc 1.75.0 (82e1608df 2023-12-21)`.
    fn is_within_toolchain(&self) -> bool {
        let behind = ["rustc ", "clang version ", "python 3.", "gcc version "]
            .iter()
            .filter_map(|name| self.text.rfind(name).map(|at| &self.text[at..]))
            .min_by_key(|rest| rest.len());
        behind.is_some_and(|rest| rest.matches('(').count() > rest.matches(')').count())
    }

    /// Whether a compiler's name or version stands before the piece.
    pub(super) fn names_toolchain(&self) -> bool {
        TOOLCHAINS.iter().any(|name| self.text.contains(name))
    }
}

const MOST_LINE_BYTES: usize = 16 << 10;
/// Pieces of one line that are judged.
const MOST_PAIRS: usize = 64;

/// Keys of the folder something is built in.
const FOLDER_KEYS: [&str; 16] = [
    "pwd",
    "oldpwd",
    "cwd",
    "builddir",
    "build_dir",
    "build dir",
    "srcdir",
    "abs_srcdir",
    "abs_builddir",
    "top_srcdir",
    "working directory",
    "entering directory",
    "leaving directory",
    "workdir",
    "buildroot",
    "build folder",
];

/// Words that say that a date is that of the build.
pub(super) const BUILD_WORDS: [&str; 12] = [
    "build",
    "built",
    "builddate",
    "generated",
    "compiled",
    "created",
    "timestamp",
    "packaged",
    "mtime",
    "epoch",
    "buildtime",
    "installed",
];

/// What stands before versions of compilers, in lower case.
const TOOLCHAINS: [&str; 16] = [
    "gcc: (",
    "gcc version ",
    "clang version ",
    "rustc version ",
    "rustc ",
    "llvm version ",
    "gnu c1",
    "gnu c2",
    "gnu c++",
    "gnu as ",
    "gnu ld (",
    "go version go",
    "linker: lld ",
    "gnu assembler version ",
    "gcc (",
    "build-jdk",
];

#[cfg(test)]
mod tests;
