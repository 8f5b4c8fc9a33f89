//! Enclaves on AWS Nitro hardware, by nitro-cli on their parent instance.
//!
//! nitro-cli boots an enclave and leaves a process behind that holds it: the enclave ends with that process, and the
//! process with the enclave, so its end is the event that the enclave ended. It was forked from a child of this
//! program, carries the run's marker, and is found by it whatever happens to this program.
//! The security module is the hardware's, and the heartbeat's other end is nitro-cli's.

mod bridge;
mod cli;
mod error;
mod flow;
mod life;
mod net;
mod output;
mod parent;
mod pool;
#[cfg(test)]
mod tests;

pub use error::NitroError;
pub(crate) use pool::Pool;

use super::{Connector, Driver, DriverSettings, Machine, Order, Services};
use crate::config::RunConfig;
use crate::error::HostError;
use crate::event::{Accelerator, Progress};
use bridge::Bridge;
use cli::Cli;
use life::{Birth, Life};
use net::Network;
use output::{Asked, Described};
use parent::{Claim, Parent};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long nitro-cli may take for a question.
const PATIENCE: Duration = Duration::from_secs(20);

/// The driver.
#[derive(Debug)]
pub(crate) struct Nitro {
    settings: DriverSettings,
}

impl Nitro {
    pub(crate) fn new(settings: DriverSettings) -> Self {
        Self { settings }
    }

    /// Whether this machine is a parent instance with nitro-cli; `run` is a folder that marks a process.
    pub(crate) fn is_here(settings: &DriverSettings, run: &Path) -> bool {
        let version = || Cli { program: &settings.nitro_cli, run }.call("--version", &[], PATIENCE, None);
        settings.device.exists() && version().is_ok()
    }

    /// What is set apart for enclaves.
    pub(crate) fn pool(settings: &DriverSettings) -> Pool {
        Pool::read(&settings.sys)
    }

    #[cfg_attr(
        not(any(test, feature = "fake-vsock")),
        expect(clippy::unused_self, reason = "only tests have another")
    )]
    fn network(&self) -> Network {
        #[cfg(any(test, feature = "fake-vsock"))]
        if let Some(folder) = &self.settings.vsock_folder {
            return Network::Folder(folder.clone());
        }
        Network::Vsock
    }
}

impl Driver for Nitro {
    fn admit(&self, config: &RunConfig) -> Result<(), HostError> {
        let path = &self.settings.device;
        if let Err(cause) = File::options().read(true).write(true).open(path) {
            let path = path.clone();
            return Err(match cause.kind() {
                io::ErrorKind::NotFound => NitroError::NoDevice(path).into(),
                _ => NitroError::Device { path, cause }.into(),
            });
        }
        Ok(Self::pool(&self.settings).admit(config.memory_mib, config.cpus)?)
    }

    fn prepare(&self, order: &Order<'_>, services: Services) -> Result<Box<dyn Machine>, HostError> {
        let cli = Cli { program: &self.settings.nitro_cli, run: order.dir.path() };
        let others = cli.call("describe-enclaves", &[], PATIENCE, None)?.unwrap_or_default();
        let in_use: Vec<u64> = Described::parse(&others)?.iter().map(|enclave| enclave.cid).collect();
        let claim = Arc::new(Claim::take(&order.dirs.runtime, &in_use)?);
        let (network, cid) = (self.network(), claim.cid);
        let dialled = network.clone();
        let dial = Box::new(move |port| dialled.connect(cid, port));
        let bridge = Bridge::start(dial, services, order.messages.clone())?;
        let parent = Parent::open(&claim, &network, bridge.arrivals(), order.messages.clone())?;
        let settings = self.settings.clone();
        Ok(Box::new(Hardware {
            life: None,
            _parent: parent,
            bridge,
            claim,
            settings,
            debug: order.config.debug,
        }))
    }
}

/// An enclave of its own hardware. It goes before what it is connected to.
struct Hardware {
    life: Option<Life>,
    _parent: Parent,
    bridge: Bridge,
    claim: Arc<Claim>,
    settings: DriverSettings,
    debug: bool,
}

impl Machine for Hardware {
    fn accelerator(&self) -> &Accelerator {
        &Accelerator::Nitro
    }

    fn connector(&self) -> Connector {
        self.bridge.connector()
    }

    fn power_on(&mut self, order: &Order<'_>) -> Result<(), HostError> {
        let asked = Asked {
            cid: self.claim.cid,
            cpus: order.config.cpus,
            memory_mib: order.config.memory_mib,
            debug: self.debug,
            pcrs: order.image.pcrs,
        };
        self.life = Some(Life::begin(Birth {
            program: self.settings.nitro_cli.clone(),
            run: order.dir.path().to_owned(),
            eif: order.image.eif_path(),
            name: format!("caution_{}", order.dir.id()),
            asked,
            claim: Arc::clone(&self.claim),
            // Before whoever waits for the heartbeat gives up, so that it is nitro-cli that is named.
            patience: order.heartbeat_limit.mul_f64(0.9),
            messages: order.messages.clone(),
        })?);
        Ok(())
    }

    fn kill(&mut self) {
        if let Some(life) = &mut self.life {
            life.end();
        }
    }

    fn is_finished(&self) -> bool {
        self.life.as_ref().is_none_or(Life::is_finished)
    }

    fn why(&mut self, progress: Progress) -> HostError {
        let failure = self.life.take().and_then(Life::join);
        failure.unwrap_or(HostError::GuestReset { progress, debug: self.debug })
    }
}
