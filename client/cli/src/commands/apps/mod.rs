//! `caution apps …`.

pub(crate) mod build;
mod logs;
mod migrate_procfile;
mod ps;
mod run;
mod stop;

use crate::Context;
use crate::error::CliError;

/// The verb after `caution apps`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build this commit's enclave image.
    Build(build::Args),
    /// Boot an enclave image on this machine.
    Run(run::Args),
    /// List the enclaves that run on this machine.
    Ps,
    /// Show what happened to an enclave, and in debug mode what its app printed.
    Logs(logs::Args),
    /// Stop an enclave on this machine.
    Stop(stop::Args),
    /// Write caution.hcl from a Procfile, with the same meaning.
    MigrateProcfile(migrate_procfile::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Build(args) => build::run(context, &args).map(|()| 0),
        Command::Run(args) => run::run(context, &args),
        Command::Ps => ps::run(context).map(|()| 0),
        Command::Logs(args) => logs::run(context, &args).map(|()| 0),
        Command::Stop(args) => stop::run(context, &args).map(|()| 0),
        Command::MigrateProcfile(args) => migrate_procfile::run(context, &args).map(|()| 0),
    }
}
