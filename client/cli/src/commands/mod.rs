//! The commands, one file a verb.

pub(crate) mod apps;
mod attestation;
mod audit;
mod completion;
mod curl;
mod doctor;
mod down;
mod enclaveos;
mod init;
mod invite;
mod login;
mod logout;
mod man;
mod members;
mod open;
mod proxy;
mod reference;
mod ssh_keys;
mod tokens;
mod up;
pub(crate) mod verify;

use crate::Context;
use crate::error::CliError;
use caution_attest::UnixMillis;
pub(crate) use curl::with_curls_json;

/// The first word after `caution`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Start the platform on this machine, and make this user known to it.
    Up(up::Args),
    /// End the platform on this machine and its enclaves; what they keep stays.
    Down(down::Args),
    /// Write a configuration template and link this checkout; where a platform runs, create the app there.
    Init(init::Args),
    /// Build, run and look after applications.
    #[command(subcommand)]
    Apps(apps::Command),
    /// Prove that a running application is what its source says.
    Verify(verify::Args),
    /// Send a request into an enclave, encrypted from here to there.
    Curl(curl::Args),
    /// Open a port on this machine whose requests go into an enclave, encrypted.
    Proxy(proxy::Args),
    /// Check attestation documents by themselves.
    #[command(subcommand)]
    Attestation(attestation::Command),
    /// The measured operating system below every application.
    #[command(subcommand, name = "enclaveos")]
    EnclaveOs(enclaveos::Command),
    /// Be known to a platform on another machine, let in by a browser.
    Login(login::Args),
    /// Be known there no more.
    Logout(logout::Args),
    /// Who belongs to an organisation of the platform.
    Members(members::Args),
    /// Make a link by which somebody becomes a member.
    Invite(invite::Args),
    /// Tokens that programs are known by on the platform.
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Keys that git is known by on the platform.
    #[command(subcommand)]
    SshKeys(ssh_keys::Command),
    /// Show who changed what on the platform.
    Audit(audit::Args),
    /// Open an app of the platform in the browser.
    Open(open::Args),
    /// Say what this machine lacks, and how to mend each.
    Doctor(doctor::Args),
    /// Print a script that makes a shell complete commands.
    Completion(completion::Args),
    /// Write manual pages.
    Man(man::Args),
    /// Print the manual of every command as Markdown: `docs/src/cli.md`.
    #[command(hide = true)]
    Reference,
}

/// Runs a command; the number is the process exit code.
pub(crate) fn run(context: &Context, command: Command) -> Result<u8, CliError> {
    match command {
        Command::Up(args) => up::run(context, &args).map(|()| 0),
        Command::Down(args) => down::run(context, &args).map(|()| 0),
        Command::Init(args) => init::run(context, &args).map(|()| 0),
        Command::Apps(command) => apps::run(context, command),
        Command::Verify(args) => verify::run(context, &args),
        Command::Curl(args) => curl::run(context, &args),
        Command::Proxy(args) => proxy::run(context, &args),
        Command::Attestation(command) => attestation::run(context, &command),
        Command::EnclaveOs(command) => enclaveos::run(context, &command),
        Command::Login(args) => login::run(context, &args).map(|()| 0),
        Command::Logout(args) => logout::run(context, &args).map(|()| 0),
        Command::Members(args) => members::run(context, &args).map(|()| 0),
        Command::Invite(args) => invite::run(context, &args).map(|()| 0),
        Command::Tokens(command) => tokens::run(context, &command).map(|()| 0),
        Command::SshKeys(command) => ssh_keys::run(context, &command).map(|()| 0),
        Command::Audit(args) => audit::run(context, &args).map(|()| 0),
        Command::Open(args) => open::run(context, &args).map(|()| 0),
        Command::Doctor(args) => Ok(doctor::run(context, &args)),
        Command::Completion(args) => {
            completion::run(context, &args);
            Ok(0)
        }
        Command::Man(args) => man::run(context, &args).map(|()| 0),
        Command::Reference => {
            reference::run(context);
            Ok(0)
        }
    }
}

/// A point in time as evidence counts it; before 1970 is 1970.
pub(crate) fn unix_millis(time: jiff::Timestamp) -> UnixMillis {
    UnixMillis(u64::try_from(time.as_millisecond()).unwrap_or(0))
}
