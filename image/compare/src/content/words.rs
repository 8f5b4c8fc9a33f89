//! Two words that differ, and what stands before them.

use super::judge::{BUILD_WORDS, Before, Context};
use super::{moment, path};
use crate::cause::Cause;

/// What the pair shows, if anything.
pub(super) fn judge(left: &str, right: &str, before: &Before<'_>, context: &Context<'_>) -> Option<Cause> {
    if both(left, right, path::is_temporary) {
        return Some(Cause::Randomness);
    }
    if context.source {
        return None;
    }
    if is_time_within(left, right) {
        return Some(Cause::EmbeddedTime);
    }
    // `{"hostname": "db1"}` is where something listens, not where it was built.
    let keys_count = !context.settings || before.line_says(&BUILD_WORDS);
    toolchain(left, right, before)
        .or_else(|| keyed(left, right, before, context).filter(|_| keys_count))
        .or_else(|| number(left, right, before))
}

/// Versions of compilers.
fn toolchain(left: &str, right: &str, before: &Before<'_>) -> Option<Cause> {
    let of_go = |word: &str| {
        word.strip_prefix("go1.").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let version = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let part = |word: &str| version(word) || (word.len() >= 7 && word.bytes().all(|b| b.is_ascii_hexdigit()));
    let python = |word: &str| version(word) && word.matches('.').count() == 2;
    let after_python = before.text.ends_with("python ") || before.text.ends_with("cpython ");
    let shown = both(left, right, of_go)
        || (before.names_toolchain() && both(left, right, part))
        || (after_python && both(left, right, python));
    shown.then_some(Cause::Toolchain)
}

/// Values whose key says what they are.
fn keyed(left: &str, right: &str, before: &Before<'_>, context: &Context<'_>) -> Option<Cause> {
    let plain =
        |word: &str| word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if before.key_is(&HOST_KEYS) && both(left, right, plain) {
        return Some(Cause::HostName);
    }
    if before.key_is(&USER_KEYS) || (context.environment && before.key_is(&["user", "username"])) {
        return Some(Cause::UserName);
    }
    if before.key_is(&["uid", "gid", "euid"]) && both(left, right, is_number) {
        return Some(Cause::UserName);
    }
    // `uid=1000(ann)`
    if before.text.ends_with('(') && before.line_says(&["uid", "gid"]) {
        return Some(Cause::UserName);
    }
    if before.key_is(&["tz", "timezone", "time zone"]) {
        return Some(Cause::TimeZone);
    }
    let of_language = before.key_is(&["lang", "language", "locale"])
        || before
            .text
            .trim_end_matches(['=', '"', '\''])
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .is_some_and(|key| key.starts_with("lc_"));
    if of_language && both(left, right, is_locale) {
        return Some(Cause::Locale);
    }
    let jobs = |word: &str| word.strip_prefix('j').is_some_and(is_number);
    if (before.text.ends_with('-') && both(left, right, jobs))
        || (before.key_is(&["jobs", "num_jobs", "nproc", "make -j", "threads", "processors", "cpus"])
            && both(left, right, is_number))
    {
        return Some(Cause::Parallelism);
    }
    if before.key_is(&[
        "march",
        "mtune",
        "mcpu",
        "goamd64",
        "target-cpu",
        "model name",
        "uname -m",
        "uname -p",
        "machine",
        "hosttype",
    ]) {
        return Some(Cause::Processor);
    }
    let random = |word: &str| is_random(word) && left.len() == right.len();
    (before.line_says(&RANDOM_WORDS) && !before.line_says(&DIGEST_WORDS) && both(left, right, random))
        .then_some(Cause::Randomness)
}

/// Seconds or milliseconds since the epoch, and how long something took.
fn number(left: &str, right: &str, before: &Before<'_>) -> Option<Cause> {
    let epoch = |word: &str| {
        let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
        if !is_number(whole) || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return false;
        }
        let Ok(number) = whole.parse::<u64>() else { return false };
        let seconds = match whole.len() {
            10 => number,
            13 => number / 1000,
            16 => number / 1_000_000,
            19 => number / 1_000_000_000,
            _ => return false,
        };
        // 2001 to 2099, and not rounded as people round.
        (1_000_000_000..4_090_000_000).contains(&seconds) && !whole.ends_with("00000")
    };
    if before.line_says(&TIME_WORDS) && both(left, right, epoch) {
        return Some(Cause::EmbeddedTime);
    }
    let duration = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = &word[digits.len()..];
        matches!(unit, "s" | "ms" | "us" | "ns" | "sec")
            && digits.contains('.')
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    };
    (before.line_says(&["finished", "took", "elapsed", "done", "duration", "compiled"])
        && both(left, right, duration))
    .then_some(Cause::EmbeddedTime)
}

