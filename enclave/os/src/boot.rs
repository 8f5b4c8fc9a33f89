//! The boot sequence: each line one step, the first failure the end. `specs/boot.md` is its text.

mod cmdline;
mod seal;

use crate::app::{App, AppError};
use crate::attestd::{self, Attestd};
use crate::clock;
use crate::control::Control;
use crate::egress::{self, EgressError};
use crate::forward::{self, Forwarder};
use crate::manifest::{self, Manifest, ManifestError};
use crate::steved::{self, StevedError};
use crate::supervise::Supervisor;
use crate::{end, heartbeat, serve};
use caution_abi::boot_plan::{self, BootPlan, BootPlanError};
use caution_abi::ports::{ATTESTATION, CONTROL, E2E, STEVED};
use caution_enclave_sys::app_root::{self, AppRootError};
use caution_enclave_sys::children::Children;
use caution_enclave_sys::mount::{ENCLAVE, MountError, mount_all};
use caution_enclave_sys::nsm::{self, Nsm, NsmError};
use caution_enclave_sys::vsock::Listener;
use caution_enclave_sys::{entropy, network, process};
use cmdline::CmdlineError;
use seal::UnpackError;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// Why the enclave did not boot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BootError {
    /// A file system EnclaveOS needs.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A step whose only cause is a system call.
    #[error("{step} failed")]
    Step {
        /// As in the sequence.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A port EnclaveOS listens on.
    #[error("port {port} ({what}) could not be listened on")]
    Listen {
        /// The port.
        port: u16,
        /// Whose.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another command line than the released one.
    #[error(transparent)]
    Cmdline(#[from] CmdlineError),
    /// No security module, no identity.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// A part of the application is missing.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The boot plan is absent.
    #[error("the boot plan /{} could not be read", boot_plan::PATH)]
    ReadPlan(#[source] io::Error),
    /// The boot plan is wrong.
    #[error(transparent)]
    Plan(#[from] BootPlanError),
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The app's root is wrong.
    #[error(transparent)]
    AppRoot(#[from] AppRootError),
    /// There is no way out, and the plan has egress.
    #[error("the app was to reach the network, and cannot")]
    Egress(#[from] EgressError),
    /// The app was to be reached by encryption alone.
    #[error("end-to-end encryption did not start")]
    Steved(#[from] StevedError),
    /// The app's process cannot be described.
    #[error(transparent)]
    App(#[from] AppError),
}

/// Boots; what is left to do is to run the app.
pub(crate) fn boot(control: &Arc<Control>) -> Result<Supervisor, BootError> {
    process::drop_fault_handlers().map_err(step("giving up handlers of faults"))?;
    // Before the first thread: all of them must have SIGCHLD blocked.
    let children = Children::listen().map_err(step("listening for ended processes"))?;
    mount_all(Path::new("/"), &ENCLAVE)?;
    process::attach_console().map_err(step("opening the console"))?;
    process::raise_file_limit(OPEN_FILES).map_err(step("raising the limit of open files"))?;
    start_control(control)?;
    let parent = nsm::parent_cid();
    heartbeat::start(parent);
    // The host listens by now, and nothing was trusted yet.
    cmdline::check(Path::new("/"))?;
    let nsm = nsm::open()?;
    let debug = nsm.describe_pcr(0)?.is_zero();
    control.open(debug);
    seed_entropy(nsm.as_ref())?;
    network::loopback_up().map_err(step("bringing the loopback interface up"))?;
    network::open_low_ports().map_err(step("opening ports below 1024 to every user"))?;
    network::no_syn_cookies().map_err(step("turning SYN cookies off"))?;
    seal::check(Path::new("/"), Path::new(ROOT))?;
    let plan = read_plan()?;
    let manifest = manifest::fetch(parent)?;
    keep_clock(&nsm, control)?;
    let root = app_root::prepare(Path::new(ROOT))?;
    let app = App::new(&plan, Path::new(ROOT), root)?;
    egress::start(&plan.egress, parent, Path::new(ROOT), control)?;
    start_attestd(Arc::clone(&nsm), manifest.clone(), control)?;
    // Before the app, which could take its port.
    let e2e = plan.e2e.as_ref().map(|e2e| steved::start(e2e, nsm, manifest.as_ref(), control));
    let steved = e2e.transpose()?;
    start_forwarders(&plan, control)?;
    let BootPlan { readiness, restart, logs, .. } = plan;
    let logs = logs || debug;
    Ok(Supervisor { children, app, steved, readiness, restart, logs, control: Arc::clone(control) })
}

fn start_control(control: &Arc<Control>) -> Result<(), BootError> {
    let slots = serve::Slots::new(MAX_CONTROL);
    let served = Arc::clone(control);
    listen(vsock(CONTROL, "control")?, "control", slots, control, move |stream, slot| {
        // Its reader has nothing to say, and gives way to nobody.
        slot.hold();
        served.serve(stream);
    })
}

/// 4096 bytes, as AWS' own init takes; a module gives at most 256 at a time.
fn seed_entropy(nsm: &dyn Nsm) -> Result<(), BootError> {
    let error = step("seeding the random number generator");
    let pool = entropy::Pool::open().map_err(&error)?;
    let mut seeded = 0;
    for _ in 0..SEED_REQUESTS {
        let seed = nsm.random()?;
        pool.add(&seed).map_err(&error)?;
        seeded += seed.len();
        if seeded >= SEED_BYTES {
            return Ok(());
        }
    }
    Err(error(io::ErrorKind::UnexpectedEof.into()))
}

/// Set before anything of the app looks at it.
fn keep_clock(nsm: &Arc<dyn Nsm>, control: &Arc<Control>) -> Result<(), BootError> {
    let mut keeper = clock::Keeper::new(Arc::clone(nsm), Arc::clone(control));
    keeper.set();
    keeper.start().map_err(step("starting a thread"))
}

fn read_plan() -> Result<BootPlan, BootError> {
    let path = Path::new("/").join(boot_plan::PATH);
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(boot_plan::MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(BootError::ReadPlan)?;
    Ok(BootPlan::from_bytes(&bytes)?)
}

/// On vsock for the world, on loopback for the app.
fn start_attestd(
    nsm: Arc<dyn Nsm>,
    manifest: Option<Manifest>,
    control: &Arc<Control>,
) -> Result<(), BootError> {
    let service = Arc::new(Attestd::new(nsm, manifest, Arc::clone(control)));
    let slots = || serve::Slots::new(attestd::MAX_CONNECTIONS);
    let handler = |service: Arc<Attestd>| move |stream, slot: &serve::Slot| service.serve(stream, slot);
    listen(vsock(ATTESTATION, "attestd")?, "attestd", slots(), control, handler(Arc::clone(&service)))?;
    let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, ATTESTATION)).map_err(|source| {
        BootError::Listen { port: ATTESTATION, what: "attestd inside the enclave", source }
    })?;
    listen(inside.into(), "attestd inside", slots(), control, handler(service))
}

fn start_forwarders(plan: &BootPlan, control: &Arc<Control>) -> Result<(), BootError> {
    let mut doors = Vec::new();
    for port in plan.ports.iter().map(|p| p.get()) {
        doors.push((vsock(port, "the app")?, port));
    }
    if plan.e2e.is_some() {
        doors.push((vsock(E2E, "end-to-end encryption")?, STEVED));
    }
    let forwarder = Forwarder::new(doors, forward::MAX_CONNECTIONS).map_err(step("making the forwarders"))?;
    let control = Arc::clone(control);
    serve::spawn("forwarders", move || {
        let error = forwarder.run();
        end(&control, &format!("A listener of the app's ports broke: {error}."));
    })
    .map(drop)
    .map_err(step("starting a thread"))
}

fn vsock(port: u16, what: &'static str) -> Result<Listener, BootError> {
    Listener::vsock(port.into()).map_err(|source| BootError::Listen { port, what, source })
}

/// Serves `listener` on a thread of its own; should it ever break, so does the enclave.
fn listen<H>(
    listener: Listener,
    name: &'static str,
    slots: serve::Slots,
    control: &Arc<Control>,
    handler: H,
) -> Result<(), BootError>
where
    H: Fn(TcpStream, &serve::Slot) + Clone + Send + 'static,
{
    let control = Arc::clone(control);
    serve::spawn(name, move || {
        let error = serve::serve(&listener, &slots, handler);
        end(&control, &format!("The listener of {name} broke: {error}."));
    })
    .map(drop)
    .map_err(step("starting a thread"))
}

fn step(step: &'static str) -> impl Fn(io::Error) -> BootError {
    move |source| BootError::Step { step, source }
}

/// The app's root in PID 1's view: [`boot_plan::ROOTFS_DIR`] below `/`.
const ROOT: &str = "/rootfs";
/// Two for every forwarded connection, and a quarter more to spare.
const OPEN_FILES: u64 = 5 * forward::MAX_CONNECTIONS as u64 / 2;
/// Control connections at a time, those being closed included.
const MAX_CONTROL: usize = 16;
const SEED_BYTES: usize = 4096;
const SEED_REQUESTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_the_abis() {
        assert_eq!(ROOT, format!("/{}", boot_plan::ROOTFS_DIR));
    }
}
