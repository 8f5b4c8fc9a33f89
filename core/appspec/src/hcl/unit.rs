//! The `unit` block: command, arguments, environment.

use super::section::{BlockRef, Names, Section, source, subject, value_at};
use super::value_of;
use crate::problem::{Checked, Fault, Report, shown};
use crate::{AppSpec, Command, EnvValue, command, value};
use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, FuncCall, ObjectKey};
use hcl_edit::structure::Structure;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

pub(super) fn read(report: &mut Report<'_>, block: BlockRef<'_>, spec: &mut AppSpec) {
    let section =
        Section::of(report, block, &Names { attributes: &["command", "args", "env"], blocks: &["env"] });
    let line = section.text(report, "command", command::parse);
    let arguments = section.texts(report, "args", |text| Ok(text.to_owned()));
    let mut env = Env::default();
    if let Some((line, at)) = line {
        spec.command = with_args(report, &section, line.command, arguments);
        for (name, text) in line.env {
            env.insert(report, at, name, EnvValue::Literal(text));
        }
    } else if let (Some(at), None) = (section.key_at("args"), section.attribute("command")) {
        let fix = "add `command = \"/app/server\"`, the program they are for";
        report.problem(at, "`args` needs `command`.".to_owned(), Some(fix.to_owned()));
    }
    env.read(report, &section);
    spec.locksmith |= env.values.values().any(|value| matches!(value, EnvValue::Vault(_)));
    spec.env = env.values;
}

fn with_args(
    report: &mut Report<'_>,
    section: &Section<'_>,
    command: Command,
    arguments: Vec<String>,
) -> Option<Command> {
    match command {
        Command::Argv(mut argv) => {
            argv.extend(arguments);
            Some(Command::Argv(argv))
        }
        Command::Shell(line) if arguments.is_empty() => Some(Command::Shell(line)),
        Command::Shell(_) => {
            if let Some(attribute) = section.attribute("command") {
                let fault = Fault::new("is a line for the shell, which `args` cannot follow")
                    .fix("put the arguments into the line, or quote what the shell would read");
                report.fault(value_at(attribute), &subject(report, attribute), fault);
            }
            None
        }
    }
}

/// The environment while it is collected.
#[derive(Default)]
struct Env {
    values: BTreeMap<String, EnvValue>,
}

impl Env {
    /// `env = { … }` and `env { … }`.
    fn read(&mut self, report: &mut Report<'_>, section: &Section<'_>) {
        if let Some(attribute) = section.attribute("env") {
            match &attribute.value {
                Expression::Object(object) => {
                    for (key, item) in object {
                        self.item(report, section, key, item.expr());
                    }
                }
                other => {
                    let fault =
                        value_of::wrong_type(other, "a map").fix("write `env = { NAME = \"value\" }`");
                    report.fault(value_at(attribute), &subject(report, attribute), fault);
                }
            }
        }
        if let Some(block) = section.block(report, "env") {
            for structure in &block.block.body {
                match structure {
                    Structure::Attribute(attribute) => {
                        let at = attribute.key.span().map_or_else(|| block.at(), |span| span.start);
                        if !section.is_repeated(at) {
                            self.variable(report, at, attribute.key.as_str(), &attribute.value);
                        }
                    }
                    Structure::Block(inner) => {
                        let at = inner.ident.span().map_or_else(|| block.at(), |span| span.start);
                        let message =
                            format!("`{}` is a block, not a variable.", shown(inner.ident.as_str()));
                        report.problem(at, message, Some("write `NAME = \"value\"`".to_owned()));
                    }
                }
            }
        }
    }

    fn item(&mut self, report: &mut Report<'_>, section: &Section<'_>, key: &ObjectKey, value: &Expression) {
        let at = key.span().map_or(0, |span| span.start);
        // A key in quotes was set aside at its first character, after the quote.
        if section.is_repeated(at) || section.is_repeated(at + 1) {
            return;
        }
        match key {
            ObjectKey::Ident(name) => self.variable(report, at, name.as_str(), value),
            ObjectKey::Expression(Expression::String(name)) => self.variable(report, at, name.value(), value),
            ObjectKey::Expression(other) => {
                let subject = format!("`{}`", source(report, other));
                report.fault(at, &subject, value_of::wrong_type(other, "a variable's name"));
            }
        }
    }

    fn variable(&mut self, report: &mut Report<'_>, at: usize, name: &str, expression: &Expression) {
        let value_at = expression.span().map_or(at, |span| span.start);
        let name = report.check(at, &format!("`{}`", shown(name)), value::env_name(name));
        let text = format!("`{}`", source(report, expression));
        let value = report.check(value_at, &text, env_value(expression));
        if let (Some(name), Some(value)) = (name, value) {
            if let EnvValue::Vault(secret) = &value {
                let fix = "remove it; secrets cannot reach an enclave yet";
                report.not_yet(value_at, &format!("`env::vault(\"{secret}\")`"), fix);
            }
            self.insert(report, at, name, value);
        }
    }

    fn insert(&mut self, report: &mut Report<'_>, at: usize, name: String, value: EnvValue) {
        match self.values.entry(name) {
            Entry::Vacant(free) => {
                free.insert(value);
            }
            Entry::Occupied(taken) => {
                let message = format!("The variable `{}` is set twice.", taken.key());
                report.problem(at, message, Some("keep one of the two".to_owned()));
            }
        }
    }
}

/// A literal string or `env::vault("NAME")`.
fn env_value(expression: &Expression) -> Checked<EnvValue> {
    match expression {
        Expression::FuncCall(call) => vault(call).map(EnvValue::Vault),
        other => value_of::string(other).map(EnvValue::Literal),
    }
}

fn vault(call: &FuncCall) -> Checked<String> {
    let usage = "write a string, or `env::vault(\"NAME\")` for a secret";
    let namespace: Vec<&str> = call.name.namespace.iter().map(|part| part.as_str()).collect();
    if namespace != ["env"] || call.name.name.as_str() != "vault" {
        return Err(Fault::new("is not a known function").fix(usage));
    }
    let mut args = call.args.iter();
    match (args.next(), args.next(), call.args.expand_final()) {
        (Some(Expression::String(name)), None, false) => value::env_name(name.value()),
        _ => Err(Fault::new("does not name one secret").fix(usage)),
    }
}
