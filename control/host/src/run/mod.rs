//! Running one enclave from image to ending.

pub(crate) mod admission;
mod boot;
mod control;
pub(crate) mod detached;
mod egress;
pub(crate) mod image;
pub(crate) mod janitor;
pub(crate) mod services;
pub(crate) mod watcher;

use crate::config::{Dirs, Program, RunConfig};
use crate::driver::{DriverKind, DriverSettings, Order, qemu};
use crate::error::HostError;
use crate::event::{Ending, HostEvent};
use crate::files::eventlog::{EventLog, now_since_epoch};
use crate::files::record::{Record, STOP_SOCKET};
use crate::files::runtime::RunDir;
use crate::process::ProcessId;
use crate::published::handover;
use crate::published::listeners::Listeners;
use crate::settings;
use boot::Boot;
use caution_abi::control::Event;
use egress::Network;
use image::BootImage;
use janitor::Janitor;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use watcher::{Signals, Watcher};

/// How a run is run, where the defaults do not serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// The binary that runs the janitor.
    pub program: Program,
    /// Ends the run from another thread.
    pub stop: StopHandle,
    /// How long the enclave may take from power-on to its heartbeat; 120 s, because a large image
    /// takes long to unpack under emulation.
    pub heartbeat_limit: Duration,
    /// Which generation of an app this is, for those that an agent looks after.
    pub generation: Option<u64>,
    /// Whether another enclave serves the same ports yet: none is opened before they are handed over.
    pub beside: bool,
    /// The network stack of enclaves that declare egress: `passt`, found in `PATH`.
    pub passt: PathBuf,
    /// What runs the enclave.
    pub driver: DriverSettings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            program: Program::this_binary(),
            stop: StopHandle::default(),
            heartbeat_limit: Duration::from_mins(2),
            generation: None,
            beside: false,
            passt: egress::default_program(),
            driver: DriverSettings::default(),
        }
    }
}

/// Asks a run to end, from any thread.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(Arc<Mutex<StopState>>);

#[derive(Debug, Default)]
struct StopState {
    requested: bool,
    run: Option<SyncSender<Message>>,
}

impl StopHandle {
    /// Asks the run to end; before it began, too.
    pub fn stop(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.requested = true;
        if let Some(run) = &state.run {
            // Only wakes the loop: where messages wait already, it wakes anyway.
            let _ = run.try_send(Message::Stop);
        }
    }

    /// Whether someone asked.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).requested
    }

    fn attach(&self, run: &SyncSender<Message>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).run = Some(run.clone());
    }
}

/// Messages that wait for the loop. An enclave that talks faster than its host listens has to wait.
const MAX_WAITING: usize = 256;

/// What the threads of a run tell its loop.
#[derive(Debug)]
pub(crate) enum Message {
    /// The enclave's PID 1 runs.
    Heartbeat,
    /// A line of the control connection.
    Enclave(Event),
    /// The control connection ended.
    ControlEnded,
    /// The control connection broke the protocol.
    ControlBroken(String),
    /// The enclave's network failed, or works again.
    Egress(String),
    /// So many connections to the app were refused so far, because too many were open.
    Refused(u64),
    /// A line of the console.
    Console(String),
    /// The enclave's machine is gone.
    MachineEnded,
    /// A question about the published ports.
    Handover(handover::Asked),
    /// Someone wants the run to end; [`StopHandle`] says the same.
    Stop,
}

/// Runs an enclave by the user's settings, or by the driver of this `kind`, until it ends, or until a signal (SIGINT, SIGTERM, SIGHUP) or [`crate::stop`] asks
/// for it. Whatever happens, no process, socket or file of the run is left.
///
/// Call it from a thread that lives as long as the run, and before starting others where signals
/// matter.
pub fn run(
    dirs: &Dirs,
    config: &RunConfig,
    kind: Option<DriverKind>,
    on_event: &mut dyn FnMut(HostEvent),
) -> Result<Ending, HostError> {
    let settings = settings::of_user(dirs)?.driver;
    let driver = DriverSettings { kind: kind.unwrap_or(settings.kind), ..settings };
    run_with(dirs, config, &Options { driver, ..Options::default() }, on_event)
}

