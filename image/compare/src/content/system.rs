//! Files that a Linux system keeps about itself, known by their place.

use super::findings::Findings;
use super::moment::{DAY, written};
use super::path::extension;
use super::{binary, packages, text};
use crate::cause::Cause;
use std::collections::BTreeMap;

/// A file with a meaning of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SystemFile {
    Shadow,
    MachineId,
    RandomSeed,
    OsRelease,
    Hostname,
    Timezone,
    SshHostKey,
    Packages,
    Ldconfig,
    Fontconfig,
    Apt,
    AptLists,
}

impl SystemFile {
    /// What lies at a path.
    pub(super) fn of(path: &str, content: &[u8]) -> Option<Self> {
        if packages::is_database(path) {
            return Some(Self::Packages);
        }
        Some(match path {
            "etc/shadow" | "etc/shadow-" | "etc/gshadow" | "etc/gshadow-" => Self::Shadow,
            "etc/machine-id" | "var/lib/dbus/machine-id" => Self::MachineId,
            "var/lib/systemd/random-seed" | "root/.rnd" | "var/lib/systemd/credential.secret" => {
                Self::RandomSeed
            }
            "etc/os-release" | "usr/lib/os-release" | "etc/debian_version" | "etc/alpine-release"
            | "etc/redhat-release" => Self::OsRelease,
            "etc/hostname" => Self::Hostname,
            "etc/timezone" => Self::Timezone,
            "var/cache/ldconfig/aux-cache" => Self::Ldconfig,
            // Below another root, too, as in a folder or an archive of a whole system.
            _ if SHADOWS.iter().any(|name| path.ends_with(name)) => Self::Shadow,
            _ if path.starts_with("etc/ssh/ssh_host_") => Self::SshHostKey,
            _ if path.starts_with("var/cache/apt/") && extension(path) == "bin" => Self::Apt,
            _ if path.starts_with("var/lib/apt/lists/") => Self::AptLists,
            _ if path.starts_with("var/cache/fontconfig/") && content.starts_with(&FONTCONFIG_MAGIC) => {
                Self::Fontconfig
            }
            _ => return None,
        })
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Shadow => "passwords",
            Self::MachineId => "machine id",
            Self::RandomSeed => "random seed",
            Self::OsRelease => "release of the system",
            Self::Hostname => "host name",
            Self::Timezone => "time zone",
            Self::SshHostKey => "SSH host key",
            Self::Packages => "list of packages",
            Self::Ldconfig => "cache of ldconfig",
            Self::Fontconfig => "cache of fontconfig",
            Self::Apt => "cache of apt",
            Self::AptLists => "list of what apt could install",
        }
    }

    pub(super) fn compare(self, path: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
        match self {
            Self::Shadow => compare_shadow(left, right, findings),
            Self::MachineId => compare_machine_id(left, right, findings),
            Self::RandomSeed | Self::SshHostKey => compare_secret(self, left, right, findings),
            Self::OsRelease => compare_release(path, left, right, findings),
            Self::Hostname => compare_word(Cause::HostName, left, right, findings),
            Self::Timezone => compare_word(Cause::TimeZone, left, right, findings),
            Self::Packages => compare_packages(path, left, right, findings),
            Self::Ldconfig => compare_ldconfig(left, right, findings),
            Self::Fontconfig => compare_fontconfig(left, right, findings),
            // Its dates are those of the archive, not of the build.
            Self::AptLists => findings.unexplained(
                "",
                format!(
                    "{}; the archive had changed: rm -rf /var/lib/apt/lists/* in the same RUN, or install from a snapshot",
                    binary::amount(left, right)
                ),
            ),
            Self::Apt => findings.unexplained(
                "",
                format!(
                    "{}; apt makes it anew when it is missing: rm /var/cache/apt/*.bin in the same RUN",
                    binary::amount(left, right)
                ),
            ),
        }
    }
}

/// `name:password:last change in days:…`. Passwords are not shown.
fn compare_shadow(left: &[u8], right: &[u8], findings: &mut Findings) {
    let (left, right) = (String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    let users = |text: &'_ str| -> BTreeMap<String, Vec<String>> {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, rest)| (name.to_owned(), rest.split(':').map(str::to_owned).collect()))
            .collect()
    };
    let (l, r) = (users(&left), users(&right));
    for name in l.keys().chain(r.keys()).filter(|name| l.contains_key(*name) != r.contains_key(*name)) {
        findings.unexplained(name, "the user stands on one side only");
    }
    for (name, l) in &l {
        let Some(r) = r.get(name).filter(|r| *r != l) else { continue };
        if l.len() != r.len() {
            findings.unexplained(name, "the line has another form");
            continue;
        }
        for (index, (l, r)) in l.iter().zip(r).enumerate().filter(|(_, (l, r))| l != r) {
            compare_shadow_field(name, index, l, r, findings);
        }
    }
}

