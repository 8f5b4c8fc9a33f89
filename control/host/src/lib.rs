//! Host agent: boots an EIF under QEMU, bridges vsock, publishes ports, keeps state.

mod config;
mod detached;
mod error;
mod event;
mod eventlog;
mod janitor;
mod process;
mod record;
mod run;
mod runtime;

pub use config::{Agent, Dirs, PublishedPort, RunConfig};
pub use detached::run_detached;
pub use error::HostError;
pub use event::{Accelerator, Ending, HostEvent, LogEntry, Progress};
pub use eventlog::{Logs, logs};
pub use record::{Record, find, list, stop};
pub use run::{StopHandle, run, run_until};

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The hidden sub-commands of a binary that embeds the agent; `args` are those after `internal`.
pub fn internal(args: &[OsString]) -> ExitCode {
    match args {
        [command, run] if command == "janitor" => janitor::main(Path::new(run)),
        _ => ExitCode::from(2),
    }
}

/// The development root's certificate, DER, made on first use.
pub fn dev_root_der(_dirs: &Dirs) -> Result<Vec<u8>, HostError> {
    Err(HostError::QemuUnusable { detail: "not implemented yet".to_owned() })
}
