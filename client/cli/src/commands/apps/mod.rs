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
pub(crate) mod remote;
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
    /// Show what happened to an enclave and what its app printed, or what a build or deployment said.
    Logs(logs::Args),
    /// Stop an app of the platform, or an enclave that was started on this machine without it.
    Stop(stop::Args),
    /// List the apps of the platform.
    List(remote::list::Args),
    /// Show an app of the platform: addresses, live release, registers.
    Get(remote::Picked),
    /// List what the platform built of an app.
    Releases(remote::Picked),
    /// Have the platform build and deploy a commit that was pushed, or deploy a release.
    Deploy(remote::deploy::Args),
    /// Deploy an earlier release.
    Rollback(remote::rollback::Args),
    /// Deploy the release again that was live when the app was stopped.
    Start(remote::Picked),
    /// Put a fresh enclave of the live release in the place of the one that runs.
    Restart(remote::Picked),
    /// Give an app of the platform another name.
    Rename(remote::rename::Args),
    /// End an app of the platform and remove everything of it there.
    Destroy(remote::destroy::Args),
    /// Show what happened to an app of the platform.
    Events(remote::Picked),
    /// List builds, deployments and ends of an app of the platform.
    Jobs(remote::Picked),
    /// End a build or deployment of an app of the platform before its time.
    Cancel(remote::cancel::Args),
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
        Command::Stop(args) => stop::run(context, &args),
        Command::List(args) => remote::list::run(context, &args).map(|()| 0),
        Command::Get(args) => remote::get::run(context, &args).map(|()| 0),
        Command::Releases(args) => remote::releases::run(context, &args).map(|()| 0),
        Command::Deploy(args) => remote::deploy::run(context, &args),
        Command::Rollback(args) => remote::rollback::run(context, &args),
        Command::Start(args) => remote::start::run(context, &args),
        Command::Restart(args) => remote::restart::run(context, &args),
        Command::Rename(args) => remote::rename::run(context, &args).map(|()| 0),
        Command::Destroy(args) => remote::destroy::run(context, &args),
        Command::Events(args) => remote::events::run(context, &args).map(|()| 0),
        Command::Jobs(args) => remote::jobs::run(context, &args).map(|()| 0),
        Command::Cancel(args) => remote::cancel::run(context, &args).map(|()| 0),
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
