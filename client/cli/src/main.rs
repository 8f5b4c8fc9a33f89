//! The `caution` command: words around the libraries. One file a verb under `commands/`.

mod commands;
mod config;
mod deployed;
mod egress;
mod enclave;
mod error;
mod files;
mod own_folder;
mod platform;
mod releases;
mod scratch;
mod terminal;
mod verify;

use clap::Parser;
use config::Config;
use error::{CliError, Exit};
use std::path::PathBuf;
use std::process::ExitCode;
use terminal::Terminal;

/// Build, run and verify applications in secure enclaves.
#[derive(Debug, Parser)]
#[command(name = "caution", version, propagate_version = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: commands::Command,

    /// Print the result as JSON on stdout, errors included.
    #[arg(long, global = true, display_order = COMMON)]
    json: bool,

    /// Show what the tools underneath say.
    #[arg(short, long, global = true, display_order = COMMON)]
    verbose: bool,

    /// Where rebuildable data is kept: tools, kernels, releases, reproductions.
    #[arg(long, global = true, display_order = COMMON, value_name = "DIR", env = config::WORKDIR_VAR)]
    workdir: Option<PathBuf>,
}

/// Options that every command has stand below its own in `--help`.
const COMMON: usize = 900;

/// What every command gets.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) terminal: Terminal,
}

fn main() -> ExitCode {
    // The host agent starts this same program again for its supervisor and janitor processes.
    let args = commands::with_curls_json(std::env::args_os().collect());
    if args.get(1).is_some_and(|first| first == "internal") {
        return caution_host::internal(&args[2..]);
    }

    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(wrong) => return refuse(&wrong, args.iter().any(|arg| arg == "--json")),
    };
    let config = match Config::from_env(cli.workdir.as_deref()) {
        Ok(config) => config,
        Err(error) => return fail(Terminal::new(true, cli.json, cli.verbose), &error),
    };
    let terminal = Terminal::new(config.no_color, cli.json, cli.verbose);
    let context = Context { config, terminal };
    match commands::run(&context, cli.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(terminal, &error),
    }
}

fn fail(terminal: Terminal, error: &CliError) -> ExitCode {
    terminal.error(error);
    ExitCode::from(error.exit.code())
}

/// A command line that is wrong, or asks for help: clap's own words, as JSON where that was asked for.
fn refuse(wrong: &clap::Error, json: bool) -> ExitCode {
    if !json || wrong.exit_code() == 0 {
        // A closed stream is the reader's wish.
        let _ = wrong.print();
        return ExitCode::from(u8::try_from(wrong.exit_code()).unwrap_or(2));
    }
    let text = wrong.render().to_string();
    let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
    let error = CliError::new(Exit::Usage, message).hint("caution --help");
    fail(Terminal::new(true, true, false), &error)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// Its layers and blocks are kept as those of built ones.
    #[test]
    fn an_image_that_is_there_is_built_without_any_cache_too() {
        let args = ["caution", "apps", "build", "--image", "image.tar", "--no-cache"];
        assert!(super::Cli::command().try_get_matches_from(args).is_ok());
    }
}
