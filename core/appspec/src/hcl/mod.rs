//! caution.hcl: syntax tree with spans → strict sections → [`AppSpec`].

mod build;
mod e2e;
mod network;
mod platform;
mod section;
mod syntax;
mod unit;
mod value_of;

use crate::problem::Report;
use crate::{AppSpec, Debug, Resources, value};
use section::{Names, Section};

/// Reads the whole file, reporting what is wrong.
pub(crate) fn read(report: &mut Report<'_>) -> AppSpec {
    let Some(tree) = syntax::parse(report) else { return AppSpec::default() };
    let names = Names { attributes: &[], blocks: &["caution", "enclave"] };
    let file = Section::root(report, &tree, &names);

    let mut spec = AppSpec::default();
    if let Some(caution) = file.block(report, "caution") {
        (spec.platform, spec.provider) = platform::read(report, caution);
    }
    match file.labelled_block(report, "enclave") {
        Some(body) => enclave(report, body, &mut spec),
        // The label may be what is wrong; then that has been said.
        None if file.has_block("enclave") => {}
        None => {
            let fix = "add `enclave \"default\" { … }`, or run `caution init` for a template";
            report.problem(0, "There is no `enclave` block.".to_owned(), Some(fix.to_owned()));
        }
    }
    spec
}

fn enclave(report: &mut Report<'_>, block: section::BlockRef<'_>, spec: &mut AppSpec) {
    let names = Names {
        attributes: &["metadata", "locksmith"],
        blocks: &["build", "debug", "logs", "network", "resources", "unit"],
    };
    let enclave = Section::of(report, block, &names);
    spec.metadata = enclave.text(report, "metadata", value::metadata).map(|(text, _)| text);
    if let Some((true, at)) = enclave.flag(report, "locksmith") {
        spec.locksmith = true;
        report.not_yet(at, "`locksmith`", "remove it, or write `locksmith = false`");
    }
    if let Some(block) = enclave.block(report, "build") {
        spec.build = build::read(report, block);
    }
    if let Some(block) = enclave.block(report, "debug") {
        spec.debug = debug(report, block);
    }
    if let Some(block) = enclave.block(report, "logs") {
        let at = block.at();
        let section = Section::of(report, block, &Names { attributes: &["enabled"], blocks: &[] });
        section.require(report, at, "enabled");
        spec.logs = section.flag(report, "enabled").is_some_and(|(on, _)| on);
    }
    if let Some(block) = enclave.block(report, "network") {
        spec.network = network::read(report, block);
    }
    if let Some(block) = enclave.block(report, "resources") {
        spec.resources = resources(report, block);
    }
    if let Some(block) = enclave.labelled_block(report, "unit") {
        unit::read(report, block, spec);
    }
}

fn debug(report: &mut Report<'_>, block: section::BlockRef<'_>) -> Debug {
    let section = Section::of(report, block, &Names { attributes: &["enabled", "ssh_keys"], blocks: &[] });
    let enabled = section.flag(report, "enabled").is_some_and(|(on, _)| on);
    let ssh_keys = section.texts(report, "ssh_keys", value::ssh_key);
    if let (Some(at), false) = (section.key_at("ssh_keys"), ssh_keys.is_empty()) {
        report.not_yet(at, "`ssh_keys`", "remove it; an enclave has no SSH server");
    }
    Debug { enabled, ssh_keys }
}

fn resources(report: &mut Report<'_>, block: section::BlockRef<'_>) -> Resources {
    let at = block.at();
    let section = Section::of(report, block, &Names { attributes: &["cpu", "memory_mb"], blocks: &[] });
    let default = Resources::default();
    let mut number = |key, range| {
        section.require(report, at, key);
        section.number(report, key, |n| value::in_range(n, &range)).map(|(n, _)| n)
    };
    let cpus = number("cpu", value::CPUS);
    let memory_mib = number("memory_mb", value::MEMORY_MIB);
    Resources { cpus: cpus.unwrap_or(default.cpus), memory_mib: memory_mib.unwrap_or(default.memory_mib) }
}
