//! The host agent of this machine. An app's enclave is named by the app's label.

use super::{Observed, Placement, Provider, Running, Shape};
use crate::store::job::Failure;
use caution_host::agent::{AgentClient, AppSpec, AppState, Reached};
use caution_host::{Dirs, HostError, HostEvent, Program, PublishedPort, Record, RunConfig};
use std::time::Instant;

/// This machine.
#[derive(Debug)]
pub struct Local {
    dirs: Dirs,
    agent: AgentClient,
}

impl Local {
    /// The agent of these folders. Where none runs, this program is started as one: it answers `internal` with
    /// [`caution_host::internal`].
    pub fn new(dirs: &Dirs) -> Self {
        Self { dirs: dirs.clone(), agent: AgentClient::new(dirs) }
    }

    /// The same, but another program is started, for tests.
    #[must_use]
    pub fn starting(self, program: &Program) -> Self {
        Self { agent: self.agent.starting(program), ..self }
    }

    fn record(&self, label: &str) -> Result<Option<Record>, HostError> {
        match caution_host::find(&self.dirs, label) {
            Ok(record) => Ok(Some(record)),
            Err(HostError::NotRunning(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn running(&self, record: Record) -> Running {
        let urls = match self.agent.ingress() {
            Ok(Reached::By(state)) => {
                let app = state.addresses.into_iter().find(|(name, _)| *name == record.name);
                app.map(|(_, urls)| urls).unwrap_or_default()
            }
            _ => record.app_url.into_iter().collect(),
        };
        Running {
            image_sha256: record.eif_sha256,
            measurements: record.measurements,
            urls,
            attestation_url: record.attestation_url,
        }
    }

    /// Boots it where nothing of the app is to run. The enclave attests before it counts.
    fn run(
        &self,
        spec: AppSpec,
        want: &Placement,
        tell: &mut dyn FnMut(HostEvent),
    ) -> Result<Record, HostError> {
        let record = self.agent.run(spec, tell)?;
        let proven = self.agent.check_attestation(&record, want.measurements);
        if proven.is_err() {
            // Nothing ran before, so nothing is to run that did not prove what it is.
            self.agent.stop(&want.label)?;
        }
        proven.map(|()| record)
    }
}

impl Provider for Local {
    fn apply(&self, want: &Placement, say: &mut dyn FnMut(&str)) -> Result<Running, Failure> {
        let apps = self.agent.list().map_err(|e| failure(&e))?;
        let state = apps.iter().find(|app| app.name == want.label).map(|app| app.state);
        let spec = spec_of(want);
        let started = Instant::now();
        let mut tell = |_| {};
        // Asked again, it replaces what may be the same image: the agent does not say which manifest an enclave was given.
        let record = match state {
            Some(AppState::Running) => self.agent.replace(spec, want.measurements, &mut tell),
            None | Some(AppState::Ended) => self.run(spec, want, &mut tell),
            // It is to run and does not at the moment: there is nothing to go on while the new one boots.
            Some(_) => self.agent.stop(&want.label).and_then(|_| self.run(spec, want, &mut tell)),
        };
        let record = record.map_err(|e| failure(&e))?;
        say(&format!("boot      ready and serving after {:.1} s", started.elapsed().as_secs_f64()));
        say("attest    PCR0–2 equal to the build");
        Ok(self.running(record))
    }

    fn observe(&self, label: &str) -> Result<Observed, Failure> {
        let apps = self.agent.list().map_err(|e| failure(&e))?;
        let Some(app) = apps.into_iter().find(|app| app.name == label) else {
            return Ok(Observed::Gone("The host agent does not know it.".to_owned()));
        };
        Ok(match app.state {
            AppState::Running => match self.record(label).map_err(|e| failure(&e))? {
                Some(record) => Observed::Runs(self.running(record)),
                // It ended just now, and the agent has not noticed yet.
                None => Observed::Busy,
            },
            AppState::Lost => Observed::Gone("It ended while no host agent was there.".to_owned()),
            AppState::Ended => match app.exits.last() {
                Some(exit) if exit.is_final() => Observed::Over(exit.reason.clone()),
                Some(exit) => Observed::Gone(format!("{} ({})", exit.reason, exit.then)),
                None => Observed::Gone("The host agent ended it.".to_owned()),
            },
            _ => Observed::Busy,
        })
    }

    fn destroy(&self, label: &str) -> Result<(), Failure> {
        match self.agent.stop(label) {
            Ok(_) | Err(HostError::NotRunning(_)) => Ok(()),
            Err(error) => Err(failure(&error)),
        }
    }
}

fn spec_of(want: &Placement) -> AppSpec {
    let Shape { cpus, memory_mib, debug, ports, http_port, e2e, ingress, restart } = want.shape.clone();
    // Free ones: apps of a platform come by the way in, and may well have the same.
    let ports = ports.into_iter().map(|enclave| PublishedPort { enclave, host: Some(0) }).collect();
    let config = RunConfig {
        name: want.label.clone(),
        eif: want.image.clone(),
        manifest: Some(want.manifest.clone()),
        checkout: None,
        ports,
        http_port,
        e2e,
        ingress,
        listen: Vec::new(),
        attestation_port: Some(0),
        cpus,
        memory_mib,
        debug,
    };
    AppSpec { config, restart }
}

fn failure(error: &HostError) -> Failure {
    Failure { message: error.with_causes(), fix: error.fix() }
}
