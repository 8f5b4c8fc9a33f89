//! The image's `USER` as numbers, as container engines resolve it.
//!
//! Source of the rules: `GetExecUser` of moby/sys/user, which docker, containerd and podman share. One thing is
//! stricter: a line whose numbers are malformed is not taken for user 0.

use super::{RootfsError, Tree};

/// Who the app runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups, ascending, with the primary one among them (CVE-2022-36109: without it a file that
    /// forbids its group something could be opened).
    pub groups: Vec<u32>,
}

/// Why a `USER` cannot be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// More than user and group.
    #[error("USER `{user}` is not `user` or `user:group`")]
    Form {
        /// The image's value.
        user: String,
    },
    /// A name that `/etc/passwd` of the image lacks.
    #[error("the image has no user `{name}` in /etc/passwd")]
    UnknownUser {
        /// The name.
        name: String,
    },
    /// A name that `/etc/group` of the image lacks.
    #[error("the image has no group `{name}` in /etc/group")]
    UnknownGroup {
        /// The name.
        name: String,
    },
    /// A number no user or group has.
    #[error("{number} is no user or group number (0 to 2147483647)")]
    Range {
        /// The number.
        number: u64,
    },
    /// The line of the user or group is malformed.
    #[error("the line of `{name}` in {file} of the image is malformed")]
    Line {
        /// The user or group.
        name: String,
        /// The file.
        file: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot look up USER `{user}` in the image")]
    Read {
        /// The image's value.
        user: String,
        /// What is wrong.
        source: Box<RootfsError>,
    },
}

impl UserError {
    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        let text = match self {
            Self::Form { .. } => "write `USER name` or `USER name:group` in the Containerfile".into(),
            Self::UnknownUser { name } => {
                format!(
                    "add `{name}` to the image's /etc/passwd, or write `USER` with a number in the Containerfile"
                )
            }
            Self::UnknownGroup { name } => {
                format!(
                    "add `{name}` to the image's /etc/group, or write `USER` with numbers in the Containerfile"
                )
            }
            Self::Range { .. } => {
                "write `USER` with a number from 0 to 2147483647 in the Containerfile".into()
            }
            Self::Line { name, file } => format!("correct the line of `{name}` in {file} of the image"),
            Self::Read { .. } => return None,
        };
        Some(text)
    }
}

/// Resolves an image's `USER`: `""`, `"1000"`, `"app"`, `"app:grp"`, `"1000:1000"`.
///
/// Users and groups are those of the image's `/etc/passwd` and `/etc/group`, 1 MiB each at most; where these are
/// missing, numbers are taken as they are.
pub fn resolve_user(tree: &Tree, user: &str) -> Result<ResolvedUser, UserError> {
    let (user_part, group_part) = match user.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(UserError::Form { user: user.to_owned() }),
        Some((user, group)) => (user, group),
        None => (user, ""),
    };
    let lines = |file: &'static str| -> Result<Vec<Vec<u8>>, UserError> {
        let read = tree.read(file, MAX_FILE);
        let read =
            read.map_err(|source| UserError::Read { user: user.to_owned(), source: Box::new(source) })?;
        Ok(read.unwrap_or_default().split(|b| *b == b'\n').map(<[u8]>::to_vec).collect())
    };
    let passwd = lines(PASSWD)?;
    let group = lines(GROUP)?;
    let found = find_user(&passwd, user_part)?;
    let (mut gid, mut groups) = (found.gid, Vec::new());
    if !group_part.is_empty() {
        gid = find_group(&group, group_part)?;
    } else if let Some(name) = &found.name {
        groups = groups_of(&group, name)?;
    }
    groups.push(gid);
    groups.sort_unstable();
    groups.dedup();
    Ok(ResolvedUser { uid: found.uid, gid, groups })
}

struct FoundUser {
    uid: u32,
    gid: u32,
    name: Option<Vec<u8>>,
}

/// The first user with this name or number; a number without a line has group 0.
fn find_user(passwd: &[Vec<u8>], wanted: &str) -> Result<FoundUser, UserError> {
    let wanted = if wanted.is_empty() { "0" } else { wanted };
    let number = id(wanted)?;
    for line in passwd {
        // name:password:uid:gid:comment:home:shell
        let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        let [name, _, uid, gid, ..] = fields[..] else { continue };
        let (uid, gid) = (field(uid), field(gid));
        let is_meant = match number {
            Some(number) => uid == Some(number),
            None => name == wanted.as_bytes(),
        };
        if !is_meant {
            continue;
        }
        let (Some(uid), Some(gid)) = (uid, gid) else {
            return Err(UserError::Line { name: wanted.to_owned(), file: "/etc/passwd" });
        };
        return Ok(FoundUser { uid, gid, name: Some(name.to_vec()) });
    }
    let uid = number.ok_or_else(|| UserError::UnknownUser { name: wanted.to_owned() })?;
    Ok(FoundUser { uid, gid: 0, name: None })
}

/// The first group with this name or number; a number needs no line.
fn find_group(group: &[Vec<u8>], wanted: &str) -> Result<u32, UserError> {
    if let Some(number) = id(wanted)? {
        return Ok(number);
    }
    for line in group {
        // name:password:gid:members
        let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        let [name, _, gid, ..] = fields[..] else { continue };
        if name == wanted.as_bytes() {
            let line = || UserError::Line { name: wanted.to_owned(), file: "/etc/group" };
            return field(gid).ok_or_else(line);
        }
    }
    Err(UserError::UnknownGroup { name: wanted.to_owned() })
}

/// Groups that name this user as a member.
fn groups_of(group: &[Vec<u8>], user: &[u8]) -> Result<Vec<u32>, UserError> {
    let mut found = Vec::new();
    for line in group {
        let fields: Vec<&[u8]> = line.split(|b| *b == b':').collect();
        let [name, _, gid, members, ..] = fields[..] else { continue };
        if members.split(|b| *b == b',').any(|member| member == user) {
            let name = String::from_utf8_lossy(name).into_owned();
            found.push(field(gid).ok_or(UserError::Line { name, file: "/etc/group" })?);
        }
    }
    Ok(found)
}

/// A number given in `USER`, or `None` for a name.
fn id(text: &str) -> Result<Option<u32>, UserError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let number = text.parse::<u64>().unwrap_or(u64::MAX);
    u32::try_from(number).ok().filter(|number| *number <= MAX_ID).map(Some).ok_or(UserError::Range { number })
}

/// A number of a line.
fn field(digits: &[u8]) -> Option<u32> {
    let number = std::str::from_utf8(digits).ok()?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse().ok().filter(|number| *number <= MAX_ID)
}

const PASSWD: &str = "etc/passwd";
const GROUP: &str = "etc/group";
const MAX_FILE: u64 = 1 << 20;
/// What engines accept: 2^31 − 1.
const MAX_ID: u32 = i32::MAX.unsigned_abs();