fn compare_shadow_field(name: &str, index: usize, left: &str, right: &str, findings: &mut Findings) {
    let day = |field: &str| field.parse::<i64>().ok().filter(|day| (10_000..50_000).contains(day));
    // `$6$salt$digest`: the same password with another salt looks so, another password as well.
    match (index, day(left), day(right)) {
        (1, Some(l), Some(r)) => {
            let date = |day: i64| written(day * DAY)[..10].to_owned();
            let evidence =
                format!("last change of {name}: day {left} ({}) → day {right} ({})", date(l), date(r));
            findings.change(name, &evidence);
            let fix = "set the day: `chage -d 0 USER`, or SOURCE_DATE_EPOCH where useradd is of shadow 4.13 or later";
            findings.shows_with_fix(Cause::EmbeddedTime, name, evidence, Some(fix));
        }
        (0, ..) if left.starts_with('$') && right.starts_with('$') => {
            findings.unexplained(name, "another password, or another salt");
        }
        (0, ..) => findings.unexplained(name, "the password's state differs"),
        _ => findings.unexplained(name, format!("field {}: {left} → {right}", index + 2)),
    }
}

fn compare_machine_id(left: &[u8], right: &[u8], findings: &mut Findings) {
    let id = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).trim().to_owned();
        (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then_some(text)
    };
    match (id(left), id(right)) {
        (Some(l), Some(r)) if l != r => {
            let evidence = format!("{l} → {r}");
            findings.change("", &evidence);
            let fix = "empty it in the step that writes it: `: > /etc/machine-id`";
            findings.shows_with_fix(Cause::Randomness, "", evidence, Some(fix));
        }
        _ => findings.unexplained("", "one side is no machine id, or its form differs"),
    }
}

fn compare_secret(file: SystemFile, left: &[u8], right: &[u8], findings: &mut Findings) {
    if left.is_empty() || right.is_empty() {
        findings.unexplained("", "one side is empty");
        return;
    }
    // A public key has a comment behind it, which is no part of the key.
    let halves = |bytes: &[u8]| -> (String, String) {
        let text = String::from_utf8_lossy(bytes);
        let mut words = text.trim().splitn(3, ' ');
        let key = [words.next(), words.next()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        (key, words.next().unwrap_or("").to_owned())
    };
    let public = |key: &[u8]| key.starts_with(b"ssh-") || key.starts_with(b"ecdsa-");
    let private = |key: &[u8]| key.windows(11).any(|part| part == b"PRIVATE KEY");
    let is_public = public(left) && public(right);
    if file == SystemFile::SshHostKey && !is_public && !(private(left) && private(right)) {
        findings.unexplained("", "one side is no key");
        return;
    }
    let (l, r) = if is_public { (halves(left), halves(right)) } else { Default::default() };
    if !is_public || l.0 != r.0 {
        let print = |bytes: &[u8]| super::keys::fingerprint(bytes);
        let evidence = format!("another {}, SHA-256 {} → {}", file.name(), print(left), print(right));
        findings.change("", &evidence);
        let fix = "remove it from the image and make it when the enclave starts";
        findings.shows_with_fix(Cause::Randomness, "", evidence, Some(fix));
    }
    if l.1 != r.1 {
        let host =
            |comment: &str| comment.split_once('@').map(|(user, host)| (user.to_owned(), host.to_owned()));
        let evidence = format!("{} → {}", l.1, r.1);
        findings.change("comment", &evidence);
        match (host(&l.1), host(&r.1)) {
            (Some(l), Some(r)) => {
                if l.1 != r.1 {
                    findings.shows(Cause::HostName, "comment", &evidence);
                }
                if l.0 != r.0 {
                    findings.shows(Cause::UserName, "comment", &evidence);
                }
            }
            _ => findings.leave_open(),
        }
    }
}

fn compare_release(path: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    let (left, right) = (String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    let release = |text: &str| -> String {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key))
                .map(|value| value.trim_matches('"').to_owned())
        };
        value("PRETTY_NAME=")
            .or_else(|| value("VERSION="))
            .unwrap_or_else(|| text.lines().next().unwrap_or("").to_owned())
    };
    let versions = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with("VERSION") || line.starts_with("ID="))
            .map(str::to_owned)
            .collect()
    };
    let (l, r) = (release(&left), release(&right));
    if l == r && versions(&left) == versions(&right) {
        text::compare(path, left.as_bytes(), right.as_bytes(), findings);
        return;
    }
    let evidence = format!("{l} → {r}");
    findings.change_shows(Cause::BaseImage, "", &evidence);
}

