//! `caution enclaveos …`: build the measured operating system from source.

mod build;
mod lock;
mod releases;
mod show;
mod verify;

use crate::Context;
use crate::error::{CliError, Exit};
use caution_build::git::Repository;
use std::path::{Path, PathBuf};

/// The verb after `caution enclaveos`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build an EnclaveOS release from a checkout of Caution's source.
    Build(build::Args),
    /// Show a release of this machine, and the image with which container engines assemble enclave images.
    Show(show::Args),
    /// Show the releases that this program knows, and take a newer list of them.
    Releases(releases::Args),
    /// Build a known release from its source, and compare.
    Verify(verify::Args),
    /// Lock the kernel source to the version this machine's mirror offers.
    Lock(lock::Args),
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<u8, CliError> {
    match command {
        Command::Build(args) => build::run(context, args),
        Command::Show(args) => show::run(context, args),
        Command::Releases(args) => releases::run(context, args),
        Command::Verify(args) => return verify::run(context, args),
        Command::Lock(args) => lock::run(context, args),
    }
    .map(|()| 0)
}

/// The checkout of Caution's own source: the flag, else the repository around the current folder.
fn source(flag: Option<&Path>) -> Result<PathBuf, CliError> {
    const MARK: &str = "enclave/enclaveos.lock";
    let found = match flag {
        Some(dir) => Some(crate::config::absolute(dir)?),
        None => Repository::discover(Path::new(".")).ok().map(|repo| repo.root().to_path_buf()),
    };
    found.filter(|dir| dir.join(MARK).is_file()).ok_or_else(|| {
        CliError::new(Exit::Other, format!("No checkout of Caution's source here ({MARK} is missing)."))
            .hint("caution enclaveos build --source /path/to/caution")
    })
}
