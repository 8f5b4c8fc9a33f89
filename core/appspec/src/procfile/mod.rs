//! The Procfile: lines → entries by key → [`AppSpec`].

mod lines;
mod network;

pub(crate) use network::listed;

use crate::problem::{Checked, Fault, Report, shown};
use crate::{AppSpec, Build, Debug, MAX_SOURCES, Provider, Resources, command, value};
use lines::{Entries, Entry, Key};

/// Reads the whole file, reporting what is wrong.
pub(crate) fn read(report: &mut Report<'_>) -> AppSpec {
    let entries = lines::read(report);
    let mut spec = AppSpec {
        build: build(report, &entries),
        resources: resources(report, &entries),
        network: network::read(report, &entries),
        debug: debug(report, &entries),
        logs: flag(report, entries.get(Key::Logs)).unwrap_or(false),
        metadata: field(report, entries.get(Key::Metadata), value::metadata),
        locksmith: flag(report, entries.get(Key::Locksmith)).unwrap_or(false),
        provider: provider(report, &entries),
        ..AppSpec::default()
    };
    if let Some(line) = field(report, entries.get(Key::Run), command::parse) {
        spec.command = Some(line.command);
        spec.env = line.env.into_iter().map(|(name, text)| (name, crate::EnvValue::Literal(text))).collect();
    }
    not_yet(report, &entries, &spec);
    spec
}

fn build(report: &mut Report<'_>, entries: &Entries<'_>) -> Build {
    let cached = flag(report, entries.get(Key::Cache)).unwrap_or(true);
    let containerfile = field(report, entries.get(Key::Containerfile), value::relative_path);
    let oci_tarball = field(report, entries.get(Key::OciTarball), value::relative_path);
    if let (Some(entry), true, true) =
        (entries.get(Key::OciTarball), oci_tarball.is_some(), containerfile.is_some())
    {
        two_images(report, entry.key_at);
    }
    Build {
        containerfile,
        oci_tarball,
        binary: field(report, entries.get(Key::Binary), value::absolute_path),
        command: field(report, entries.get(Key::Build), |text| Ok(text.to_owned())),
        app_sources: sources(report, entries.get(Key::AppSources)),
        enclave_sources: sources(report, entries.get(Key::EnclaveSources)),
        no_cache: !cached,
    }
}

fn resources(report: &mut Report<'_>, entries: &Entries<'_>) -> Resources {
    let default = Resources::default();
    let cpus =
        field(report, entries.get(Key::Cpus), |text| value::in_range(whole_number(text)?, &value::CPUS));
    let memory = field(report, entries.get(Key::Memory), |text| {
        let number =
            whole_number(text).map_err(|fault| fault.fix("write MiB as a plain number, for example 512"))?;
        value::in_range(number, &value::MEMORY_MIB)
    });
    Resources { cpus: cpus.unwrap_or(default.cpus), memory_mib: memory.unwrap_or(default.memory_mib) }
}

fn debug(report: &mut Report<'_>, entries: &Entries<'_>) -> Debug {
    let enabled = flag(report, entries.get(Key::Debug)).unwrap_or(false);
    let mut ssh_keys = Vec::new();
    for item in &entries.ssh_keys {
        let subject = format!("`{}`", shown(item.value));
        ssh_keys.extend(report.check(item.value_at, &subject, value::ssh_key(item.value)));
    }
    Debug { enabled, ssh_keys }
}

/// The keys that put the app into the user's own cloud account. Only `managed_on_prem: false`
/// stands for none of it.
fn provider(report: &mut Report<'_>, entries: &Entries<'_>) -> Option<Provider> {
    let managed = flag(report, entries.get(Key::ManagedOnPrem));
    let platform = field(report, entries.get(Key::Platform), |text| match text {
        "aws" => Ok(text.to_owned()),
        _ => Err(Fault::new("is not a platform").fix("the only one is `aws`")),
    });
    let region = field(report, entries.get(Key::AwsRegion), value::aws_region);
    let vpc_id = field(report, entries.get(Key::AwsVpcId), |text| value::aws_id("vpc-", text));
    let group = field(report, entries.get(Key::AwsSecurityGroupId), |text| value::aws_id("sg-", text));
    let subnet_ids = entries
        .get(Key::AwsSubnetId)
        .map_or_else(Vec::new, |entry| items(report, entry, |text| value::aws_id("subnet-", text)));
    let first = Key::PROVIDER.iter().find_map(|key| entries.get(*key))?;
    let switched_off = managed == Some(false);
    if switched_off && Key::PROVIDER[1..].iter().all(|key| entries.get(*key).is_none()) {
        return None;
    }
    if entries.get(Key::AwsRegion).is_none() {
        let message = format!("`{}` needs to know the region.", first.name);
        report.problem(
            first.key_at,
            message,
            Some("add `aws_region`, for example `aws_region: eu-central-1`".to_owned()),
        );
    }
    let platform = platform.or_else(|| Some("aws".to_owned()));
    Some(Provider {
        managed_on_prem: managed,
        platform,
        region,
        vpc_id,
        subnet_ids,
        security_group_id: group,
    })
}

