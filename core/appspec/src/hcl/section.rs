//! A block read strictly: every attribute and block is known, and single where it must be.

use super::syntax::Tree;
use super::value_of::{self, kind};
use crate::problem::{Checked, Fault, Report, shown};
use crate::suggest;
use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Block, Body, Structure};
use std::collections::BTreeSet;

/// What a section may hold.
pub(super) struct Names<'n> {
    pub(super) attributes: &'n [&'n str],
    pub(super) blocks: &'n [&'n str],
}

/// A block and what reading the whole file needs to know about it.
#[derive(Clone, Copy)]
pub(super) struct BlockRef<'a> {
    pub(super) block: &'a Block,
    repeated: &'a BTreeSet<usize>,
}

impl BlockRef<'_> {
    /// Where the block's name stands.
    pub(super) fn at(&self) -> usize {
        start(&self.block.ident)
    }
}

/// The known contents of a block.
pub(super) struct Section<'a> {
    attributes: Vec<&'a Attribute>,
    blocks: Vec<BlockRef<'a>>,
    repeated: &'a BTreeSet<usize>,
}

impl<'a> Section<'a> {
    /// The file itself.
    pub(super) fn root(report: &mut Report<'_>, tree: &'a Tree, names: &Names<'_>) -> Self {
        Self::read(report, &tree.body, &tree.repeated, names)
    }

    /// A block's body.
    pub(super) fn of(report: &mut Report<'_>, block: BlockRef<'a>, names: &Names<'_>) -> Self {
        Self::read(report, &block.block.body, block.repeated, names)
    }

    fn read(
        report: &mut Report<'_>,
        body: &'a Body,
        repeated: &'a BTreeSet<usize>,
        names: &Names<'_>,
    ) -> Self {
        let mut section = Self { attributes: Vec::new(), blocks: Vec::new(), repeated };
        for structure in body {
            if report.is_full() {
                break;
            }
            match structure {
                Structure::Attribute(attribute) if repeated.contains(&start(&attribute.key)) => {}
                Structure::Attribute(attribute) => {
                    let name = attribute.key.as_str();
                    if !names.attributes.contains(&name) {
                        unknown_attribute(report, attribute, names);
                    // `null` is how HCL says "not set".
                    } else if !attribute.value.is_null() {
                        section.attributes.push(attribute);
                    }
                }
                Structure::Block(block) if names.blocks.contains(&block.ident.as_str()) => {
                    section.blocks.push(BlockRef { block, repeated });
                }
                Structure::Block(block) => unknown_block(report, block, names),
            }
        }
        section
    }

