//! Python byte code: the header of PEP 552, and the strings of the code behind it.

use super::MOST_PIECES;
use super::binary::{amount, compare_lists, refs};
use super::findings::Findings;
use super::judge::Context;
use super::moment::written;
use super::order;
use crate::cause::Cause;

/// Compares two `.pyc` files of 16 bytes or more each.
pub(super) fn compare(left: &[u8], right: &[u8], findings: &mut Findings) {
    let (Some((left_head, left_code)), Some((right_head, right_code))) =
        (left.split_first_chunk::<16>(), right.split_first_chunk::<16>())
    else {
        findings.unexplained("", amount(left, right));
        return;
    };
    let field =
        |head: &[u8; 16], at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (l, r) = (field(left_head, 0) & 0xffff, field(right_head, 0) & 0xffff);
    if l != r {
        let evidence = format!("byte code of {} → {}", version(l), version(r));
        findings.change("header", &evidence);
        findings.shows(Cause::Toolchain, "header", evidence);
        return;
    }
    let (l, r) = (field(left_head, 4), field(right_head, 4));
    if l != r {
        findings.unexplained("header", format!("{} → {}", validation(l), validation(r)));
    } else if l & 1 == 0 {
        let (l, r) = (field(left_head, 8), field(right_head, 8));
        if l != r {
            let evidence = format!("source of {} → {}", written(l.into()), written(r.into()));
            findings.change("header", &evidence);
            findings.shows(Cause::PycTime, "header", evidence);
        }
        let (l, r) = (field(left_head, 12), field(right_head, 12));
        if l != r {
            findings.unexplained("header", format!("source of {l} → {r} bytes"));
        }
    } else if left_head[8..] != right_head[8..] {
        findings.unexplained("header", "another source: its hash differs");
    }
    if left_code != right_code {
        compare_code(left_code, right_code, findings);
    }
}

fn compare_code(left: &[u8], right: &[u8], findings: &mut Findings) {
    let (left_strings, right_strings) = (marshalled(left), marshalled(right));
    let (l, r) = (refs(&left_strings), refs(&right_strings));
    // What marshal writes of a set follows its hash table; references are numbered along.
    if left.len() == right.len() && l != r && order::same_things(&l, &r) {
        let (first, other) = l.iter().zip(&r).find(|(l, r)| l != r).unwrap_or((&"", &""));
        let evidence = format!("the constants of a set in another order, first {first} → {other}");
        findings.change("code", &evidence);
        findings.shows_with_fix(
            Cause::FileOrder,
            "code",
            evidence,
            Some("PYTHONHASHSEED=0 where it is compiled, or PYTHONDONTWRITEBYTECODE=1"),
        );
        return;
    }
    let context = Context { compiled: true, ..Context::default() };
    let complete = compare_lists("code", &l, &r, &context, findings);
    let rest = |code: &[u8], strings: &[&str]| code.len() - strings.iter().map(|s| s.len()).sum::<usize>();
    if !complete || l == r || rest(left, &l) != rest(right, &r) {
        findings.unexplained("code", amount(left, right));
    }
}

/// The strings of marshalled code: a type, with or without the mark of a reference, a length, the bytes.
fn marshalled(code: &[u8]) -> Vec<String> {
    let mut strings = Vec::new();
    let (mut at, mut vain) = (0, 0);
    while at < code.len() && strings.len() < MOST_PIECES {
        let rest = &code[at + 1..];
        let (head, length) = match code[at] & 0x7f {
            b'z' | b'Z' if !rest.is_empty() => (1, usize::from(rest[0])),
            b'a' | b'A' | b'u' | b't' if rest.len() >= 4 => {
                (4, u32::from_le_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize)
            }
            _ => (0, 0),
        };
        let text =
            rest.get(head..).and_then(|rest| rest.get(..length)).and_then(|b| std::str::from_utf8(b).ok());
        match text {
            Some(text) if length > 0 && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => {
                strings.push(text.to_owned());
                at += 1 + head + length;
            }
            _ => {
                at += 1;
                // Lengths that lead to nothing, again and again, are no code.
                vain += length.min(code.len());
                if vain > MOST_VAIN_BYTES {
                    break;
                }
            }
        }
    }
    strings
}

fn validation(flags: u32) -> &'static str {
    match flags {
        0 => "checked by time",
        1 => "checked by nothing",
        3 => "checked by hash",
        _ => "checked in a way that is not known here",
    }
}

/// The release of a magic number (CPython, `Lib/importlib/_bootstrap_external.py`).
fn version(magic: u32) -> String {
    let release = match magic {
        3390..=3399 => "3.7",
        3400..=3419 => "3.8",
        3420..=3429 => "3.9",
        3430..=3449 => "3.10",
        3450..=3499 => "3.11",
        3500..=3549 => "3.12",
        3550..=3599 => "3.13",
        3600..=3649 => "3.14",
        _ => return format!("Python with magic number {magic}"),
    };
    format!("Python {release}")
}

const MOST_VAIN_BYTES: usize = 256 << 20;
