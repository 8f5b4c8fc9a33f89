//! The same things in another order: whether the order shows why.

use super::path;
use crate::cause::Cause;
use std::collections::BTreeMap;

/// Why lines stand in another order, if they show it. `left` and `right` are the same lines, `path` the file's.
pub(super) fn judge(path: &str, left: &[&str], right: &[&str]) -> Option<(Cause, String)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    // Whoever writes programs moves lines for reasons of their own.
    if path::is_by_people(path) || left.len() < 2 {
        return None;
    }
    if left.iter().all(|line| is_job(line)) {
        return Some((Cause::Parallelism, evidence(left, right, "lines of jobs")));
    }
    if path::extension(name) == "log" {
        return None;
    }
    if let Some(found) = collation(left, right) {
        return Some(found);
    }
    let is_list = left.iter().all(|line| is_list_line(line));
    is_list.then(|| (Cause::FileOrder, evidence(left, right, "lines")))
}

/// [`Cause::Locale`] where one side is sorted by bytes and the other as languages sort: capitals and marks aside.
pub(super) fn collation(left: &[&str], right: &[&str]) -> Option<(Cause, String)> {
    if left.len() < 3 || left == right {
        return None;
    }
    let by_bytes = |lines: &[&str]| lines.is_sorted();
    let by_language = |lines: &[&str]| lines.iter().map(|line| collation_key(line)).is_sorted();
    let one_each = (by_bytes(left) && by_language(right)) || (by_bytes(right) && by_language(left));
    one_each.then(|| {
        (
            Cause::Locale,
            evidence(left, right, "names, sorted by bytes on one side and by letters on the other,"),
        )
    })
}

/// [`Cause::FileOrder`], or [`Cause::Locale`], of the names of an archive's members.
pub(super) fn of_members(left: &[&str], right: &[&str]) -> (Cause, String) {
    collation(left, right).unwrap_or_else(|| (Cause::FileOrder, evidence(left, right, "members")))
}

fn evidence(left: &[&str], right: &[&str], what: &str) -> String {
    let first = left.iter().zip(right).find(|(l, r)| l != r);
    let (l, r) = first.map_or(("", ""), |(l, r)| (l.trim(), r.trim()));
    format!("the same {} {what} in another order, first {l} → {r}", left.len())
}

/// What GNU C's locales compare first: letters and digits, capitals or not.
fn collation_key(line: &str) -> String {
    line.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A name, a path, a digest with a path; no sentence and no code.
fn is_list_line(line: &str) -> bool {
    let words = line.split_whitespace().count();
    (1..=3).contains(&words)
        && !line.starts_with([' ', '\t', '#'])
        && !line.trim_end().ends_with(['{', '}', ';', '(', ')', '\\'])
        && !line.contains(" = ")
}

/// What make, ninja, cargo and pip print for one of several jobs.
fn is_job(line: &str) -> bool {
    let line = line.trim_start();
    let first = line.split_whitespace().next().unwrap_or("");
    JOBS.contains(&first)
        || first.starts_with("make[")
        || (first.starts_with('[') && first.ends_with(']') && first.contains('/'))
}

/// Whether two lists hold the same things, in whatever order.
pub(super) fn same_things<T: Ord>(left: &[T], right: &[T]) -> bool {
    let count = |list: &[T]| -> usize { list.len() };
    if count(left) != count(right) {
        return false;
    }
    let mut things: BTreeMap<&T, i64> = BTreeMap::new();
    for thing in left {
        *things.entry(thing).or_default() += 1;
    }
    for thing in right {
        *things.entry(thing).or_default() -= 1;
    }
    things.values().all(|count| *count == 0)
}

const JOBS: [&str; 18] = [
    "CC",
    "CXX",
    "LD",
    "AR",
    "AS",
    "HOSTCC",
    "RUSTC",
    "Compiling",
    "Building",
    "Linking",
    "gcc",
    "cc",
    "g++",
    "c++",
    "clang",
    "Checking",
    "Downloaded",
    "LINK",
];