    pub(super) fn attribute(&self, key: &str) -> Option<&'a Attribute> {
        self.attributes.iter().copied().find(|attribute| attribute.key.as_str() == key)
    }

    /// Whether the key at this place repeats another and is reported already.
    pub(super) fn is_repeated(&self, key_at: usize) -> bool {
        self.repeated.contains(&key_at)
    }

    /// Where an attribute's key stands.
    pub(super) fn key_at(&self, key: &str) -> Option<usize> {
        self.attribute(key).map(|attribute| start(&attribute.key))
    }

    pub(super) fn has_block(&self, name: &str) -> bool {
        self.blocks.iter().any(|found| found.block.ident.as_str() == name)
    }

    /// Every block of a name, without labels.
    pub(super) fn blocks(&self, report: &mut Report<'_>, name: &str) -> Vec<BlockRef<'a>> {
        let found: Vec<_> = self.blocks.iter().copied().filter(|b| b.block.ident.as_str() == name).collect();
        for block in found.iter().filter(|b| !b.block.labels.is_empty()) {
            let fix = format!("write `{name} {{ … }}`");
            report.problem(block.at(), format!("{} block takes no label.", with_article(name)), Some(fix));
        }
        found
    }

    /// The block of a name that may stand once, without labels.
    pub(super) fn block(&self, report: &mut Report<'_>, name: &str) -> Option<BlockRef<'a>> {
        let blocks = self.blocks(report, name);
        only(report, name, &blocks, "keep one of them")
    }

    /// The block of a name that may stand once, with one label.
    pub(super) fn labelled_block(&self, report: &mut Report<'_>, name: &str) -> Option<BlockRef<'a>> {
        let found: Vec<_> = self.blocks.iter().copied().filter(|b| b.block.ident.as_str() == name).collect();
        for block in &found {
            let labels = &block.block.labels;
            if labels.len() != 1 || labels.first().is_some_and(|label| label.as_str().is_empty()) {
                let fix = format!("write `{name} \"default\" {{ … }}`");
                report.problem(
                    block.at(),
                    format!("{} block takes exactly one label.", with_article(name)),
                    Some(fix),
                );
            }
        }
        only(report, name, &found, "an app has one; keep the one that runs")
    }

    /// Reports an attribute that has to be there.
    pub(super) fn require(&self, report: &mut Report<'_>, block_at: usize, key: &str) {
        if self.attribute(key).is_none() {
            report.problem(block_at, format!("This block needs `{key}`."), Some(format!("add `{key} = …`")));
        }
    }

    /// A checked string and where it stands.
    pub(super) fn text<T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Option<(T, usize)> {
        self.value(report, key, value_of::string, |text| check(&text))
    }

    /// A boolean and where it stands.
    pub(super) fn flag(&self, report: &mut Report<'_>, key: &str) -> Option<(bool, usize)> {
        self.value(report, key, value_of::boolean, Ok)
    }

    /// A checked whole number and where it stands.
    pub(super) fn number<T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        check: impl Fn(u64) -> Checked<T>,
    ) -> Option<(T, usize)> {
        self.value(report, key, value_of::whole_number, check)
    }

    /// The checked strings of a list; wrong ones are reported and left out.
    pub(super) fn texts<T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        check: impl Fn(&str) -> Checked<T>,
    ) -> Vec<T> {
        let Some(attribute) = self.attribute(key) else { return Vec::new() };
        let Expression::Array(array) = &attribute.value else {
            let fault = Fault::new(format!("is {}, not a list", kind(&attribute.value)))
                .fix(format!("write `{key} = [\"…\"]`"));
            report.fault(value_at(attribute), &subject(report, attribute), fault);
            return Vec::new();
        };
        let mut out = Vec::new();
        for item in array {
            let at = item.span().map_or_else(|| value_at(attribute), |span| span.start);
            let subject = format!("`{}` in `{key}`", source(report, item));
            let checked = value_of::string(item).and_then(|text| check(&text));
            out.extend(report.check(at, &subject, checked));
        }
        out
    }

    fn value<V, T>(
        &self,
        report: &mut Report<'_>,
        key: &str,
        read: impl Fn(&Expression) -> Checked<V>,
        check: impl Fn(V) -> Checked<T>,
    ) -> Option<(T, usize)> {
        let attribute = self.attribute(key)?;
        let checked = read(&attribute.value).and_then(check);
        let value = report.check(value_at(attribute), &subject(report, attribute), checked)?;
        Some((value, start(&attribute.key)))
    }
}

/// Where an attribute's value stands.
pub(super) fn value_at(attribute: &Attribute) -> usize {
    attribute.value.span().map_or_else(|| start(&attribute.key), |span| span.start)
}

/// How a message names an attribute.
pub(super) fn subject(report: &Report<'_>, attribute: &Attribute) -> String {
    format!("`{} = {}`", attribute.key.as_str(), source(report, &attribute.value))
}

/// An expression as the file has it.
pub(super) fn source(report: &Report<'_>, expression: &Expression) -> String {
    let text = expression.span().and_then(|span| report.text().get(span)).unwrap_or("…");
    shown(text.lines().next().unwrap_or_default())
}

fn start(key: &impl hcl_edit::Span) -> usize {
    key.span().map_or(0, |span| span.start)
}

