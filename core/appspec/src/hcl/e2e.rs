//! The `e2e_encryption` block.

use super::section::{BlockRef, Names, Section};
use crate::problem::{Checked, Fault, Report};
use crate::{EndToEnd, Steve, value};
use caution_abi::e2e::{MAX_ORIGINS, Suite};
use caution_abi::ports::AppPort;
use std::collections::BTreeSet;

/// What stands around the block.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// The app's ports, where they are known.
    pub(super) ports: Option<&'a BTreeSet<AppPort>>,
    pub(super) has_domain: bool,
    pub(super) has_egress: bool,
}

pub(super) fn read(report: &mut Report<'_>, block: BlockRef<'_>, scene: Scene<'_>) -> Option<EndToEnd> {
    let attributes =
        ["enabled", "mode", "cors_origins", "key_exchange", "allow_plaintext_fallback", "steve_v2"];
    let at = block.at();
    let section = Section::of(report, block, &Names { attributes: &attributes, blocks: &[] });
    let enabled = section.flag(report, "enabled").map(|(on, _)| on);
    let mode = section.text(report, "mode", mode).map(|(mode, _)| mode);
    let steve = steve(report, &section);
    let given = |key| section.attribute(key).is_some();
    let mode = match (enabled, mode) {
        (Some(false), _) => {
            let why = "says how to encrypt, and `enabled = false` says not to";
            for key in &attributes[1..] {
                contradiction(report, &section, key, why, "remove it, or `enabled = false`");
            }
            return None;
        }
        (_, Some(mode)) => mode,
        // A wrong value has been reported.
        (None, None) if given("enabled") || given("mode") => return None,
        (Some(true), None) => Mode::Steve,
        (None, None) => {
            let fix = "add `mode = \"steve\"`, or remove the block";
            report.problem(at, "This block names no `mode`.".to_owned(), Some(fix.to_owned()));
            return None;
        }
    };
    if mode == Mode::Tls {
        tls(report, &section, at, scene);
        return Some(EndToEnd::Tls);
    }
    report.check(at, value::STEVES_PORT, scene.ports.map_or(Ok(()), value::beside_steve));
    Some(EndToEnd::Steve(steve))
}

/// What the block says about STEVE, wrong values left out.
fn steve(report: &mut Report<'_>, section: &Section<'_>) -> Steve {
    let cors_origins: BTreeSet<_> =
        section.texts(report, "cors_origins", value::origin).into_iter().collect();
    if let Some(at) = section.key_at("cors_origins").filter(|_| cors_origins.len() > MAX_ORIGINS) {
        let message = format!("`cors_origins` names {} origins (at most {MAX_ORIGINS}).", cors_origins.len());
        report.problem(at, message, None);
    }
    let key_exchange = section.text(report, "key_exchange", key_exchange).map(|(suite, _)| suite);
    let fallback = section.flag(report, "allow_plaintext_fallback");
    let steve_v2 = section.flag(report, "steve_v2");
    let default = Steve::default();
    Steve {
        cors_origins,
        key_exchange: key_exchange.unwrap_or(default.key_exchange),
        allow_plaintext_fallback: fallback.is_some_and(|(on, _)| on),
        steve_v2: steve_v2.is_some_and(|(on, _)| on),
    }
}

/// What mode `tls` needs, and what it has no use for.
fn tls(report: &mut Report<'_>, section: &Section<'_>, at: usize, scene: Scene<'_>) {
    let place = section.key_at("mode").unwrap_or(at);
    report.not_yet(place, "Mode `tls`", "write `mode = \"steve\"`, which needs no certificate");
    if !scene.has_domain {
        let message = "Mode `tls` needs a domain to get a certificate for.".to_owned();
        report.problem(at, message, Some("add `domain` to the `http` block".to_owned()));
    }
    if !scene.has_egress {
        let fix = "add an `egress` block that reaches the certificate authority";
        report.problem(at, "Mode `tls` needs egress to get a certificate.".to_owned(), Some(fix.to_owned()));
    }
    for key in ["cors_origins", "key_exchange", "allow_plaintext_fallback", "steve_v2"] {
        let why = "means something in mode `steve` only";
        contradiction(report, section, key, why, "remove it, or `mode = \"tls\"`");
    }
}

fn contradiction(report: &mut Report<'_>, section: &Section<'_>, key: &str, why: &str, fix: &str) {
    if let Some(at) = section.key_at(key) {
        report.problem(at, format!("`{key}` {why}."), Some(fix.to_owned()));
    }
}

/// The value of `mode`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Steve,
    Tls,
}

fn mode(text: &str) -> Checked<Mode> {
    match text {
        "steve" => Ok(Mode::Steve),
        "tls" => Ok(Mode::Tls),
        _ => Err(Fault::new("is not a mode").fix("write \"steve\" or \"tls\"")),
    }
}

fn key_exchange(text: &str) -> Checked<Suite> {
    match text {
        "x25519" => Ok(Suite::X25519),
        // The name of the suite, and the one that files of the existing platform have.
        "xwing" | "xwing-draft10" => Ok(Suite::Xwing),
        _ => Err(Fault::new("is not a key exchange").fix("write \"x25519\" or \"xwing\"")),
    }
}
