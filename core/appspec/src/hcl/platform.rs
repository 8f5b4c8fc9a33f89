//! The `caution` block.

use super::section::{BlockRef, Names, Section};
use crate::problem::{Checked, Fault, Report};
use crate::{Platform, Provider, value};

pub(super) fn read(report: &mut Report<'_>, block: BlockRef<'_>) -> (Platform, Option<Provider>) {
    let names = Names {
        attributes: &["managed_credentials", "machine_type", "build_machine_type"],
        blocks: &["provider"],
    };
    let section = Section::of(report, block, &names);
    let mut later = |key: &str| {
        let (text, at) = section.text(report, key, word)?;
        report.not_yet(at, &format!("`{key}`"), "remove it; apps run on this machine until then");
        Some(text)
    };
    let platform = Platform {
        managed_credentials: later("managed_credentials"),
        machine_type: later("machine_type"),
        build_machine_type: later("build_machine_type"),
    };
    let provider = section.block(report, "provider").map(|block| provider(report, block));
    (platform, provider)
}

fn provider(report: &mut Report<'_>, block: BlockRef<'_>) -> Provider {
    let names = Names {
        attributes: &["type", "region", "vpc_id", "subnet_ids", "security_group_id", "managed_on_prem"],
        blocks: &[],
    };
    let at = block.at();
    let section = Section::of(report, block, &names);
    section.require(report, at, "type");
    section.require(report, at, "region");
    report.not_yet(at, "`provider`", "remove the block; apps run on this machine until then");
    let kind = |text: &str| match text {
        "aws" => Ok(text.to_owned()),
        _ => Err(Fault::new("is not a provider").fix("the only one is `aws`")),
    };
    let vpc = |text: &str| value::aws_id("vpc-", text);
    let group = |text: &str| value::aws_id("sg-", text);
    Provider {
        managed_on_prem: section.flag(report, "managed_on_prem").map(|(on, _)| on),
        platform: section.text(report, "type", kind).map(|(text, _)| text),
        region: section.text(report, "region", value::aws_region).map(|(text, _)| text),
        vpc_id: section.text(report, "vpc_id", vpc).map(|(text, _)| text),
        subnet_ids: section.texts(report, "subnet_ids", |text| value::aws_id("subnet-", text)),
        security_group_id: section.text(report, "security_group_id", group).map(|(text, _)| text),
    }
}

fn word(text: &str) -> Checked<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(Fault::new("is not a name").fix("use letters, digits, `.`, `_` and `-`"))
    }
}
