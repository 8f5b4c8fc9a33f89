//! `caution apps …`.

pub(crate) mod build;
mod check;
mod describe;
pub(crate) mod diff;
mod download_eif;
mod events;
mod extract;
mod logs;
mod migrate_procfile;
mod pick;
mod pin;
mod ps;
mod run;
mod signing;
mod stop;
mod way;

use crate::Context;
use crate::error::CliError;
use std::ffi::OsStr;

/// The verb after `caution apps`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build this commit's enclave image.
    Build(build::Args),
    /// Write Containerfile.eif: the base images and the EnclaveOS release of this commit, by digest.
    Pin(pin::Args),
    /// Say what in the Containerfile will make the next build differ; with --rebuild, build twice and compare.
    Check(check::Args),
    /// Show what is in an enclave image file, whoever made it, with its registers.
    Describe(describe::Args),
    /// Show which files of two images differ, and why.
    Diff(diff::Args),
    /// Unpack the ramdisks of an enclave image, list what is in them, or show one file.
    Extract(extract::Args),
    /// Boot an enclave image on this machine.
    Run(run::Args),
    /// List the enclaves that run on this machine.
    Ps(ps::Args),
    /// Show what happened to an enclave, and in debug mode what its app printed.
    Logs(logs::Args),
    /// Stop an enclave on this machine.
    Stop(stop::Args),
    /// Fetch the image that a running app was deployed with, and check that it is that one.
    DownloadEif(download_eif::Args),
    /// Write caution.hcl from a Procfile, with the same meaning.
    MigrateProcfile(migrate_procfile::Args),
}

pub(crate) fn run(context: &Context, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Build(args) => build::run(context, &args).map(|()| 0),
        Command::Pin(args) => pin::run(context, &args).map(|()| 0),
        Command::Check(args) => check::run(context, &args),
        Command::Describe(args) => describe::run(context, &args).map(|()| 0),
        Command::Diff(args) => diff::run(context, &args),
        Command::Extract(args) => extract::run(context, &args).map(|()| 0),
        Command::Run(args) => run::run(context, &args),
        Command::Ps(args) => ps::run(context, &args).map(|()| 0),
        Command::Logs(args) => logs::run(context, &args).map(|()| 0),
        Command::Stop(args) => stop::run(context, &args).map(|()| 0),
        Command::DownloadEif(args) => download_eif::run(context, &args).map(|()| 0),
        Command::MigrateProcfile(args) => migrate_procfile::run(context, &args).map(|()| 0),
    }
}

/// What an app is called unless its user says so: the checkout's folder or the image's file, in the
/// letters, digits, `-`, `_` and `.` that the host agent takes.
fn default_name(of: &OsStr) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = of.to_string_lossy().trim_start_matches('.').chars().map(allowed).take(64).collect();
    if name.is_empty() { "app".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::default_name;
    use std::ffi::OsStr;

    #[test]
    fn every_folder_gives_a_name_the_host_agent_takes() {
        let name = |text: &str| default_name(OsStr::new(text));
        assert_eq!(name("hello"), "hello");
        assert_eq!(name("my.app v2"), "my.app-v2");
        assert_eq!(name("..."), "app");
        assert_eq!(name(&"é".repeat(100)), "-".repeat(64));
    }
}