/// [`run`] with options, whatever the user's settings are.
pub fn run_with(
    dirs: &Dirs,
    config: &RunConfig,
    options: &Options,
    on_event: &mut dyn FnMut(HostEvent),
) -> Result<Ending, HostError> {
    check(dirs, config)?;
    let create = if options.beside { EventLog::beside } else { EventLog::create };
    let mut log = create(dirs, &config.name)?;
    let mut tell = |event: HostEvent| {
        // One that boots beside another is the app from when it has its ports.
        if matches!(event, HostEvent::Published { .. }) {
            log.take_place();
        }
        log.write(&event);
        on_event(event);
    };
    let (messages, received) = sync_channel(MAX_WAITING);
    let home = Home::open(dirs, options, &messages).inspect_err(|error| tell(failure(error)))?;
    let outcome = Run { dirs, config, options, home: &home, messages }.supervise(&received, &mut tell);
    match &outcome {
        Ok(ending) => tell(HostEvent::Ended(ending.clone())),
        Err(error) => tell(failure(error)),
    }
    // From here on whoever sends a message is told that nobody listens, and waits for nothing.
    drop(received);
    // Whoever asked for the end waits for the home to vanish: by then the log is complete.
    home.watcher.answer(outcome.as_ref().unwrap_or(&Ending::Stopped));
    outcome
}

fn failure(error: &HostError) -> HostEvent {
    HostEvent::Failed { message: error.with_causes(), fix: error.fix() }
}

/// The development root's certificate, DER; the root is made on first use.
pub fn dev_root_der(dirs: &Dirs) -> Result<Vec<u8>, HostError> {
    Ok(qemu::dev_root(dirs)?.root_der().to_vec())
}

/// Where a run lives: who may end it, its folder, and who removes that. Given up in this order.
struct Home {
    watcher: Watcher,
    dir: RunDir,
    _janitor: Janitor,
    _signals: Signals,
}

impl Home {
    fn open(dirs: &Dirs, options: &Options, messages: &SyncSender<Message>) -> Result<Self, HostError> {
        let mut signals = Signals::block()?;
        options.stop.attach(messages);
        let dir = RunDir::create(dirs)?;
        let janitor = Janitor::start(&options.program, dir.path())?;
        let watcher = Watcher::start(&dir.path().join(STOP_SOCKET), &mut signals, options.stop.clone())?;
        Ok(Self { watcher, dir, _janitor: janitor, _signals: signals })
    }
}

/// One run, with a home.
struct Run<'a> {
    dirs: &'a Dirs,
    config: &'a RunConfig,
    options: &'a Options,
    home: &'a Home,
    messages: SyncSender<Message>,
}

impl Run<'_> {
    /// From the image to the ending; nothing runs any more when this returns.
    fn supervise(
        &self,
        received: &Receiver<Message>,
        tell: &mut dyn FnMut(HostEvent),
    ) -> Result<Ending, HostError> {
        let began = Instant::now();
        let (config, run) = (self.config, self.home.dir.path());
        let open = if self.options.beside { Listeners::beside } else { Listeners::open };
        let listeners = open(config, run)?;
        let driver = self.options.driver.choose(run);
        driver.admit(config)?;
        let image = BootImage::read(&config.eif, self.home.dir.shelf(), self.dirs, config.memory_mib)?;
        tell(HostEvent::Measured(image.pcrs.measurements));
        admission::enclave_memory(&image.size, config.memory_mib)?;

        let network = Network { program: self.options.passt.clone(), run: run.to_owned() };
        let services = services::start(config.manifest.clone(), network, self.messages.clone())?;
        let order = Order {
            dirs: self.dirs,
            dir: &self.home.dir,
            config,
            image: &image,
            heartbeat_limit: self.options.heartbeat_limit,
            messages: &self.messages,
        };
        let mut machine = driver.prepare(&order, services)?;
        tell(HostEvent::Accelerator(machine.accelerator().clone()));
        if self.options.stop.is_requested() {
            return Ok(Ending::Stopped);
        }

        let mut record = first_record(config, &self.home.dir, &image, &listeners, machine.accelerator())?;
        record.generation = self.options.generation;
        record.serving = !self.options.beside;
        record.save(run)?;
        raise_descriptor_limit();
        let published = vec![listeners.serve(machine.connector())?];
        let _reception = handover::open(run, self.messages.clone())?;
        machine.power_on(&order)?;
        tell(HostEvent::Booting);
        let boot = Boot {
            run,
            record,
            config,
            published,
            machine,
            messages: self.messages.clone(),
            began,
            heartbeat_limit: self.options.heartbeat_limit,
            stop: &self.options.stop,
        };
        boot.watch(received, tell)
    }
}

