//! `caution enclaveos build`: kernel, init and command line, byte for byte.

use crate::Context;
use crate::error::CliError;
use std::path::PathBuf;

/// Arguments of `caution enclaveos build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A checkout of Caution's source; the current one when absent.
    #[arg(long, value_name = "DIR")]
    source: Option<PathBuf>,
    /// Build again even where a cached result has the same inputs.
    #[arg(long)]
    rebuild: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let source = super::source(args.source.as_deref())?;
    let terminal = context.terminal;
    let release = caution_enclaveos::build(&caution_enclaveos::BuildOptions {
        source: &source,
        cache: &context.config.cache,
        rebuild: args.rebuild,
        make_default: true,
        notify: &|text| terminal.note(&format!("  {text}")),
    })?;
    super::show::print(terminal, &release);
    Ok(())
}
