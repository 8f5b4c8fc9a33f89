//! What is written about causes: each has a page, and no page is about anything else.

use caution_compare::Cause;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[test]
fn every_cause_has_a_page_and_every_page_a_cause() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
    let (summary, causes) = (docs.join("SUMMARY.md"), docs.join("reproducibility/causes.md"));
    let (summary, causes) = (fs::read_to_string(summary).unwrap(), fs::read_to_string(causes).unwrap());
    for name in Cause::ALL.map(Cause::name) {
        let page = fs::read_to_string(docs.join(format!("reproducibility/{name}.md"))).unwrap_or_default();
        assert!(
            page.contains(&format!("\n`{name}`: ")),
            "{name} has no page, or that does not begin with it"
        );
        assert!(page.contains("fix: "), "the page of {name} shows no fix");
        assert!(summary.contains(&format!("(reproducibility/{name}.md)")), "SUMMARY.md has no {name}");
        let row = causes.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some_and(|row| row.contains(&format!("({name}.md)"))), "causes.md has no {name}");
    }
    let pages: BTreeSet<String> = fs::read_dir(docs.join("reproducibility"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named = Cause::ALL.map(|cause| format!("{cause}.md")).into_iter().chain(["causes.md".to_owned()]);
    assert_eq!(pages, named.collect());
}