/// Refuses what cannot run, before anything is made.
pub(crate) fn check(dirs: &Dirs, config: &RunConfig) -> Result<(), HostError> {
    let checkout = config.checkout.as_ref();
    let mut paths = [&dirs.state, &dirs.runtime, &dirs.cache, &config.eif].into_iter().chain(checkout);
    if let Some(path) = paths.find(|path| path.to_str().is_none()) {
        return Err(HostError::PathNotUtf8(path.clone()));
    }
    if !config.name_is_valid() {
        return Err(HostError::Name(config.name.clone()));
    }
    if !(1..=64).contains(&config.cpus) {
        return Err(HostError::Cpus(config.cpus));
    }
    match &config.manifest {
        Some(bytes) if bytes.len() > caution_abi::manifest::MAX_BYTES => {
            Err(HostError::ManifestTooLong(bytes.len()))
        }
        _ => Ok(()),
    }
}

fn first_record(
    config: &RunConfig,
    dir: &RunDir,
    image: &BootImage,
    listeners: &Listeners,
    accelerator: &crate::event::Accelerator,
) -> Result<Record, HostError> {
    let own = ProcessId::own().map_err(|cause| HostError::System { doing: "Reading /proc", cause })?;
    let ports = listeners.ports().to_vec();
    Ok(Record {
        id: dir.id().to_owned(),
        name: config.name.clone(),
        checkout: config.checkout.clone(),
        eif_sha256: image.sha256,
        measurements: image.pcrs.measurements,
        debug: config.debug,
        attestation_url: attestation_url(listeners.attestation()),
        attestation_port: listeners.attestation(),
        http_socket: listeners.http_socket().map(Path::to_owned),
        attestation_socket: listeners.attestation_socket().to_owned(),
        app_url: app_url(&ports),
        ports,
        pid: own.pid,
        pid_start: own.start,
        phase: None,
        started_at_unix: now_since_epoch().as_secs(),
        accelerator: accelerator.clone(),
        generation: None,
        serving: true,
    })
}

/// Where evidence is served on this machine.
pub(crate) fn attestation_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/attestation")
}

/// The first published port as a URL.
pub(crate) fn app_url(ports: &[(u16, u16)]) -> Option<String> {
    ports.first().map(|(_, host)| format!("http://127.0.0.1:{host}/"))
}

/// Each connection of a client takes two descriptors; the usual soft limit is 1024.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it fewer connections fit, which is no reason not to run.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn a_path_that_no_record_can_hold_is_refused_by_name() {
        let dirs = Dirs { state: "/s".into(), runtime: "/r".into(), cache: "/c".into() };
        let odd = PathBuf::from(OsStr::from_bytes(b"/home/d\xffir"));
        let config = RunConfig { eif: "/x.eif".into(), ..RunConfig::sample() };
        assert!(check(&dirs, &config).is_ok());
        for (dirs, config) in [
            (dirs.clone(), RunConfig { checkout: Some(odd.clone()), ..config.clone() }),
            (dirs.clone(), RunConfig { eif: odd.clone(), ..config.clone() }),
            (Dirs { state: odd.clone(), ..dirs.clone() }, config.clone()),
        ] {
            assert!(matches!(check(&dirs, &config), Err(HostError::PathNotUtf8(path)) if path == odd));
        }
    }
}
