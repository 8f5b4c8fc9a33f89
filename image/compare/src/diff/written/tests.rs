//! What wrote a file is said where it is known, and as it may be printed.

use super::super::{Comparison, DiffLimits, compare, open_both};
use crate::testing::{Archive, container_of, eif, gzip};
use crate::{Facts, PageTitle, Side};
use caution_rootfs::{LayerRecord, LayerStep, Limits, StepPlace, merge_archives};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use std::fs;
use std::path::{Path, PathBuf};

/// Two files by these names, compared as commands compare them.
fn compared(folder: &Path, names: [&str; 2]) -> Comparison {
    let [left, right] = names.map(|name| folder.join(name));
    let [left, right] = open_both([&left, &right], &Limits::default(), folder).unwrap();
    compare(&left, &right, &DiffLimits::default(), folder).unwrap()
}

/// Containers of two layers, whose files `a` and `b` differ, with these histories.
fn containers(histories: [&str; 2]) -> Comparison {
    let folder = tempfile::tempdir().unwrap();
    for (name, history) in ["left", "right"].into_iter().zip(histories) {
        let bytes = container_of(&[&[("a", name), ("same", "")], &[("d/b", name)]], "{}", history);
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    compared(folder.path(), ["left", "right"])
}

/// Path, left, right.
fn said(comparison: &Comparison) -> Vec<(&str, Option<String>, Option<String>)> {
    let of = |facts: &Option<crate::EntryFacts>| Some(facts.as_ref()?.written_by.as_ref()?.to_string());
    let difference = |one: &'_ crate::Difference| (of(&one.left), of(&one.right));
    let all = comparison.differences.iter().map(|one| (&*one.path, difference(one)));
    all.map(|(path, (left, right))| (path, left, right)).collect()
}

#[test]
fn a_container_image_says_what_wrote_its_files() {
    let history =
        r#"[{"created_by": "base"}, {"created_by": "ENV", "empty_layer": true}, {"created_by": "RUN date"}]"#;
    let comparison = containers([history, history]);
    let of = |text: &str| Some(format!("layer {text}"));
    let (base, run) =
        (of("1, which the engine says is of: base"), of("2, which the engine says is of: RUN date"));
    let expected = [("/a", base.clone(), base), ("/d/b", run.clone(), run)];
    assert_eq!(said(&comparison), expected);
    let text = comparison.to_text(5);
    assert_eq!(
        text.matches("written by: layer 2, which the engine says is of: RUN date\n").count(),
        1,
        "{text}"
    );
    let other = history.replace("RUN date", "RUN other");
    let text = containers([history, &other]).to_text(5);
    assert!(
        text.contains("written on the left by: layer 2, which the engine says is of: RUN date\n"),
        "{text}"
    );
    assert!(
        text.contains("written on the right by: layer 2, which the engine says is of: RUN other\n"),
        "{text}"
    );
}

#[test]
fn a_history_that_does_not_fit_the_layers_says_nothing() {
    let one = r#"{"created_by": "RUN x"}"#;
    for history in [format!("[{one}]"), format!("[{one},{one},{one}]"), "[]".into(), "7".into()] {
        let comparison = containers([&history, &history]);
        assert_eq!(said(&comparison), [("/a", None, None), ("/d/b", None, None)], "{history}");
        assert!(!comparison.to_text(5).contains("written"));
    }
}

#[test]
fn what_a_history_says_is_bounded_and_harmless() {
    let long = "x".repeat(1 << 20);
    for (hostile, expected) in [
        (r"\u001b[2J<script>\n\u202e", r"\u{1b}[2J<script>\u{a}\u{202e}".to_owned()),
        (long.as_str(), format!("{}…", &long[..200])),
        ("echo $6$salt$0123456789abcdefghij", "echo $6$…".to_owned()),
        ("echo -----BEGIN PRIVATE KEY-----MIIE", "echo …".to_owned()),
    ] {
        let comparison = containers([&format!(r#"[{{}}, {{"created_by": "{hostile}"}}]"#), "[]"]);
        let [_, (_, left, right)] = &said(&comparison)[..] else { panic!("two files differ") };
        assert_eq!(left.as_deref(), Some(&*format!("layer 2, which the engine says is of: {expected}")));
        assert_eq!(*right, None);
        let page = comparison.to_html(&PageTitle { left: "", right: "", program: "" });
        assert!(page.contains("written by: layer 2") && !page.contains("[2J<script>"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_history_says_is_shown_within_bounds(steps in vec(("\\PC{0,300}|(?s).{0,300}", any::<bool>()), 0..6)) {
        let json: Vec<_> = steps
            .iter()
            .map(|(created_by, empty)| serde_json::json!({"created_by": created_by, "empty_layer": empty}))
            .collect();
        let history = serde_json::Value::from(json).to_string();
        let comparison = containers([&history, "[]"]);
        let fits = steps.iter().filter(|(_, empty)| !empty).count() == 2;
        for (_, left, right) in said(&comparison) {
            prop_assert_eq!((left.is_some(), right), (fits, None));
            // 200 characters, each of which may be escaped, and what stands around them.
            prop_assert!(left.is_none_or(|text| text.len() <= 200 * 10 + 60 && !text.contains(char::is_control)));
        }
    }
}

/// An enclave image of a build with two layers, beside which lies what wrote them. Gives the image's path.
fn built(folder: &Path, name: &str) -> PathBuf {
    let application = |content: &str| {
        let archive = Archive::new().file("boot.json", "{}").directory("rootfs").directory("rootfs/d");
        archive.file("rootfs/a", content).file("rootfs/d/b", content).end()
    };
    let path = folder.join(name);
    fs::write(&path, eif(&[&gzip(&Archive::new().file("init", "init").end()), &application(name)])).unwrap();
    let layer = |path: &str| {
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut tar::Header::new_gnu(), path, &b""[..]).unwrap();
        tar.into_inner().unwrap()
    };
    let tree = merge_archives(&[&layer("a"), &layer("d/b")], &Limits::default(), folder).unwrap();
    let step = |line, instruction: &str, base_image| LayerStep {
        instruction: instruction.into(),
        place: Some(StepPlace { file: "Containerfile".into(), line, base_image }),
    };
    let side = Side::open(&path, &Limits::default(), folder).unwrap();
    let Facts::Eif { image, .. } = side.facts() else { panic!("is an enclave image") };
    let steps = [step(1, "FROM x", true), step(7, "RUN date", false)];
    fs::write(LayerRecord::path(&path), LayerRecord::to_file(image.sha256, &steps, &tree).unwrap()).unwrap();
    path
}

#[test]
fn a_build_says_which_line_wrote_a_file_of_an_enclave_image() {
    let folder = tempfile::tempdir().unwrap();
    let [left, right] = ["left.eif", "right.eif"].map(|name| built(folder.path(), name));
    // That of a deployed image nobody has.
    fs::remove_file(LayerRecord::path(&right)).unwrap();
    let names = ["left.eif", "right.eif"];
    let comparison = compared(folder.path(), names);
    let base = Some("the base image, Containerfile:1 FROM x".to_owned());
    let expected = [("/a", base, None), ("/d/b", Some("Containerfile:7 RUN date".to_owned()), None)];
    assert_eq!(said(&comparison), expected);
    assert!(comparison.to_text(5).contains("\n      written by: Containerfile:7 RUN date\n"));
    let json = serde_json::to_value(&comparison.differences[1].left).unwrap();
    let expected = serde_json::json!({"layer": 2, "instruction": "RUN date", "containerfile": "Containerfile", "line": 7, "base_image": false});
    assert_eq!(json["written_by"], expected);

    // The record of another image, of the same name.
    fs::rename(LayerRecord::path(&left), LayerRecord::path(&right)).unwrap();
    assert!(
        said(&compared(folder.path(), names)).iter().all(|(_, left, right)| (left, right) == (&None, &None))
    );
}
