//! zip archives, jars and wheels, by their central directory (APPNOTE.TXT 6.3.10, §4.3 and §4.5).

use super::super::Budget;
use super::super::findings::Findings;
use super::super::moment::{DAY, day_number};
use super::closed;
use super::members::{self, Member, Members, Stored, compare as compare_members};

/// Compares two archives.
pub(in crate::content) fn compare(left: &[u8], right: &[u8], budget: Budget, findings: &mut Findings) {
    match (read(left), read(right)) {
        (Ok(l), Ok(r)) => compare_members(&l, &r, budget, findings),
        (Err(reason), _) | (_, Err(reason)) => closed(reason, left, right, findings),
    }
}

fn read(bytes: &[u8]) -> Members<'_> {
    let end = end_of_directory(bytes).ok_or("it has no central directory")?;
    let count = usize::from(end.u16(10).unwrap_or(0));
    let start = end.u32(16).unwrap_or(0) as usize;
    let mut rest = Fields(bytes.get(start..).ok_or("its central directory lies outside")?);
    let mut found = Vec::new();
    let mut stored = 0;
    for _ in 0..count.min(members::MOST + 1) {
        if found.len() >= members::MOST {
            return Err("it has more members than are looked at");
        }
        let (member, length) = member(bytes, &rest).ok_or("its central directory is malformed")?;
        stored += member.stored.map_or(0, |stored| stored.bytes.len());
        // Members that share their bytes are made to be unfolded again and again.
        if stored > bytes.len() {
            return Err("its members overlap");
        }
        found.push(member);
        rest = Fields(rest.0.get(length..).unwrap_or_default());
    }
    Ok(found)
}

/// The last record that can be one: a comment of up to 64 KiB may follow it.
fn end_of_directory(bytes: &[u8]) -> Option<Fields<'_>> {
    let earliest = bytes.len().saturating_sub(22 + 0xffff);
    let latest = bytes.len().checked_sub(22)?;
    (earliest..=latest)
        .rev()
        .find(|at| bytes[*at..].starts_with(b"PK\x05\x06"))
        .map(|at| Fields(&bytes[at..]))
}

/// The member of one record of the directory, and the record's length.
fn member<'a>(bytes: &'a [u8], record: &Fields<'a>) -> Option<(Member<'a>, usize)> {
    if !record.0.starts_with(b"PK\x01\x02") {
        return None;
    }
    let (name_length, extra_length, comment_length) =
        (usize::from(record.u16(28)?), usize::from(record.u16(30)?), usize::from(record.u16(32)?));
    let name = record.0.get(46..46 + name_length)?;
    let extra = record.0.get(46 + name_length..46 + name_length + extra_length)?;
    let (times, owner) = extras(extra);
    let unix = record.u16(4)? >> 8 == 3;
    let mode = record.u32(38)? >> 16;
    let local = record.u32(42)? as usize;
    let header = Fields(bytes.get(local..)?);
    let content_at = 30 + usize::from(header.u16(26)?) + usize::from(header.u16(28)?);
    let content = header.0.get(content_at..)?.get(..record.u32(20)? as usize)?;
    let member = Member {
        name: String::from_utf8_lossy(name).into_owned(),
        time: times,
        wall_time: wall_time(record.u16(12)?, record.u16(14)?),
        mode: (unix && mode != 0).then_some(mode & 0o7777),
        owner,
        what: format!("made by system {}", record.u16(4)? >> 8),
        stored: Some(Stored {
            method: record.u16(10)?,
            bytes: content,
            crc: record.u32(16)?,
            size: record.u32(24)?,
        }),
        ..Member::default()
    };
    Some((member, 46 + name_length + extra_length + comment_length))
}

/// Info-ZIP's extra fields: the time as an instant, user and group as numbers.
fn extras(mut extra: &[u8]) -> (Option<i64>, Option<String>) {
    let (mut time, mut owner) = (None, None);
    while let Some(field) = Fields(extra).u16(0).zip(Fields(extra).u16(2)) {
        let Some(body) = extra.get(4..4 + usize::from(field.1)) else { break };
        match field.0 {
            0x5455 if body.first().is_some_and(|flags| flags & 1 != 0) => {
                time = Fields(body).u32(1).map(i64::from);
            }
            0x7875 => {
                owner = Fields(body)
                    .u32(2)
                    .zip(Fields(body).u32(7))
                    .map(|(user, group)| format!("{user}:{group}"));
            }
            _ => {}
        }
        extra = &extra[4 + usize::from(field.1)..];
    }
    (time, owner)
}

/// MS-DOS: two seconds a step, years from 1980, no zone.
fn wall_time(time: u16, date: u16) -> Option<i64> {
    let (time, date) = (i64::from(time), i64::from(date));
    let day = day_number(1980 + (date >> 9), (date >> 5) & 15, date & 31)?;
    Some(day * DAY + (time >> 11) * 3600 + ((time >> 5) & 63) * 60 + (time & 31) * 2)
}

/// Little-endian numbers at places that may not be there.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes([*self.0.get(at)?, *self.0.get(at + 1)?]))
    }

    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from(self.u16(at)?) | u32::from(self.u16(at + 2)?) << 16)
    }
}
