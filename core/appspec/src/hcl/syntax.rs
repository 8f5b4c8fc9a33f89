//! Text to syntax tree, past repeated attributes.

use crate::problem::Report;
use hcl_edit::structure::Body;
use std::collections::BTreeSet;

/// A parsed file, and where a repeated attribute was set aside.
pub(super) struct Tree {
    pub(super) body: Body,
    /// Byte offsets of keys that are reported already and to be passed over.
    pub(super) repeated: BTreeSet<usize>,
}

/// Parses the file, reporting a syntax error or every repeated attribute.
///
/// The grammar refuses a repeated attribute and stops there. To find the other problems of the
/// file too, the repetition is reported, its key replaced by an unused one of the same length, and
/// the text parsed again.
pub(super) fn parse(report: &mut Report<'_>) -> Option<Tree> {
    let mut text = report.text().to_owned();
    let mut repeated = BTreeSet::new();
    // The grammar compares every key of an object with all before it.
    if text.bytes().filter(|b| matches!(b, b'=' | b':')).count() > MAX_ASSIGNMENTS {
        report.problem(0, format!("The file sets more than {MAX_ASSIGNMENTS} values."), None);
        return None;
    }
    for round in 0..=MAX_REPEATED {
        let error = match text.parse::<Body>() {
            Ok(body) => return Some(Tree { body, repeated }),
            Err(error) => error,
        };
        let at = error.location().offset();
        let key = if error.message().contains("redefined") { key_at(&text, at) } else { None };
        if let Some((key_at, key)) = key
            && round < MAX_REPEATED
        {
            let message = format!("`{key}` is given twice in the same block.");
            report.problem(key_at, message, Some("keep one of the two".to_owned()));
            let unused = unused_key(round, key.len())?;
            text.replace_range(key_at..key_at + unused.len(), &unused);
            repeated.insert(key_at);
            continue;
        }
        let message = format!("This is not HCL: {}.", error.message());
        report.problem(at.min(text.len()), message, None);
        return None;
    }
    None
}

/// The plain key at an offset, or in quotes there.
fn key_at(text: &str, at: usize) -> Option<(usize, String)> {
    let rest = text.get(at..)?;
    let start = at + usize::from(rest.starts_with('"'));
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key: String = text[start..].chars().take_while(plain).collect();
    (!key.is_empty()).then_some((start, key))
}

/// A key nobody writes, of exactly `length` bytes; `None` where that is too short for `round`.
fn unused_key(round: usize, length: usize) -> Option<String> {
    let digits = format!("{round}");
    (length > digits.len()).then(|| format!("{}{digits}", "_".repeat(length - digits.len())))
}

/// Repetitions found before the file is given up on.
const MAX_REPEATED: usize = 20;
/// `=` and `:` in a file, strings and comments included.
const MAX_ASSIGNMENTS: usize = 8192;
