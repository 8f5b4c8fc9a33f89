//! Members of two archives, whatever their format.

use super::super::findings::Findings;
use super::super::moment::written;
use super::super::{Budget, compare_within, order};
use crate::cause::Cause;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// A member of an archive.
#[derive(Debug, Default)]
pub(super) struct Member<'a> {
    pub(super) name: String,
    /// Seconds since the epoch.
    pub(super) time: Option<i64>,
    /// What a clock on the wall showed, where the format says only that (zip).
    pub(super) wall_time: Option<i64>,
    pub(super) mode: Option<u32>,
    /// Numbers and, where the format has them, names.
    pub(super) owner: Option<String>,
    /// Kind, link target, device: whatever else there is, in words.
    pub(super) what: String,
    pub(super) content: Cow<'a, [u8]>,
    /// How the content is stored, where it is compressed member by member.
    pub(super) stored: Option<Stored<'a>>,
}

/// Compressed content of a member, opened only where that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    pub(super) method: u16,
    pub(super) bytes: &'a [u8],
    pub(super) crc: u32,
    pub(super) size: u32,
}

/// Members that were read, and whether there are more than are looked at.
pub(super) type Members<'a> = Result<Vec<Member<'a>>, &'static str>;

/// Compares the members of two archives.
pub(super) fn compare(left: &[Member<'_>], right: &[Member<'_>], budget: Budget, findings: &mut Findings) {
    let (left_keys, right_keys) = (keys(left), keys(right));
    let in_left: HashSet<Key<'_>> = left_keys.iter().copied().collect();
    let in_right: HashMap<Key<'_>, &Member<'_>> = right_keys.iter().copied().zip(right).collect();
    for (name, _) in left_keys.iter().filter(|key| !in_right.contains_key(*key)) {
        findings.unexplained(name, "only on the left");
    }
    for (name, _) in right_keys.iter().filter(|key| !in_left.contains(*key)) {
        findings.unexplained(name, "only on the right");
    }
    let l: Vec<&str> = left_keys.iter().filter(|key| in_right.contains_key(*key)).map(|key| key.0).collect();
    let r: Vec<&str> = right_keys.iter().filter(|key| in_left.contains(*key)).map(|key| key.0).collect();
    if l != r {
        let (cause, evidence) = order::of_members(&l, &r);
        findings.change_shows(cause, "", &evidence);
    }
    let pairs: Vec<(&Member<'_>, &Member<'_>)> =
        left_keys.iter().zip(left).filter_map(|(key, l)| Some((l, *in_right.get(key)?))).collect();
    let shift = wall_clock_shift(&pairs);
    for (l, r) in pairs {
        compare_pair(l, r, shift, budget, findings);
    }
}

/// A name, and how often it came before: archives may hold a name twice.
type Key<'a> = (&'a str, usize);

fn keys<'a>(members: &'a [Member<'_>]) -> Vec<Key<'a>> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    members
        .iter()
        .map(|member| {
            let count = seen.entry(&member.name).or_default();
            *count += 1;
            (member.name.as_str(), *count)
        })
        .collect()
}

/// By how many seconds all clocks on the wall differ, where that is what another time zone makes of one moment.
fn wall_clock_shift(pairs: &[(&Member<'_>, &Member<'_>)]) -> Option<i64> {
    let mut shift = None;
    for (l, r) in pairs {
        let (Some(l_wall), Some(r_wall)) = (l.wall_time, r.wall_time) else { return None };
        // Both moments are said, and are one.
        if l.time.is_some() && r.time.is_some() && l.time != r.time {
            return None;
        }
        let apart = l_wall - r_wall;
        if *shift.get_or_insert(apart) != apart {
            return None;
        }
    }
    shift.filter(|apart| *apart != 0 && apart % 1800 == 0 && apart.abs() <= 26 * 3600)
}

fn compare_pair(
    left: &Member<'_>,
    right: &Member<'_>,
    shift: Option<i64>,
    budget: Budget,
    findings: &mut Findings,
) {
    let name = left.name.as_str();
    if left.time != right.time {
        let time = |time: Option<i64>| time.map_or_else(|| "none".to_owned(), written);
        findings.change_shows(
            Cause::EmbeddedTime,
            name,
            &format!("time {} → {}", time(left.time), time(right.time)),
        );
    } else if left.wall_time != right.wall_time {
        let time = |time: Option<i64>| {
            time.map_or_else(|| "none".to_owned(), |time| written(time).trim_end_matches(" UTC").to_owned())
        };
        let evidence = format!("local time {} → {}", time(left.wall_time), time(right.wall_time));
        let cause = if shift.is_some() { Cause::TimeZone } else { Cause::EmbeddedTime };
        findings.change_shows(cause, name, &evidence);
    }
    if let (Some(l), Some(r)) = (left.mode, right.mode)
        && l != r
    {
        findings.change_shows(Cause::Mode, name, &format!("mode {l:04o} → {r:04o}"));
    }
    if let (Some(l), Some(r)) = (&left.owner, &right.owner)
        && l != r
    {
        findings.change_shows(Cause::Owner, name, &format!("owner {l} → {r}"));
    }
    if left.what != right.what {
        findings.unexplained(name, format!("{} → {}", left.what, right.what));
    }
    compare_content(left, right, budget, findings);
}

fn compare_content(left: &Member<'_>, right: &Member<'_>, budget: Budget, findings: &mut Findings) {
    let name = left.name.as_str();
    let (l, r) = match (left.stored, right.stored) {
        (Some(l), Some(r)) if l == r => return,
        (Some(l), Some(r)) => {
            let l_content = l.open(budget.bytes, findings);
            let r_content = r.open(budget.bytes, findings);
            let (Some(l_content), Some(r_content)) = (l_content, r_content) else {
                findings.unexplained(
                    name,
                    "the content is damaged, too large, or compressed in a way that is not read",
                );
                return;
            };
            if l_content == r_content {
                let evidence = format!(
                    "the same {} bytes inside, {}, {} → {}, {} bytes",
                    l.size,
                    l.method_name(),
                    l.bytes.len(),
                    r.method_name(),
                    r.bytes.len()
                );
                findings.change_shows(Cause::Compression, name, &evidence);
                return;
            }
            (Cow::Owned(l_content), Cow::Owned(r_content))
        }
        _ => (Cow::Borrowed(&*left.content), Cow::Borrowed(&*right.content)),
    };
    if l == r {
        return;
    }
    match budget.inside() {
        Some(inside) => findings.inside(name, |findings| {
            compare_within(name, &l, &r, inside, findings);
        }),
        None => findings.unexplained(name, "archives lie in archives deeper than is looked"),
    }
}

impl Stored<'_> {
    fn open(&self, limit: usize, findings: &mut Findings) -> Option<Vec<u8>> {
        use std::io::Read;
        let limit = findings.may_unfold(limit);
        let mut content = Vec::new();
        match self.method {
            0 => content.extend_from_slice(self.bytes.get(..limit.min(self.bytes.len()))?),
            8 => {
                let decoder = flate2::read::DeflateDecoder::new(self.bytes);
                let read = decoder.take(limit as u64 + 1).read_to_end(&mut content);
                findings.unfolded(content.len());
                read.ok()?;
            }
            _ => return None,
        }
        (content.len() == self.size as usize && content.len() <= limit).then_some(content)
    }

    fn method_name(&self) -> &'static str {
        if self.method == 0 { "stored" } else { "deflated" }
    }
}

/// Members that are looked at, of one archive.
pub(super) const MOST: usize = 20_000;