/// What the file asks for and this version does not do.
fn not_yet(report: &mut Report<'_>, entries: &Entries<'_>, spec: &AppSpec) {
    let asked = [
        (Key::Build, true, "remove it and describe the build in a Containerfile"),
        (Key::Locksmith, spec.locksmith, "remove it, or write `locksmith: false`"),
    ];
    for (key, wanted, fix) in asked {
        if let Some(entry) = entries.get(key).filter(|_| wanted) {
            report.not_yet(entry.key_at, &format!("`{}`", entry.name), fix);
        }
    }
    // Keys on the lines below share the place of their `ssh_keys`.
    let mut ssh_keys = entries.ssh_keys.clone();
    ssh_keys.dedup_by_key(|item| item.key_at);
    for item in ssh_keys {
        report.not_yet(item.key_at, &format!("`{}`", item.name), "remove it; an enclave has no SSH server");
    }
    if spec.provider.is_some() {
        for entry in Key::PROVIDER.iter().filter_map(|key| entries.get(*key)) {
            report.not_yet(
                entry.key_at,
                &format!("`{}`", entry.name),
                "remove it; apps run on this machine until then",
            );
        }
    }
}

/// The checked value of a single-valued key.
fn field<T>(
    report: &mut Report<'_>,
    entry: Option<&Entry<'_>>,
    check: impl Fn(&str) -> Checked<T>,
) -> Option<T> {
    let entry = entry?;
    let checked = check(entry.value).map_err(|fault| comment_hint(fault, entry.value));
    report.check(entry.value_at, &entry.subject(), checked)
}

fn flag(report: &mut Report<'_>, entry: Option<&Entry<'_>>) -> Option<bool> {
    let on = field(report, entry, |text| match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => {
            let fault = Fault::new("is neither true nor false");
            Err(match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" | "1" | "enabled" => fault.fix("did you mean `true`?"),
                "false" | "no" | "n" | "off" | "0" | "disabled" => fault.fix("did you mean `false`?"),
                _ => fault,
            })
        }
    })?;
    Some(on != entry?.inverted())
}

/// The checked items of a comma-separated value.
fn items<T>(report: &mut Report<'_>, entry: &Entry<'_>, check: impl Fn(&str) -> Checked<T>) -> Vec<T> {
    let mut out = Vec::new();
    for (at, item) in split_list(report, entry).unwrap_or_default() {
        let subject = format!("`{}` in `{}`", shown(item), entry.name);
        let checked = if item.is_empty() {
            let fault = Fault::new("is empty").fix("remove the extra comma");
            report.fault(at, &format!("An item of `{}`", entry.name), fault);
            continue;
        } else {
            check(item).map_err(|fault| comment_hint(fault, item))
        };
        out.extend(report.check(at, &subject, checked));
    }
    out
}

/// The items of a comma-separated value, trimmed, with their places; `None` when there are more
/// than any list holds.
fn split_list<'t>(report: &mut Report<'_>, entry: &Entry<'t>) -> Option<Vec<(usize, &'t str)>> {
    let count = entry.value.split(',').count();
    if count > MAX_ITEMS {
        let fault = Fault::new(format!("lists {count} items (at most {MAX_ITEMS})"));
        report.fault(entry.value_at, &format!("`{}`", entry.name), fault);
        return None;
    }
    let start = |item: &str| item.as_ptr() as usize - entry.value.as_ptr() as usize;
    let items = entry.value.split(',').map(str::trim_ascii);
    Some(items.map(|item| (entry.value_at + start(item), item)).collect())
}

fn sources(report: &mut Report<'_>, entry: Option<&Entry<'_>>) -> Vec<String> {
    let Some(entry) = entry else { return Vec::new() };
    let urls = items(report, entry, value::source_url);
    if urls.len() > MAX_SOURCES {
        report.fault(entry.value_at, &format!("`{}`", entry.name), too_many_sources(urls.len()));
    }
    urls
}

pub(crate) fn too_many_sources(count: usize) -> Fault {
    Fault::new(format!("lists {count} URLs (at most {MAX_SOURCES})"))
}

/// An image is either built or there already.
pub(crate) fn two_images(report: &mut Report<'_>, at: usize) {
    let message =
        "`oci_tarball` names an image that is there, and `containerfile` one to be built.".to_owned();
    report.problem(at, message, Some("remove one of them".to_owned()));
}

pub(crate) fn whole_number(text: &str) -> Checked<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        // Digits only, yet no number: more than 64 bits of it.
        _ if digits => Ok(u64::MAX),
        _ => Err(Fault::new("is not a whole number")),
    }
}

/// A comment after a value is part of the value; say so when that is what went wrong.
fn comment_hint(fault: Fault, text: &str) -> Fault {
    if text.contains(" #") { fault.fix("put the comment on a line of its own") } else { fault }
}

/// Items of any list, before it is looked at more closely.
const MAX_ITEMS: usize = 2 * crate::MAX_PORTS;
