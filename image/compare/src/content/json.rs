//! JSON by its values: the order of keys apart from what they hold.

use super::findings::Findings;
use super::judge::{Context, explain};
use super::{order, text};
use crate::cause::Cause;
use serde_json::Value;

/// Compares two documents.
pub(super) fn compare(path: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    // serde_json reads 128 levels at most, so recursion below ends.
    let (Ok(l), Ok(r)) = (serde_json::from_slice::<Value>(left), serde_json::from_slice::<Value>(right))
    else {
        text::compare(path, left, right, findings);
        return;
    };
    if l != r {
        let context =
            Context { settings: !is_report(path, left) && !is_report(path, right), ..Context::default() };
        compare_values(("", ""), (&l, &r), &context, findings);
    }
    let (l, r) = (keys(left), keys(right));
    if l != r && order::same_things(&l, &r) {
        let (first, other) = l.iter().zip(&r).find(|(l, r)| l != r).unwrap_or((&"", &""));
        let evidence = format!("the same {} keys in another order, first {first} → {other}", l.len());
        findings.change("keys", &evidence);
        findings.shows_with_fix(
            Cause::FileOrder,
            "keys",
            evidence,
            Some("sort the keys as they are written: `sort_keys=True`, `jq -S`"),
        );
    }
}

/// Whether a document says of a build, by its name or by a key that nothing else has.
fn is_report(path: &str, document: &[u8]) -> bool {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let name = plain(path.rsplit('/').next().unwrap_or(path));
    name.starts_with("build")
        || keys(document).iter().any(|key| {
            let key = plain(key);
            REPORT_KEYS.iter().any(|part| key.contains(part))
        })
}

/// Compares what stands at a place, behind a key.
fn compare_values(
    (place, key): (&str, &str),
    (left, right): (&Value, &Value),
    context: &Context<'_>,
    findings: &mut Findings,
) {
    if left == right {
        return;
    }
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            for (key, l_value) in l.iter().filter(|(key, value)| r.get(*key) != Some(value)) {
                match r.get(key) {
                    Some(r_value) => {
                        compare_values((&below(place, key), key), (l_value, r_value), context, findings);
                    }
                    None => findings.unexplained(&below(place, key), "only on the left"),
                }
            }
            for key in r.keys().filter(|key| !l.contains_key(*key)) {
                findings.unexplained(&below(place, key), "only on the right");
            }
        }
        (Value::Array(l), Value::Array(r)) => compare_arrays((place, key), (l, r), context, findings),
        _ => {
            let written = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let (l, r) = (written(left), written(right));
            let lower = spaced(key);
            let place = place.trim_start_matches('.');
            findings.change(place, format!("{l} → {r}"));
            let context = Context { key: &lower, ..*context };
            if !explain(place, &l, &r, &context, findings).is_some_and(|explained| explained.complete) {
                findings.leave_open();
            }
        }
    }
}

fn compare_arrays(
    (place, key): (&str, &str),
    (left, right): (&[Value], &[Value]),
    context: &Context<'_>,
    findings: &mut Findings,
) {
    if left.len() != right.len() {
        findings
            .unexplained(place.trim_start_matches('.'), format!("{} → {} elements", left.len(), right.len()));
        return;
    }
    let written = |values: &[Value]| -> Vec<String> { values.iter().map(Value::to_string).collect() };
    let (l, r) = (written(left), written(right));
    if l.len() > 2 && order::same_things(&l, &r) {
        let (first, other) = l.iter().zip(&r).find(|(l, r)| l != r).unwrap_or((&l[0], &r[0]));
        let evidence = format!("the same {} elements in another order, first {first} → {other}", l.len());
        let place = place.trim_start_matches('.');
        findings.change(place, &evidence);
        findings.shows(Cause::FileOrder, place, evidence);
        return;
    }
    for (index, (l, r)) in left.iter().zip(right).enumerate() {
        compare_values((&below(place, &format!("[{index}]")), key), (l, r), context, findings);
    }
}

/// A place below another, cut where it is long.
fn below(place: &str, key: &str) -> String {
    let dot = if key.starts_with('[') { "" } else { "." };
    super::findings::shortened(&format!("{place}{dot}{key}"), MOST_PLACE_BYTES)
}

/// `buildTime` as `build time`.
fn spaced(key: &str) -> String {
    let mut text = String::new();
    let mut lower = false;
    for c in key.chars() {
        if c.is_uppercase() && lower {
            text.push(' ');
        }
        lower = c.is_lowercase();
        text.extend(c.to_lowercase());
    }
    text
}

/// Strings that are followed by a colon, in the order of the file.
fn keys(document: &[u8]) -> Vec<&str> {
    let mut keys = Vec::new();
    let mut at = 0;
    while let Some(start) = document.get(at..).and_then(|rest| rest.iter().position(|b| *b == b'"')) {
        let start = at + start + 1;
        let mut end = start;
        while end < document.len() && document[end] != b'"' {
            end += if document[end] == b'\\' { 2 } else { 1 };
        }
        at = end + 1;
        let colon = document.get(at..).and_then(|rest| rest.iter().find(|b| !b.is_ascii_whitespace()));
        if colon == Some(&b':')
            && let Some(Ok(key)) = document.get(start..end).map(std::str::from_utf8)
        {
            keys.push(key);
        }
    }
    keys
}

/// Parts of keys under which tools write when, where and by whom something was built.
const REPORT_KEYS: [&str; 10] = [
    "builtat",
    "builton",
    "builtby",
    "buildtime",
    "builddate",
    "buildhost",
    "builduser",
    "generatedat",
    "generatedon",
    "timestamp",
];
const MOST_PLACE_BYTES: usize = 200;
