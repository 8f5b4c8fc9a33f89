//! PAX records: `<length> <key>=<value>\n`.

use super::{Globals, TarError};

/// The records that matter to a file system.
#[derive(Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) xattrs: Vec<Vec<u8>>,
    pub(super) sparse: PaxSparse,
}

/// GNU tar's records about holes.
#[derive(Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) real_size: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// A record of versions 0.0 and 0.1, which ended with GNU tar 1.15.91 in 2006.
    pub(super) is_old: bool,
}

impl PaxSparse {
    pub(super) fn is_present(&self) -> bool {
        self.is_old || self.major.is_some() || self.real_size.is_some()
    }
}

impl Pax {
    /// Adds the records of one extended header.
    pub(super) fn add(&mut self, mut records: &[u8], position: u64) -> Result<(), TarError> {
        while !records.is_empty() {
            let (record, rest) = split(records)
                .ok_or(TarError::Extension { position, reason: "a record's length is wrong" })?;
            let equals = record
                .iter()
                .position(|b| *b == b'=')
                .ok_or(TarError::Extension { position, reason: "a record has no `=`" })?;
            self.set(&record[..equals], &record[equals + 1..])
                .map_err(|reason| TarError::Extension { position, reason })?;
            records = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let text = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = no_nul(text())?,
            b"linkpath" => self.link = no_nul(text())?,
            b"size" => self.size = optional(value)?,
            b"uid" => self.uid = narrow(value)?,
            b"gid" => self.gid = narrow(value)?,
            b"GNU.sparse.major" => self.sparse.major = optional(value)?,
            b"GNU.sparse.minor" => self.sparse.minor = optional(value)?,
            b"GNU.sparse.realsize" => self.sparse.real_size = optional(value)?,
            b"GNU.sparse.name" => self.sparse.name = no_nul(text())?,
            _ if key.starts_with(b"GNU.sparse.") => self.sparse.is_old = true,
            _ => {
                if let Some(name) =
                    key.strip_prefix(b"SCHILY.xattr.").or_else(|| key.strip_prefix(b"LIBARCHIVE.xattr."))
                {
                    self.xattrs.push(name.to_vec());
                }
                // Times, user names and comments do not reach the image.
            }
        }
        Ok(())
    }
}

/// Adds the records of a global header.
pub(super) fn add_globals(globals: &mut Globals, mut records: &[u8]) {
    while !records.is_empty() {
        let Some((record, rest)) = split(records) else {
            globals.others = true;
            return;
        };
        match record.strip_prefix(b"comment=") {
            Some(comment) if globals.comment.is_none() => globals.comment = Some(comment.to_vec()),
            _ => globals.others = true,
        }
        records = rest;
    }
}

/// The first record without its length and newline, and the rest.
fn split(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = records.iter().take(20).position(|b| *b == b' ')?;
    let length = usize::try_from(decimal(&records[..space])?).ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    Some((record, &records[length..]))
}

/// A decimal number; an empty value takes a record back.
fn optional(value: &[u8]) -> Result<Option<u64>, &'static str> {
    if value.is_empty() {
        return Ok(None);
    }
    decimal(value).map(Some).ok_or("a number is malformed")
}

fn narrow(value: &[u8]) -> Result<Option<u32>, &'static str> {
    optional(value)?
        .map(|number| u32::try_from(number).map_err(|_| "a user or group number is too large"))
        .transpose()
}

fn no_nul(value: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, &'static str> {
    if value.as_ref().is_some_and(|value| value.contains(&0)) { Err("a path holds a NUL") } else { Ok(value) }
}

pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}
