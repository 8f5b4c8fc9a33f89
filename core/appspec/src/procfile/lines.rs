//! Lines to entries: which key stands where with which value.

use crate::problem::{Report, shown};
use crate::suggest;
use crate::value::no_control_characters;
use std::collections::BTreeMap;

/// What a key means; several names may mean one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Run,
    Containerfile,
    OciTarball,
    Binary,
    Build,
    AppSources,
    EnclaveSources,
    Cache,
    Memory,
    Cpus,
    Debug,
    Logs,
    SshKeys,
    Ports,
    HttpPort,
    Domain,
    E2e,
    Locksmith,
    Metadata,
    ManagedOnPrem,
    Platform,
    AwsRegion,
    AwsVpcId,
    AwsSubnetId,
    AwsSecurityGroupId,
}

impl Key {
    /// The keys of the user's own cloud account; the switch first.
    pub(super) const PROVIDER: [Self; 6] = [
        Self::ManagedOnPrem,
        Self::Platform,
        Self::AwsRegion,
        Self::AwsVpcId,
        Self::AwsSubnetId,
        Self::AwsSecurityGroupId,
    ];
}

/// One `key: value`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'t> {
    /// The key as written.
    pub(super) name: &'t str,
    pub(super) key_at: usize,
    /// Without surrounding blanks, never empty.
    pub(super) value: &'t str,
    pub(super) value_at: usize,
}

impl Entry<'_> {
    /// How a message names the entry.
    pub(super) fn subject(&self) -> String {
        format!("`{}: {}`", self.name, shown(self.value))
    }

    /// `no_cache: true` means `cache: false`.
    pub(super) fn inverted(&self) -> bool {
        self.name.starts_with("no")
    }
}

/// The entries of a file.
#[derive(Debug, Default)]
pub(super) struct Entries<'t> {
    single: BTreeMap<Key, Entry<'t>>,
    /// `ssh_keys` is the one key that may repeat.
    pub(super) ssh_keys: Vec<Entry<'t>>,
}

impl<'t> Entries<'t> {
    pub(super) fn get(&self, key: Key) -> Option<&Entry<'t>> {
        self.single.get(&key)
    }
}

/// Splits the text into entries, reporting lines that are none.
pub(super) fn read<'t>(report: &mut Report<'t>) -> Entries<'t> {
    let mut entries = Entries::default();
    // The `ssh_keys` entry that following lines may continue.
    let mut open_list: Option<Entry<'t>> = None;
    let mut at = 0;
    for raw in report.text().split('\n') {
        let line_at = at + (raw.len() - raw.trim_ascii_start().len());
        at += raw.len() + 1;
        let line = raw.trim_ascii();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if report.is_full() {
            break;
        }
        if let Some(list) = open_list
            && is_list_item(line)
        {
            entries.ssh_keys.push(Entry { value: line.trim_start_matches("- "), value_at: line_at, ..list });
            continue;
        }
        close_list(report, open_list.take(), &entries);
        if let Err(fault) = no_control_characters(&line.replace('\t', " ")) {
            report.fault(line_at, "The line", fault);
            continue;
        }
        let Some(entry) = split(report, line, line_at) else { continue };
        match lookup(entry.name) {
            None => unknown(report, &entry),
            Some(Key::SshKeys) => {
                open_list = Some(entry);
                if !entry.value.is_empty() {
                    entries.ssh_keys.push(entry);
                }
            }
            Some(key) => insert(report, &mut entries, key, entry),
        }
    }
    close_list(report, open_list, &entries);
    entries
}

/// `key: value` of a line without surrounding blanks.
fn split<'t>(report: &mut Report<'t>, line: &'t str, line_at: usize) -> Option<Entry<'t>> {
    let Some((key, rest)) = line.split_once(':').filter(|(key, _)| !key.is_empty()) else {
        let fix = line.split_once('=').map_or_else(
            || "write `key: value`, or begin a comment with #".to_owned(),
            |(key, value)| format!("write `{}: {}`", shown(key.trim_ascii()), shown(value.trim_ascii())),
        );
        report.problem(line_at, format!("`{}` is not a `key: value` line.", shown(line)), Some(fix));
        return None;
    };
    let value = rest.trim_ascii();
    let value_at = line_at + key.len() + 1 + (rest.len() - rest.trim_ascii_start().len());
    Some(Entry { name: key.trim_ascii_end(), key_at: line_at, value, value_at })
}

