//! The rules about source text: `unsafe` lives in one crate, and core asks the world for nothing.

use super::rules::Problem;

/// The one folder that may hold `unsafe`.
const UNSAFE_FOLDER: &str = "enclave/sys/";

/// Parts of `std` through which a program learns what it was not told. Threads are no such part: a
/// scoped one computes what its caller would.
const AMBIENT: [&str; 6] = ["env", "fs", "net", "os", "process", "time"];
/// Plain values that live in those parts.
const VALUES: [&str; 4] = ["time::Duration", "net::IpAddr", "net::Ipv4Addr", "net::Ipv6Addr"];

/// Problems of one file; `path` is relative to the repository.
pub(crate) fn check(path: &str, text: &str) -> Vec<Problem> {
    let code = blank_comments_and_literals(text);
    let mut problems = Vec::new();
    if !path.starts_with(UNSAFE_FOLDER) {
        problems.extend(words(&code).filter(|(_, word)| matches!(*word, "unsafe" | "unsafe_code")).map(
            |(at, word)| Problem {
                place: format!("{path}:{}", line_of(&code, at)),
                what: format!("`{word}` stands here; only {UNSAFE_FOLDER} may hold it."),
                fix: "Call a safe wrapper, or add one to enclave/sys with its SAFETY comment.".into(),
            },
        ));
    }
    if path.starts_with("core/") && path.contains("/src/") && !path.contains("/tests") {
        problems.extend(ambient(path, without_tests(&code)));
    }
    problems
}

/// `std::fs`, `std::{fs, …}` and their like.
fn ambient(path: &str, code: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, prefix) in code.match_indices("std::") {
        for item in expand(&code[at + prefix.len()..]) {
            let module = item.split("::").next().unwrap_or_default();
            let is = |value: &&str| {
                item.strip_prefix(*value).is_some_and(|more| more.is_empty() || more.starts_with("::"))
            };
            if AMBIENT.contains(&module) && !VALUES.iter().any(is) {
                problems.push(Problem {
                    place: format!("{path}:{}", line_of(code, at)),
                    what: format!("core uses `std::{item}`; it may not look at the world by itself."),
                    fix: "Take the value as an argument, and let a binary fetch it.".into(),
                });
            }
        }
    }
    problems
}

/// The paths that `a::b` or `a::{b, c::{d}}` at the beginning of `rest` stand for.
fn expand(rest: &str) -> Vec<String> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let rest = rest.trim_start();
    let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
    let (path, after) = rest.split_at(end);
    let Some(group) = after.strip_prefix('{') else { return vec![path.to_owned()] };
    let mut found = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                found.extend(expand(&group[start..at]).into_iter().map(|item| format!("{path}{item}")));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// Tests stand at the end of a file.
fn without_tests(code: &str) -> &str {
    &code[..code.find("#[cfg(test)]").unwrap_or(code.len())]
}

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.split(move |c| !is_word(c)).map(|word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

fn line_of(code: &str, at: usize) -> usize {
    1 + code[..at].matches('\n').count()
}

/// The source with every comment and literal turned into spaces; line breaks stay.
fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = skipped_length(rest);
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            let (gone, after) = rest.split_at(skipped);
            code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = after;
        }
    }
    code
}

/// How many bytes from here are a comment or a literal; 0 when none begins here.
fn skipped_length(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if let Some(inner) = rest.strip_prefix('"') {
        return 1 + quoted(inner, '"');
    }
    if rest.starts_with('r') {
        return raw_string(rest);
    }
    match rest.strip_prefix('\'') {
        // `'a'` and `'\n'` are characters, `'a` is a lifetime.
        Some(inner) if inner.starts_with('\\') || inner.chars().nth(1) == Some('\'') => {
            1 + quoted(inner, '\'')
        }
        _ => 0,
    }
}

/// Length up to and with the closing quote, escapes skipped.
fn quoted(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    inner.len()
}

/// Length of `r"…"` or `r#"…"#`; 0 when this is neither.
fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let open = 1 + hashes;
    if !rest[open..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let body = open + 1;
    rest[body..].find(&close).map_or(rest.len(), |at| body + at + close.len())
}

/// Length of a block comment; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(path: &str, text: &str) -> Vec<String> {
        check(path, text).into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn danger_is_found_outside_its_crate_only() {
        let text = "fn f() {\n    unsafe { g() }\n}\n";
        assert_eq!(places("core/eif/src/lib.rs", text), ["core/eif/src/lib.rs:2"]);
        assert_eq!(places("enclave/os/src/main.rs", "#![allow(unsafe_code)]"), ["enclave/os/src/main.rs:1"]);
        assert_eq!(places("enclave/sys/src/lib.rs", text), [""; 0]);
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        for text in [
            "// unsafe\n",
            "/* a /* unsafe */ unsafe */ fn f() {}",
            "const A: &str = \"\\\" unsafe\";",
            "const A: &str = r#\"\" unsafe\"#;",
            "const A: char = '\"'; const B: char = '\\''; // unsafe",
            "fn f<'a>(x: &'a str) {} // unsafe",
            "fn not_unsafe_at_all() {}",
        ] {
            assert_eq!(places("image/build/src/lib.rs", text), [""; 0], "{text}");
        }
        // A lifetime does not open a literal that hides what follows.
        assert_eq!(places("image/a.rs", "fn f<'a>() { unsafe {} } fn g<'b>() {}").len(), 1);
    }

    #[test]
    fn core_asks_the_world_for_nothing() {
        let path = "core/attest/src/lib.rs";
        for text in [
            "use std::fs::File;",
            "use std::{collections::BTreeMap, env};",
            "use std::{io::{Read, Write}, net::{IpAddr, TcpStream}};",
            "fn f() { std::time::SystemTime::now(); }",
            "use std::{time::{Duration, Instant}};",
        ] {
            assert_eq!(places(path, text), [format!("{path}:1")], "{text}");
        }
        for text in [
            "use std::collections::BTreeMap;",
            "use std::time::Duration;",
            "use std::io::Read;",
            "use std::net::{IpAddr, Ipv4Addr};",
            "fn f() { std::time::Duration::from_secs(1); std::thread::scope(|s| ()); }",
            "#[cfg(test)]\nmod tests { use std::fs; }",
        ] {
            assert_eq!(places(path, text), [""; 0], "{text}");
        }
        assert_eq!(places("image/build/src/lib.rs", "use std::fs;"), [""; 0]);
        assert_eq!(places("core/attest/tests/real.rs", "use std::fs;"), [""; 0]);
    }
}
