//! Host agent: boots an EIF under QEMU or on Nitro hardware, bridges vsock, publishes ports, keeps state.
//!
//! | room | what |
//! |---|---|
//! | [`agent`] | keeps apps running: one for a machine or a user |
//! | `run` | one enclave from its image to its end, in a supervisor process of its own |
//! | `driver` | what runs it: QEMU with a vsock device, or nitro-cli |
//! | `published` | its ports on this machine |
//! | `files` | what of it lies on the disk |
//! | [`ingress`] | the way in over HTTPS: Caddy |

pub mod agent;
mod config;
mod driver;
mod error;
mod event;
mod files;
pub mod ingress;
mod process;
mod published;
mod run;
mod settings;

pub use config::{Dirs, Program, PublishedPort, RunConfig, read_settings};
pub use driver::{DriverKind, DriverSettings, NitroError};
pub use error::HostError;
pub use event::{Accelerator, Ending, HostEvent, LogEntry, Progress};
pub use files::deployed::deployed_image;
pub use files::eventlog::{Logs, logs, previous_logs};
pub use files::record::{Record, find, list, stop};
pub use run::detached::run_detached;
pub use run::{Options, StopHandle, dev_root_der, run, run_with};

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The hidden sub-commands of a binary that embeds the agent; `args` are those after `internal`.
///
/// `agent` looks after apps, `supervise` runs one detached enclave, `janitor DIR` cleans up after one that was killed.
pub fn internal(args: &[OsString]) -> ExitCode {
    match args {
        [command] if command == "agent" => agent::main(),
        [command] if command == "supervise" => run::detached::main(),
        [command, run] if command == "janitor" => run::janitor::main(Path::new(run)),
        _ => ExitCode::from(2),
    }
}
