//! Runs that outlive the command that started them.

use crate::config::{Dirs, RunConfig};
use crate::error::HostError;
use crate::event::HostEvent;
use crate::record::Record;
use std::path::Path;

/// Runs detached.
pub fn run_detached(
    _dirs: &Dirs,
    _config: &RunConfig,
    _exe: &Path,
    _on_event: &mut dyn FnMut(HostEvent),
) -> Result<Record, HostError> {
    Err(HostError::QemuUnusable { detail: "not implemented yet".to_owned() })
}