fn compare_word(cause: Cause, left: &[u8], right: &[u8], findings: &mut Findings) {
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (l, r) = (word(left), word(right));
    let one = |word: &str| !word.is_empty() && !word.contains(char::is_whitespace);
    let evidence = format!("{l} → {r}");
    if l != r && one(&l) && one(&r) {
        findings.change_shows(cause, "", &evidence);
    } else {
        findings.unexplained("", evidence);
    }
}

fn compare_packages(path: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    let list = |bytes: &[u8]| -> BTreeMap<String, String> {
        packages::packages(path.as_bytes(), bytes).into_iter().collect()
    };
    let (l, r) = (list(left), list(right));
    let mut versions = false;
    for name in l.keys().chain(r.keys().filter(|name| !l.contains_key(*name))) {
        match (l.get(name), r.get(name)) {
            (Some(l), Some(r)) if l != r => {
                versions = true;
                let evidence = format!("{name} {l} → {r}");
                findings.change(name, &evidence);
                findings.shows(Cause::PackageVersion, "", evidence);
            }
            (Some(l), None) => findings.unexplained(name, format!("{l}, only on the left")),
            (None, Some(r)) => findings.unexplained(name, format!("{r}, only on the right")),
            _ => {}
        }
    }
    // Descriptions, dependencies and sizes follow from the versions.
    if !versions && findings.told() == 0 {
        text::compare(path, left, right, findings);
    }
}

/// glibc, `elf/cache.c`: a header of 32 bytes, then entries with inode, time, size and device of a library.
fn compare_ldconfig(left: &[u8], right: &[u8], findings: &mut Findings) {
    let magic = b"glibc-ld.so.auxcache-";
    let entry = |bytes: &[u8], at: usize| -> Option<[u64; 4]> {
        let rest = bytes.get(at..at + 32)?;
        let word = |index: usize| rest[index * 8..][..8].try_into().map_or(0, u64::from_le_bytes);
        Some([word(0), word(1), word(2), word(3)])
    };
    let count =
        |bytes: &[u8]| bytes.get(24..28).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
    if !left.starts_with(magic) || !right.starts_with(magic) || count(left) != count(right) {
        findings.unexplained("", binary::amount(left, right));
        return;
    }
    let plausible = |time: u64| (1_000_000_000..4_100_000_000).contains(&time);
    let fix = Some("rm /var/cache/ldconfig/aux-cache in the same RUN; ldconfig makes it anew");
    for index in 0..count(left).min(MOST_LIBRARIES) as usize {
        let (Some(l), Some(r)) = (entry(left, 32 + index * 48), entry(right, 32 + index * 48)) else { break };
        let seconds = |time: u64| written(i64::try_from(time).unwrap_or(0));
        if l[1] != r[1] && plausible(l[1]) && plausible(r[1]) {
            let evidence = format!("library {}: changed {} → {}", index + 1, seconds(l[1]), seconds(r[1]));
            findings.change("", &evidence);
            findings.shows_with_fix(Cause::EmbeddedTime, "", evidence, fix);
        }
    }
    if !findings.has(Cause::EmbeddedTime) {
        findings.unexplained("", binary::amount(left, right));
    }
}

/// fontconfig, `fcint.h`, `struct _FcCache`: the time of the folder stands at byte 48.
fn compare_fontconfig(left: &[u8], right: &[u8], findings: &mut Findings) {
    let time = |bytes: &[u8]| bytes.get(48..52).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let rest = |bytes: &[u8]| -> Vec<u8> {
        let mut rest = bytes.to_vec();
        if let Some(times) = rest.get_mut(48..64) {
            times.fill(0);
        }
        rest
    };
    let plausible = |time: &u32| (1_000_000_000..4_100_000_000).contains(time);
    if let (Some(l), Some(r)) = (time(left).filter(plausible), time(right).filter(plausible))
        && l != r
    {
        let evidence = format!("time of the folder of fonts {} → {}", written(l.into()), written(r.into()));
        findings.change("header", &evidence);
        let fix = "set the time of the folder (`touch -d @$SOURCE_DATE_EPOCH`) before fc-cache, or remove /var/cache/fontconfig";
        findings.shows_with_fix(Cause::EmbeddedTime, "header", evidence, Some(fix));
    }
    if rest(left) != rest(right) || findings.told() == 0 {
        findings.unexplained("", binary::amount(left, right));
    }
}

const SHADOWS: [&str; 6] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "var/backups/shadow.bak",
    "var/backups/gshadow.bak",
];
const FONTCONFIG_MAGIC: [u8; 4] = 0xFC02_FC04_u32.to_le_bytes();
const MOST_LIBRARIES: u32 = 10_000;
