//! `caution apps logs`: what happened to an enclave, live or ended.

use crate::Context;
use crate::commands::apps::default_name;
use crate::commands::apps::run::show;
use crate::error::{CliError, Exit};
use caution_build::git::Repository;
use caution_host::{Dirs, Record};
use std::path::Path;

/// Arguments of `caution apps logs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id; the one of this checkout when absent.
    app: Option<String>,
    /// Keep reading until it ends.
    #[arg(long, short)]
    follow: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let dirs = context.config.host_dirs();
    let name = match &args.app {
        Some(app) => app.clone(),
        None => pick(&dirs, None).map(|record| record.name).or_else(|error| checkout_name().ok_or(error))?,
    };
    let mut spoke = false;
    for entry in caution_host::logs(&dirs, &name, args.follow)? {
        spoke |= matches!(entry.event, caution_host::HostEvent::Enclave(_));
        show(context.terminal, &entry.event);
    }
    if !spoke && !context.terminal.json {
        context.terminal.note("  (the enclave said nothing)");
    }
    Ok(())
}

/// The running enclave of this name or id, or the one of this checkout.
pub(crate) fn pick(dirs: &Dirs, app: Option<&str>) -> Result<Record, CliError> {
    if let Some(app) = app {
        return Ok(caution_host::find(dirs, app)?);
    }
    let root = Repository::discover(Path::new(".")).ok().map(|repo| repo.root().to_path_buf());
    let mut mine: Vec<Record> = caution_host::list(dirs)?
        .into_iter()
        .filter(|record| root.is_some() && record.checkout == root)
        .collect();
    match (mine.pop(), mine.is_empty()) {
        (Some(record), true) => Ok(record),
        (Some(_), false) => Err(CliError::new(Exit::Usage, "Several enclaves of this checkout run.")
            .hint("caution apps ps      (then name one)")),
        (None, _) => Err(CliError::new(Exit::Other, "No enclave of this checkout runs on this machine.")
            .hint("caution apps ps")),
    }
}

/// What the enclave of this checkout was called.
fn checkout_name() -> Option<String> {
    let repo = Repository::discover(Path::new(".")).ok()?;
    repo.root().file_name().map(default_name)
}
