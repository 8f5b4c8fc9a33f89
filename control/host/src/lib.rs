//! Host agent: boots an EIF under QEMU, bridges vsock, publishes ports, keeps state.

mod admission;
pub mod agent;
mod boot;
mod clients;
mod config;
mod control;
mod deployed;
mod detached;
mod driver;
mod egress;
mod error;
mod event;
mod eventlog;
mod handover;
mod image;
pub mod ingress;
mod janitor;
mod private_dir;
mod process;
mod publish;
mod record;
mod run;
mod runtime;
mod services;
mod watcher;

pub use config::{Agent, Dirs, PublishedPort, RunConfig, read_settings};
pub use deployed::deployed_image;
pub use detached::run_detached;
pub use error::HostError;
pub use event::{Accelerator, Ending, HostEvent, LogEntry, Progress};
pub use eventlog::{Logs, logs};
pub use record::{Record, find, list, stop};
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
        [command] if command == "supervise" => detached::main(),
        [command, run] if command == "janitor" => janitor::main(Path::new(run)),
        _ => ExitCode::from(2),
    }
}
