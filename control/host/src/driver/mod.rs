//! What a run needs of whatever runs its enclave.
//!
//! ```text
//! Driver ──admit, prepare──▶ Machine ──power_on──▶ heartbeat … ──kill──▶ gone
//!                               │
//!                               └─ Connector: to the enclave's ports; Services: what it finds on its parent
//! ```

mod connector;
mod console;
mod nitro;
mod patience;
pub(crate) mod qemu;
mod settings;
mod stream;

pub use nitro::NitroError;
pub use settings::{DriverKind, DriverSettings};

pub(crate) use connector::{Connect, Connector};
pub(crate) use nitro::Pool;
pub(crate) use patience::Patience;
pub(crate) use stream::HostStream;

use crate::config::{Dirs, RunConfig};
use crate::error::HostError;
use crate::event::{Accelerator, Progress};
use crate::files::runtime::RunDir;
use crate::run::Message;
use crate::run::image::BootImage;
use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// Ports on the parent and who takes their connections.
pub(crate) type Services = HashMap<u32, SyncSender<UnixStream>>;
/// Connections that wait for a service; EnclaveOS opens one at a time.
pub(crate) const MAX_WAITING: usize = 16;

/// Connections to the app's ports; more are refused. EnclaveOS takes 16,384 and refuses further ones itself,
/// which is the better answer, so a few of those fit.
pub(crate) const MAX_CONNECTIONS: usize = 17 * 1024;
/// Connections beside those, so that the app's clients keep no verifier out: to EnclaveOS' own ports, and
/// the enclave's to the services.
pub(crate) const MAX_PLATFORM_CONNECTIONS: usize = 1024;
/// Connections of the enclave's own making. Each can hold a buffer of ours, and EnclaveOS has three.
pub(crate) const MAX_FROM_GUEST: usize = 64;
/// How long the enclave may take to answer. Linux answers at once; one that drops what it is asked does
/// not keep its clients waiting, nor their connections here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Something that can run enclaves.
pub(crate) trait Driver {
    /// Refuses what there is no room for, before the image is read.
    fn admit(&self, config: &RunConfig) -> Result<(), HostError>;

    /// Makes everything but the enclave itself: what it connects to goes to `services`, and connections to it wait.
    fn prepare(&self, order: &Order<'_>, services: Services) -> Result<Box<dyn Machine>, HostError>;
}

/// What is to run, and where.
pub(crate) struct Order<'a> {
    pub(crate) dirs: &'a Dirs,
    pub(crate) dir: &'a RunDir,
    pub(crate) config: &'a RunConfig,
    pub(crate) image: &'a BootImage,
    /// How long until its heartbeat.
    pub(crate) heartbeat_limit: Duration,
    /// Takes the heartbeat, the console in debug mode, and the end.
    pub(crate) messages: &'a SyncSender<Message>,
}

/// One enclave's machine; gone when dropped. Everything on the thread that lives as long as the run.
pub(crate) trait Machine {
    /// How it executes.
    fn accelerator(&self) -> &Accelerator;

    /// Opens connections to the enclave's ports.
    fn connector(&self) -> Connector;

    /// Starts the enclave with the image of its order.
    fn power_on(&mut self, order: &Order<'_>) -> Result<(), HostError>;

    /// Ends it, whether or not it runs.
    fn kill(&mut self);

    /// Whether it is gone and all that it said was passed on.
    fn is_finished(&self) -> bool;

    /// Why it ended, where the enclave itself did not say; asked once, after it is finished.
    fn why(&mut self, progress: Progress) -> HostError;
}
