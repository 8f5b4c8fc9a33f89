//! `ar` archives: static libraries and Debian packages.

use super::super::Budget;
use super::super::findings::Findings;
use super::compressed::inner_path;
use super::members::{self, Member, Members};
use super::{closed, members::compare as compare_members};
use std::borrow::Cow;

/// Compares two archives.
pub(in crate::content) fn compare(left: &[u8], right: &[u8], budget: Budget, findings: &mut Findings) {
    match (read(left), read(right)) {
        (Ok(l), Ok(r)) => compare_members(&l, &r, budget, findings),
        (Err(reason), _) | (_, Err(reason)) => closed(reason, left, right, findings),
    }
}

fn read(bytes: &[u8]) -> Members<'_> {
    let mut found: Vec<Member<'_>> = Vec::new();
    let mut long_names: &[u8] = &[];
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((header, after)) = rest.split_first_chunk::<60>() {
        let size = number(&header[48..58], 10).ok_or("a member's size is malformed")?;
        let size = usize::try_from(size).map_err(|_| "a member's size is malformed")?;
        let content = after.get(..size).ok_or("the archive is truncated")?;
        rest = after.get(size + size % 2..).unwrap_or_default();
        let name = String::from_utf8_lossy(&header[..16]).trim_end().to_owned();
        if name == "//" {
            long_names = content;
            continue;
        }
        // The table of symbols follows from the members; a difference of it alone would be theirs.
        if name == "/" || name == "/SYM64/" {
            continue;
        }
        if found.len() >= members::MOST {
            return Err("it has more members than are looked at");
        }
        let name = long_name(&name, long_names).unwrap_or_else(|| name.trim_end_matches('/').to_owned());
        // The parts of a Debian package are named by their compression, too.
        let of_package = name.starts_with("data.tar.") || name.starts_with("control.tar.");
        let owner = (number(&header[28..34], 10), number(&header[34..40], 10));
        found.push(Member {
            name: if of_package { inner_path(&name).to_owned() } else { name },
            time: number(&header[16..28], 10).and_then(|time| i64::try_from(time).ok()),
            mode: number(&header[40..48], 8).and_then(|mode| u32::try_from(mode & 0o7777).ok()),
            owner: Some(format!("{}:{}", owner.0.unwrap_or(0), owner.1.unwrap_or(0))),
            content: Cow::Borrowed(content),
            ..Member::default()
        });
    }
    Ok(found)
}

/// GNU: `/123` is a place in the member `//`, where names end with `/` and a line end.
fn long_name(name: &str, names: &[u8]) -> Option<String> {
    let at: usize = name.strip_prefix('/')?.parse().ok()?;
    let rest = names.get(at..)?;
    let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    Some(String::from_utf8_lossy(&rest[..end]).trim_end_matches('/').to_owned())
}

fn number(field: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(field).ok()?.trim(), radix).ok()
}
