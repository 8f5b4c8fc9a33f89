//! Running one enclave from image to ending.

use crate::config::{Agent, Dirs, RunConfig};
use crate::error::HostError;
use crate::event::{Ending, HostEvent};

/// Asks a run to end, from any thread.
#[derive(Debug, Clone, Default)]
pub struct StopHandle {}

impl StopHandle {
    /// Asks the run to end.
    pub fn stop(&self) {}
}

/// Runs.
pub fn run(
    _dirs: &Dirs,
    _config: &RunConfig,
    _on_event: &mut dyn FnMut(HostEvent),
) -> Result<Ending, HostError> {
    Err(HostError::QemuUnusable { detail: "not implemented yet".to_owned() })
}

/// Runs until stopped.
pub fn run_until(
    dirs: &Dirs,
    config: &RunConfig,
    _agent: &Agent,
    _stop: &StopHandle,
    on_event: &mut dyn FnMut(HostEvent),
) -> Result<Ending, HostError> {
    run(dirs, config, on_event)
}