fn only<'a>(report: &mut Report<'_>, name: &str, blocks: &[BlockRef<'a>], fix: &str) -> Option<BlockRef<'a>> {
    let (first, more) = blocks.split_first()?;
    let line = report.line_of(first.at());
    for block in more {
        let message = format!("There is a second `{name}` block; the first is on line {line}.");
        report.problem(block.at(), message, Some(fix.to_owned()));
    }
    Some(*first)
}

fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o']) { "An" } else { "A" };
    format!("{article} `{name}`")
}

fn unknown_attribute(report: &mut Report<'_>, attribute: &Attribute, names: &Names<'_>) {
    let name = attribute.key.as_str();
    if names.blocks.contains(&name) {
        let fix = format!("write `{name} {{ … }}`");
        report.problem(start(&attribute.key), format!("`{name}` is a block, not an attribute."), Some(fix));
    } else {
        unknown(report, start(&attribute.key), name, "attribute", names);
    }
}

fn unknown_block(report: &mut Report<'_>, block: &Block, names: &Names<'_>) {
    let name = block.ident.as_str();
    if names.attributes.contains(&name) {
        let fix = format!("write `{name} = …`");
        report.problem(start(&block.ident), format!("`{name}` is an attribute, not a block."), Some(fix));
    } else {
        unknown(report, start(&block.ident), name, "block", names);
    }
}

fn unknown(report: &mut Report<'_>, at: usize, name: &str, what: &str, names: &Names<'_>) {
    let elsewhere = OTHER_WORDS.iter().find(|(word, _)| *word == name).map(|(_, known)| *known);
    let known = || names.attributes.iter().chain(names.blocks).copied();
    let question = elsewhere
        .filter(|word| known().any(|name| name == *word))
        .map(suggest::question)
        .or_else(|| suggest::did_you_mean(name, known()))
        .or_else(|| {
            let (_, near, place) =
                HOMES.iter().find(|(home, ..)| suggest::did_you_mean(name, [*home]).is_some())?;
            Some(if *near == name {
                format!("move it into `{place}`")
            } else {
                format!("did you mean `{near}` in `{place}`?")
            })
        });
    let fix = question.or_else(|| Some(format!("known here: {}", known().collect::<Vec<_>>().join(", "))));
    report.problem(at, format!("`{}` is not a known {what} here.", shown(name)), fix);
}

/// Where a name that is known elsewhere belongs.
const HOMES: &[(&str, &str, &str)] = &[
    ("cpu", "cpu", "resources"),
    ("cpus", "cpu", "resources"),
    ("memory", "memory_mb", "resources"),
    ("memory_mb", "memory_mb", "resources"),
    ("containerfile", "containerfile", "build"),
    ("app_sources", "app_sources", "build"),
    ("enclave_sources", "enclave_sources", "build"),
    ("cache", "cache", "build"),
    ("run", "command", "unit"),
    ("command", "command", "unit"),
    ("args", "args", "unit"),
    ("env", "env", "unit"),
    ("ingress", "ingress", "network"),
    ("egress", "egress", "network"),
    ("ports", "ingress", "network"),
    ("http", "http", "network"),
    ("http_port", "port", "network.http"),
    ("domain", "domain", "network.http"),
    ("e2e", "e2e_encryption", "network.http"),
    ("e2e_encryption", "e2e_encryption", "network.http"),
    ("ssh_keys", "ssh_keys", "debug"),
];

/// Names of the Procfile, and of habit, that this file spells differently.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("cpus", "cpu"),
    ("memory", "memory_mb"),
    ("no_cache", "cache"),
    ("e2e", "e2e_encryption"),
    ("http_port", "port"),
    ("dockerfile", "containerfile"),
    ("environment", "env"),
    ("run", "command"),
    ("protocol", "ip_protocol"),
    ("cidr", "cidr_ipv4"),
    ("from_port", "start_port"),
    ("to_port", "end_port"),
];