fn unknown(report: &mut Report<'_>, entry: &Entry<'_>) {
    let elsewhere = OTHER_WORDS.iter().find(|(word, _)| *word == entry.name.to_ascii_lowercase());
    let question = elsewhere
        .map(|(_, key)| suggest::question(key))
        .or_else(|| suggest::did_you_mean(entry.name, KEYS.iter().map(|(name, _)| *name)));
    report.problem(entry.key_at, format!("`{}` is not a key.", shown(entry.name)), question);
}

fn insert<'t>(report: &mut Report<'t>, entries: &mut Entries<'t>, key: Key, entry: Entry<'t>) {
    if let Some(first) = entries.single.get(&key) {
        let line = report.line_of(first.key_at);
        let message = format!("`{}` repeats `{}` of line {line}.", entry.name, first.name);
        report.problem(entry.key_at, message, Some("keep one of the two lines".to_owned()));
    } else if entry.value.is_empty() {
        no_value(report, &entry);
    } else {
        entries.single.insert(key, entry);
    }
}

fn no_value(report: &mut Report<'_>, entry: &Entry<'_>) {
    let message = format!("`{}` has no value.", entry.name);
    report.problem(entry.key_at, message, Some("give it one, or remove the line".to_owned()));
}

/// A bare `ssh_keys:` needs the keys below it.
fn close_list(report: &mut Report<'_>, list: Option<Entry<'_>>, entries: &Entries<'_>) {
    if let Some(list) = list
        && list.value.is_empty()
        && entries.ssh_keys.last().is_none_or(|last| last.key_at != list.key_at)
    {
        no_value(report, &list);
    }
}

/// A line below `ssh_keys:` that is a public key itself.
fn is_list_item(line: &str) -> bool {
    let key = line.trim_start_matches("- ").trim_start_matches(['"', '\'']);
    ["ssh-", "ecdsa-", "sk-"].iter().any(|start| key.starts_with(start))
}

fn lookup(name: &str) -> Option<Key> {
    KEYS.iter().find(|(known, _)| *known == name).map(|(_, key)| *key)
}

/// Every name; an alias follows the name it stands for.
const KEYS: &[(&str, Key)] = &[
    ("run", Key::Run),
    ("containerfile", Key::Containerfile),
    ("oci_tarball", Key::OciTarball),
    ("binary", Key::Binary),
    ("build", Key::Build),
    ("app_sources", Key::AppSources),
    ("app_source", Key::AppSources),
    ("enclave_sources", Key::EnclaveSources),
    ("enclave_source", Key::EnclaveSources),
    ("cache", Key::Cache),
    ("no_cache", Key::Cache),
    ("nocache", Key::Cache),
    ("memory", Key::Memory),
    ("memory_mb", Key::Memory),
    ("cpus", Key::Cpus),
    ("cpu", Key::Cpus),
    ("debug", Key::Debug),
    ("logs", Key::Logs),
    ("ssh_keys", Key::SshKeys),
    ("ssh_key", Key::SshKeys),
    ("ports", Key::Ports),
    ("http_port", Key::HttpPort),
    ("domain", Key::Domain),
    ("e2e", Key::E2e),
    ("locksmith", Key::Locksmith),
    ("metadata", Key::Metadata),
    ("managed_on_prem", Key::ManagedOnPrem),
    ("platform", Key::Platform),
    ("aws_region", Key::AwsRegion),
    ("aws_vpc_id", Key::AwsVpcId),
    ("aws_subnet_id", Key::AwsSubnetId),
    ("aws_security_group_id", Key::AwsSecurityGroupId),
];

/// What people write from habit, too far from our names for an edit distance.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("web", "run"),
    ("command", "run"),
    ("cmd", "run"),
    ("start", "run"),
    ("dockerfile", "containerfile"),
    ("source", "app_sources"),
    ("sources", "app_sources"),
    ("mem", "memory"),
    ("vcpus", "cpus"),
    ("encryption", "e2e"),
];