/// Whether the words are the same but for a moment down to the second, as in `1.0.dev20261120080159`.
fn is_time_within(left: &str, right: &str) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let digits = |word: &str| {
        let mut runs = word.match_indices(|c: char| c.is_ascii_digit()).map(|(at, _)| at).peekable();
        let mut found = Vec::new();
        while let Some(start) = runs.next() {
            let mut end = start + 1;
            while runs.next_if_eq(&end).is_some() {
                end += 1;
            }
            found.push(start..end);
        }
        found
    };
    let runs = digits(left);
    if runs != digits(right) {
        return false;
    }
    let mut moments = 0;
    let mut rest = 0;
    for run in runs {
        let (l, r) = (&left[run.clone()], &right[run.clone()]);
        if left.get(rest..run.start) != right.get(rest..run.start) {
            return false;
        }
        rest = run.end;
        if l == r {
            continue;
        }
        let moment = |digits: &str| {
            digits.len() == 14 && moment::at_start(digits).is_some_and(|(length, _)| length == 14)
        };
        if !(moment(l) && moment(r)) {
            return false;
        }
        moments += 1;
    }
    moments > 0 && left.get(rest..) == right.get(rest..)
}

fn both(left: &str, right: &str, is: impl Fn(&str) -> bool) -> bool {
    is(left) && is(right)
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// `C`, `POSIX`, `C.UTF-8`, `de_DE`, `en_US.UTF-8`.
fn is_locale(word: &str) -> bool {
    let name = word.split('.').next().unwrap_or(word);
    matches!(name, "C" | "POSIX")
        || matches!(name.as_bytes(), [a, b, b'_', c, d] if a.is_ascii_lowercase() && b.is_ascii_lowercase() && c.is_ascii_uppercase() && d.is_ascii_uppercase())
}

/// Long, with letters and digits mixed as nobody types them; or a long number.
pub(super) fn is_random(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let letters = word.bytes().filter(u8::is_ascii_alphabetic).count();
    let changes = word
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count();
    (word.len() >= 12 && digits >= 2 && letters >= 2 && changes >= 4)
        || (digits == word.len() && digits >= 9 && !word.ends_with("000"))
}

const HOST_KEYS: [&str; 12] = [
    "hostname",
    "host name",
    "build host",
    "build-host",
    "build_host",
    "buildhost",
    "built on",
    "compiled on",
    "nodename",
    "build machine",
    "uname -n",
    "host_name",
];
const USER_KEYS: [&str; 11] = [
    "built-by",
    "built by",
    "built_by",
    "build user",
    "build-user",
    "build_user",
    "builduser",
    "compiled by",
    "compiled_by",
    "logname",
    "packager",
];
const RANDOM_WORDS: [&str; 16] = [
    "seed",
    "nonce",
    "salt",
    "secret",
    "token",
    "session",
    "uuid",
    "guid",
    "random",
    "cookie",
    "id",
    "key",
    "password",
    "instance",
    "identifier",
    "entropy",
];
/// What stands before digests: they follow from a content, and say nothing of why it differs.
const DIGEST_WORDS: [&str; 12] = [
    "digest",
    "hash",
    "sha",
    "sha1",
    "sha256",
    "sha384",
    "sha512",
    "md5",
    "checksum",
    "integrity",
    "commit",
    "etag",
];
const TIME_WORDS: [&str; 16] = [
    "time",
    "date",
    "epoch",
    "timestamp",
    "built",
    "build",
    "generated",
    "created",
    "mtime",
    "modified",
    "ts",
    "ctime",
    "compiled",
    "updated",
    "installed",
    "lastmodified",
];
