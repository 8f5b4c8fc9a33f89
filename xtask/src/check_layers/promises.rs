//! Every test that SPECIFICATION.md names exists.

use super::rules::Problem;

/// A test that a line names as `` `path/to/file.rs#test_name` ``, or `` `path/to/file.ts#what it says` ``.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    /// One-based line of SPECIFICATION.md.
    pub(crate) line: usize,
    /// Path in the repository.
    pub(crate) file: &'a str,
    /// Function name; in TypeScript the test's sentence.
    pub(crate) test: &'a str,
}

/// The references of the text, in order.
pub(crate) fn references(specification: &str) -> Vec<Reference<'_>> {
    let quoted = |(line, text)| quotations(text).map(move |quotation| (line, quotation));
    let lines = (1..).zip(specification.lines()).flat_map(quoted);
    let named = lines.filter_map(|(line, quotation)| {
        let (file, test) = quotation.split_once('#')?;
        matches!(language(file), Some("rs" | "ts")).then_some(Reference { line, file, test })
    });
    named.collect()
}

/// A problem when `source`, the file's text, holds no such test.
pub(crate) fn check(reference: &Reference<'_>, source: Option<&str>) -> Option<Problem> {
    let Reference { line, file, test } = reference;
    let declaration =
        if language(file) == Some("ts") { format!("\"{test}\",") } else { format!("fn {test}(") };
    let what = match source {
        None => format!("It names the test file {file}, which does not exist."),
        Some(text) if !text.contains(&declaration) => {
            format!("It names the test `{test}`, which is not in {file}.")
        }
        Some(_) => return None,
    };
    let fix = "Name the test that keeps this promise now; a promise without one is none.".into();
    Some(Problem { place: format!("SPECIFICATION.md:{line}"), what, fix })
}

/// A file's extension.
fn language(file: &str) -> Option<&str> {
    file.rsplit_once('.').map(|(_, extension)| extension)
}

/// What stands between backticks.
fn quotations(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_and_looked_up() {
        let text =
            "# Title\n| 1 | x | `a/b.rs#holds` and `c.rs#gone`, `d.rs`, `e.ts#it holds`, `f.md#top` |\n";
        let found = references(text);
        let reference = |file, test| Reference { line: 2, file, test };
        let expected = [("a/b.rs", "holds"), ("c.rs", "gone"), ("e.ts", "it holds")];
        assert_eq!(found, expected.map(|(file, test)| reference(file, test)));

        assert_eq!(check(&found[0], Some("#[test]\nfn holds() {}")), None);
        assert_eq!(check(&found[2], Some("test(\"it holds\", () => {})")), None);
        let renamed = check(&found[1], Some("fn gone_by() {}")).unwrap();
        assert_eq!(renamed.what, "It names the test `gone`, which is not in c.rs.");
        let missing = check(&found[1], None).unwrap();
        assert_eq!(missing.place, "SPECIFICATION.md:2");
    }
}
