//! Pairs of files as two builds leave them, made by real tools (`tools/compare-corpus`): is the cause named?
#![expect(clippy::unwrap_used, reason = "a damaged corpus is a failed test")]

use caution_compare::{Cause, compare_contents};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is said of one pair, beside what should be.
struct Answer {
    name: String,
    expected: BTreeSet<String>,
    found: BTreeSet<String>,
}

impl Answer {
    fn is_right(&self) -> bool {
        self.expected == self.found
    }

    /// Something is named that is not so.
    fn is_wrong(&self) -> bool {
        !self.found.is_subset(&self.expected)
    }
}

#[test]
fn nine_of_ten_causes_are_named_and_none_is_wrong() {
    let answers: Vec<Answer> = pairs().iter().map(|folder| answer(folder)).collect();
    let wrong: Vec<&Answer> = answers.iter().filter(|answer| answer.is_wrong()).collect();
    let right = answers.iter().filter(|answer| answer.is_right()).count();
    for answer in &answers {
        let verdict = match answer {
            _ if answer.is_right() => "right",
            _ if answer.is_wrong() => "WRONG",
            _ => "unknown",
        };
        println!("{verdict:8} {:26} {:40} {}", answer.name, listed(&answer.expected), listed(&answer.found));
    }
    let unknown = answers.len() - right - wrong.len();
    println!("{} pairs: {right} right, {unknown} unknown, {} wrong", answers.len(), wrong.len());
    assert!(answers.len() >= 100, "the corpus has {} pairs", answers.len());
    assert!(wrong.is_empty(), "{} are named wrong, first {}", wrong.len(), wrong[0].name);
    assert!(right * 10 >= answers.len() * 9, "{right} of {} are named right", answers.len());
}

#[test]
fn exchanging_the_sides_exchanges_nothing_else() {
    for folder in pairs() {
        let (path, left, right) = contents(&folder);
        let there = compare_contents(path.as_bytes(), &left, &right);
        let back = compare_contents(path.as_bytes(), &right, &left);
        let causes = |explanation: &caution_compare::Explanation| -> Vec<Cause> {
            explanation.attributions.iter().map(|attribution| attribution.cause).collect()
        };
        let name = folder.display();
        assert_eq!(there.kind, back.kind, "{name}");
        assert_eq!(causes(&there), causes(&back), "{name}");
        assert_eq!(there.complete, back.complete, "{name}");
        assert_eq!(there.changes.len(), back.changes.len(), "{name}");
    }
}

#[test]
fn a_content_has_no_difference_from_itself() {
    for folder in pairs() {
        let (path, left, _) = contents(&folder);
        let same = compare_contents(path.as_bytes(), &left, &left);
        assert!(
            same.changes.is_empty() && same.attributions.is_empty() && same.complete,
            "{}",
            folder.display()
        );
    }
}

#[test]
fn every_attribution_has_values_and_a_way_out() {
    for folder in pairs() {
        let (path, left, right) = contents(&folder);
        for attribution in compare_contents(path.as_bytes(), &left, &right).attributions {
            assert!(attribution.evidence.contains('→'), "{}: {}", folder.display(), attribution.evidence);
            assert!(!attribution.fix.is_empty());
        }
    }
}

/// What no section has may be loaded all the same.
#[test]
fn bytes_outside_of_sections_are_no_build_id() {
    let folder = pairs().into_iter().find(|folder| folder.ends_with("gcc-build-id")).unwrap();
    let (path, left, mut right) = contents(&folder);
    right.extend(b"more");
    let explanation = compare_contents(path.as_bytes(), &left, &right);
    assert!(explanation.attributions.is_empty() && !explanation.complete, "{explanation:?}");
}

/// Damage anywhere in real files is survived, whatever is said of it.
#[test]
fn damaged_files_are_survived() {
    for folder in pairs() {
        let (path, left, right) = contents(&folder);
        for step in [1, 7, 61, 509] {
            let mut damaged = right.clone();
            for at in (step..damaged.len()).step_by(step * 13) {
                damaged[at] ^= 0x55;
            }
            let _ = compare_contents(path.as_bytes(), &left, &damaged);
            let _ = compare_contents(path.as_bytes(), &left, &right[..right.len() * step / 512]);
        }
    }
}

fn answer(folder: &Path) -> Answer {
    let expect: Value = serde_json::from_slice(&fs::read(folder.join("expect.json")).unwrap()).unwrap();
    let expected =
        expect["causes"].as_array().unwrap().iter().map(|cause| cause.as_str().unwrap().to_owned()).collect();
    let (path, left, right) = contents(folder);
    let explanation = compare_contents(path.as_bytes(), &left, &right);
    assert!(!explanation.changes.is_empty(), "{} has no change", folder.display());
    let found = explanation.attributions.iter().map(|found| found.cause.name().to_owned()).collect();
    if std::env::args().any(|argument| argument == "--show-output") {
        println!("{} {explanation:#?}", folder.display());
    }
    Answer { name: folder.file_name().unwrap().to_string_lossy().into_owned(), expected, found }
}

fn contents(folder: &Path) -> (String, Vec<u8>, Vec<u8>) {
    let expect: Value = serde_json::from_slice(&fs::read(folder.join("expect.json")).unwrap()).unwrap();
    let path = expect["file"].as_str().unwrap().to_owned();
    let side = |side: &str| fs::read(folder.join(side).join(&path)).unwrap();
    (path.clone(), side("left"), side("right"))
}

fn pairs() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors/compare");
    let mut pairs: Vec<PathBuf> = fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    pairs.sort();
    pairs
}

fn listed(causes: &BTreeSet<String>) -> String {
    if causes.is_empty() {
        "(unknown)".to_owned()
    } else {
        causes.iter().cloned().collect::<Vec<_>>().join(" ")
    }
}
