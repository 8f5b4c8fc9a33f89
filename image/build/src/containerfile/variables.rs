//! Values of `ARG`s where a Containerfile uses them.

use std::collections::BTreeMap;

/// Without the quotes around it.
pub(super) fn unquoted(value: &str) -> &str {
    ['"', '\''].iter().find_map(|&q| value.strip_prefix(q)?.strip_suffix(q)).unwrap_or(value)
}

/// Puts `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}` in; `None` for a name without value.
pub(super) fn substitute(text: &str, args: &BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let value = if let Some(braced) = after.strip_prefix('{') {
            let (inside, tail) = braced.split_once('}')?;
            rest = tail;
            braced_value(inside, args)?
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            rest = &after[end..];
            args.get(&after[..end])?.clone()
        };
        out.push_str(&value);
    }
    out.push_str(rest);
    Some(out)
}

fn braced_value(inside: &str, args: &BTreeMap<String, String>) -> Option<String> {
    let set = |name: &str| args.get(name).filter(|value| !value.is_empty()).cloned();
    if let Some((name, default)) = inside.split_once(":-") {
        set(name).or_else(|| Some(default.to_owned()))
    } else if let Some((name, other)) = inside.split_once(":+") {
        Some(set(name).map(|_| other.to_owned()).unwrap_or_default())
    } else {
        args.get(inside).cloned()
    }
}
