//! `caution reference`: `docs/src/cli.md`, the manual of every command, from the definition that parses them.

use crate::{Cli, Context};
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use std::fmt::Write as _;

pub(crate) fn run(context: &Context) {
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "markdown": markdown() }));
    } else {
        context.terminal.result(&markdown());
    }
}

fn markdown() -> String {
    let mut root = Cli::command();
    root.build();
    let mut text = BEGINNING.to_owned();
    text.push_str("\n## Options of every command\n\n");
    for arg in root.get_arguments().filter(|arg| arg.is_global_set()) {
        line(&mut text, arg);
    }
    for command in visible(&root) {
        section(&mut text, command, "caution");
    }
    text
}

/// A command with all that are below it.
fn section(text: &mut String, command: &Command, above: &str) {
    let path = format!("{above} {}", command.get_name());
    let has_words = visible(command).next().is_some();
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string);
    let _ = write!(text, "\n## {path}\n\n{}\n", plain(about.as_deref().unwrap_or_default()));
    if has_words {
        for command in visible(command) {
            section(text, command, &path);
        }
        return;
    }
    let usage = command.clone().bin_name(&*path).render_usage().to_string();
    let _ = write!(text, "\n    {}\n", usage.trim_start_matches("Usage: ").trim());
    let own: Vec<&Arg> = command.get_arguments().filter(|arg| is_own(arg)).collect();
    if !own.is_empty() {
        text.push('\n');
    }
    for arg in own {
        line(text, arg);
    }
    if let Some(more) = command.get_after_help() {
        let lines = more.to_string();
        let lines = lines.lines().map(|line| format!("    {line}").trim_end().to_owned());
        let _ = write!(text, "\n{}\n", lines.collect::<Vec<_>>().join("\n"));
    }
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

fn is_own(arg: &Arg) -> bool {
    !arg.is_global_set() && !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn line(text: &mut String, arg: &Arg) {
    let mut name = String::new();
    if let Some(short) = arg.get_short() {
        let _ = write!(name, "-{short}");
    }
    if let Some(long) = arg.get_long() {
        let _ = write!(name, "{}--{long}", if name.is_empty() { "" } else { ", " });
    }
    let values = arg.get_value_names().unwrap_or_default().join(" ");
    if matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
        let _ = write!(name, "{}{values}", if name.is_empty() { "" } else { " " });
    }
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string);
    let mut help = plain(help.as_deref().unwrap_or_default());
    if !help.ends_with('.') {
        help.push('.');
    }
    let possible: Vec<String> =
        arg.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if arg.get_action().takes_values() && !possible.is_empty() {
        let _ = write!(help, " One of {}.", possible.join(", "));
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !default.is_empty() {
        let _ = write!(help, " Default: `{}`.", default.join(" "));
    }
    let _ = writeln!(text, "- `{name}`: {help}");
}

/// One paragraph; what Markdown would take for a tag is no tag.
fn plain(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace('<', "&lt;")
}

const BEGINNING: &str = "\
# Every command in full

<!-- Written by `caution reference > docs/src/cli.md`; a test compares. -->

What `--help` says of each command, in one place. [Commands and exit codes](commands.md) has them on one page, with exit codes and
the forms of JSON. `caution completion` makes shells complete them, `caution man` writes manual pages.
";

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_in_the_tree_is_what_the_command_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/cli.md");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == super::markdown(), "run: caution reference > docs/src/cli.md");
    }
}
