//! The `build` block.

use super::section::{BlockRef, Names, Section};
use crate::problem::{Fault, Report};
use crate::procfile::{too_many_sources, two_images};
use crate::{Build, MAX_SOURCES, value};

pub(super) fn read(report: &mut Report<'_>, block: BlockRef<'_>) -> Build {
    let names = Names {
        attributes: &[
            "containerfile",
            "app_sources",
            "enclave_sources",
            "cache",
            "oci_tarball",
            "binary",
            "command",
        ],
        blocks: &[],
    };
    let section = Section::of(report, block, &names);
    let cache = section.flag(report, "cache").is_none_or(|(on, _)| on);
    let containerfile = section.text(report, "containerfile", value::relative_path).map(|(path, _)| path);
    let app_sources = sources(report, &section, "app_sources");
    let enclave_sources = sources(report, &section, "enclave_sources");

    let image = section.text(report, "oci_tarball", value::relative_path);
    if let Some((_, at)) = &image
        && containerfile.is_some()
    {
        two_images(report, *at);
    }
    let binary = section.text(report, "binary", value::absolute_path).map(|(path, _)| path);
    let command = section.text(report, "command", not_empty).map(|(text, at)| {
        report.not_yet(at, "`command`", "remove it and describe the build in a Containerfile");
        text
    });
    let oci_tarball = image.map(|(path, _)| path);
    Build { containerfile, oci_tarball, binary, command, app_sources, enclave_sources, no_cache: !cache }
}

fn sources(report: &mut Report<'_>, section: &Section<'_>, key: &str) -> Vec<String> {
    let urls = section.texts(report, key, value::source_url);
    if urls.len() > MAX_SOURCES
        && let Some(at) = section.key_at(key)
    {
        report.fault(at, &format!("`{key}`"), too_many_sources(urls.len()));
    }
    urls
}

fn not_empty(text: &str) -> Result<String, Fault> {
    if text.trim().is_empty() { Err(Fault::new("is empty")) } else { Ok(text.to_owned()) }
}
