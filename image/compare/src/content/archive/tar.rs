//! tar and cpio archives.

use super::super::Budget;
use super::super::findings::Findings;
use super::closed;
use super::members::{self, Member, Members, compare as compare_members};
use caution_rootfs::cpio::{self, EntryKind};
use std::borrow::Cow;
use std::io::Read;

/// Compares two tar archives.
pub(in crate::content) fn compare(left: &[u8], right: &[u8], budget: Budget, findings: &mut Findings) {
    compare_read(read(left), read(right), (left, right), budget, findings);
}

/// Compares two cpio archives.
pub(in crate::content) fn compare_cpio(left: &[u8], right: &[u8], budget: Budget, findings: &mut Findings) {
    compare_read(read_cpio(left), read_cpio(right), (left, right), budget, findings);
}

fn compare_read(
    left: Members<'_>,
    right: Members<'_>,
    bytes: (&[u8], &[u8]),
    budget: Budget,
    findings: &mut Findings,
) {
    match (left, right) {
        (Ok(l), Ok(r)) => compare_members(&l, &r, budget, findings),
        (Err(reason), _) | (_, Err(reason)) => closed(reason, bytes.0, bytes.1, findings),
    }
}

fn read(bytes: &[u8]) -> Members<'_> {
    let malformed = |_| "it is no tar archive that is read here";
    let mut archive = tar::Archive::new(bytes);
    let mut found = Vec::new();
    for entry in archive.entries().map_err(malformed)? {
        let entry = entry.map_err(malformed)?;
        if found.len() >= members::MOST {
            return Err("it has more members than are looked at");
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let header = entry.header();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let kind = char::from(header.entry_type().as_byte());
        let of_name = |name: Result<Option<&str>, _>| name.ok().flatten().unwrap_or("").to_owned();
        let owner = format!(
            "{}:{} ({}:{})",
            header.uid().unwrap_or(0),
            header.gid().unwrap_or(0),
            of_name(header.username().map_err(|_| ())),
            of_name(header.groupname().map_err(|_| ())),
        );
        let (time, mode) =
            (header.mtime().ok().and_then(|time| i64::try_from(time).ok()), header.mode().ok());
        // A header may announce more than there is; what is there ends the reading.
        let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX).min(bytes.len());
        let length = usize::try_from(entry.size()).unwrap_or(usize::MAX).min(bytes.len() - start);
        found.push(Member {
            name,
            time,
            mode,
            owner: Some(owner),
            what: format!("kind {kind} {}", link.unwrap_or_default()).trim_end().to_owned(),
            content: Cow::Borrowed(&bytes[start..start + length]),
            ..Member::default()
        });
    }
    Ok(found)
}

fn read_cpio(bytes: &[u8]) -> Members<'_> {
    let malformed = |_| "it is no cpio archive that is read here";
    let mut reader = cpio::Reader::new(bytes);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().map_err(malformed)? {
        if found.len() >= members::MOST {
            return Err("it has more members than are looked at");
        }
        let what = match &entry.entry.kind {
            EntryKind::File { .. } | EntryKind::HardLink { .. } => "file".to_owned(),
            EntryKind::Symlink(target) => format!("link to {}", String::from_utf8_lossy(target)),
            other => format!("{other:?}"),
        };
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|_| "it is truncated")?;
        found.push(Member {
            name: String::from_utf8_lossy(&entry.entry.path).into_owned(),
            time: Some(entry.mtime.into()),
            mode: Some(entry.entry.mode),
            owner: Some(format!("{}:{}", entry.entry.uid, entry.entry.gid)),
            what,
            content: Cow::Owned(content),
            ..Member::default()
        });
    }
    Ok(found)
}
