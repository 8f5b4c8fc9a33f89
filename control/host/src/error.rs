//! Why an enclave does not run, each with what to do about it.

mod fix;

use crate::driver::NitroError;
use crate::event::{Ending, Progress};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// Why a run, or a question about runs, failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The name cannot name a log file.
    #[error("`{0}` cannot name an app: use 1 to 64 letters, digits, `-`, `_` and `.`.")]
    Name(String),
    /// Zero or too many CPUs.
    #[error("An enclave has 1 to 64 CPUs, not {0}.")]
    Cpus(u32),
    /// Records and requests are JSON, which has no form for such a path.
    #[error("The path {} is not UTF-8; what is known about running enclaves could not be written down.", .0.display())]
    PathNotUtf8(PathBuf),
    /// The manifest is longer than an enclave reads.
    #[error("The manifest has {0} bytes; an enclave reads at most {max}.", max = caution_abi::manifest::MAX_BYTES)]
    ManifestTooLong(usize),
    /// QEMU is not installed.
    #[error("QEMU is not installed: there is no `{program}`.")]
    QemuMissing {
        /// The program looked for.
        program: &'static str,
    },
    /// Nitro hardware, or the tool that drives it, does not do what was asked.
    #[error(transparent)]
    Nitro(#[from] NitroError),
    /// `setpriv` is not installed.
    #[error("`setpriv` is not installed; it ends what this program starts together with it.")]
    SetprivMissing,
    /// QEMU ended during boot or later, without the enclave saying why.
    #[error("QEMU ended ({status}) while {progress}.{}", tail_text(.stderr))]
    QemuEnded {
        /// How it ended, as the system says.
        status: String,
        /// How far the enclave was.
        progress: Progress,
        /// The end of what it wrote to stderr.
        stderr: String,
        /// Whether the enclave was run in debug mode.
        debug: bool,
    },
    /// The guest stopped itself without a reason: a kernel panic, or no init.
    #[error("The enclave reset without giving a reason; {progress}.")]
    GuestReset {
        /// How far it was.
        progress: Progress,
        /// Whether the enclave was run in debug mode.
        debug: bool,
    },
    /// Boot took too long.
    #[error("The enclave was not ready after {seconds} s; {progress}.")]
    BootTimeout {
        /// The limit.
        seconds: u64,
        /// How far it was.
        progress: Progress,
        /// Whether the enclave was run in debug mode.
        debug: bool,
    },
    /// The control connection broke off and the machine runs on.
    #[error("The enclave fell silent; {progress}.")]
    GuestSilent {
        /// How far it was.
        progress: Progress,
        /// Whether the enclave was run in debug mode.
        debug: bool,
    },
    /// The enclave breaks the control protocol.
    #[error("The enclave's control messages are malformed: {detail}.")]
    Control {
        /// What is wrong.
        detail: String,
    },
    /// The image is not an EIF, or a broken one.
    #[error("{path} is not a usable enclave image.", path = .path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: caution_eif::EifError,
    },
    /// The image is signed, and the signature does not hold or cannot be checked.
    #[error("{path} is signed, and its signature cannot be relied on.", path = .path.display())]
    Signature {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: caution_eif::SignatureError,
    },
    /// The enclave has too little memory for its image.
    #[error(
        "The enclave has {memory_mib} MiB of memory but needs at least {needed_mib} MiB: \
         {packed_mib} MiB image + {unpacked_mib} MiB unpacked{} + {system_mib} MiB for EnclaveOS.",
        kept_free_text(*.kept_free_mib)
    )]
    EnclaveMemory {
        /// Configured.
        memory_mib: u32,
        /// The sum.
        needed_mib: u64,
        /// Kernel and ramdisks as stored.
        packed_mib: u64,
        /// Ramdisks unpacked; a lower bound when `unpacked_is_minimum`.
        unpacked_mib: u64,
        /// What the kernel does not let unpacked files take.
        kept_free_mib: u64,
        /// The rest.
        system_mib: u64,
        /// Counting ended early because it was already too much.
        unpacked_is_minimum: bool,
    },
    /// The host has too little memory.
    #[error(
        "The enclave needs {needed_mib} MiB of memory but this machine has {available_mib} MiB available."
    )]
    HostMemory {
        /// Needed.
        needed_mib: u64,
        /// `MemAvailable`.
        available_mib: u64,
    },
    /// The disk is too full for the private copy of the image.
    #[error("{path} has {available_mib} MiB free; the private copy of the image needs {needed_mib} MiB.", path = .path.display())]
    Disk {
        /// The folder.
        path: PathBuf,
        /// Needed.
        needed_mib: u64,
        /// Free for this user.
        available_mib: u64,
    },
    /// An enclave runs whose image is not kept: somebody removed it, or an older version started it.
    #[error("The image that {name} runs is not kept on this machine.")]
    NoDeployedImage {
        /// The enclave's name.
        name: String,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The agent's settings cannot be read.
    #[error("{path} cannot be used: {why}", path = .path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A port is taken.
    #[error("Port {} on {} is taken.", address.port(), address.ip())]
    PortTaken {
        /// The port inside.
        enclave: u16,
        /// The taken one.
        address: std::net::SocketAddr,
    },
    /// A port may not be opened.
    #[error("Port {} on {} cannot be opened.", address.port(), address.ip())]
    PortDenied {
        /// The port inside.
        enclave: u16,
        /// The port outside.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Two ports are published on one, or a platform port as an application's.
    #[error("Port {0} is published twice or belongs to the platform.")]
    PortConflict(u16),
    /// The development root cannot be read or made.
    #[error("The development root in {path} cannot be used.", path = .path.display())]
    DevRoot {
        /// Its folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: caution_devnsm::DevRootError,
    },
    /// The runtime folder's path leaves no room for socket names.
    #[error("The path of the runtime folder {path} is too long for sockets.", path = .path.display())]
    RuntimePath {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that must be this user's is not.
    #[error("The folder {path} belongs to another user.", path = .path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// A file or folder of the agent cannot be used.
    #[error("{doing} {path} failed.", path = .path.display())]
    File {
        /// What was done: `Reading`, `Creating` …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The system refused something that has no file.
    #[error("{doing} failed.")]
    System {
        /// What was done.
        doing: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// An agent or a supervisor failed; the text is its own error, with its causes.
    #[error("{message}")]
    Told {
        /// Its error.
        message: String,
        /// What it says to do about it.
        fix: Option<String>,
    },
    /// A detached run ended before it was ready.
    #[error("{0}")]
    EndedBeforeReady(Ending),
    /// A detached run ended without a word.
    #[error("The supervisor of the detached enclave ended without a word ({status}).")]
    SupervisorVanished {
        /// How it ended.
        status: String,
    },
    /// No such enclave.
    #[error("No enclave named `{0}` runs here.")]
    NotRunning(String),
    /// Several match.
    #[error("`{name}` names {count} enclaves.")]
    Ambiguous {
        /// The name.
        name: String,
        /// How many have it.
        count: usize,
    },
    /// The agent runs an app of this name.
    #[error("An app named `{0}` runs already.")]
    RunsAlready(String),
    /// The agent boots an enclave of this app at the moment.
    #[error("An enclave of `{0}` boots already.")]
    BootsAlready(String),
    /// It ended in the middle of an answer.
    #[error("The host agent behind {socket} ended before it answered.", socket = .socket.display())]
    AgentVanished {
        /// Its socket.
        socket: PathBuf,
    },
    /// The enclave does not fit beside the others.
    #[error("{0}")]
    NotAdmitted(crate::agent::Shortage),
    /// Another image than the one that was ready once.
    #[error("The kept image of `{0}` is not the one that was deployed; it is not started.")]
    OtherImage(String),
    /// The agent ends its enclaves.
    #[error("The host agent takes no app in: it is being drained.")]
    Draining,
    /// Two apps have one host name.
    #[error("`{host}` is the name of two apps: `{first}` and `{second}`.")]
    HostTwice {
        /// The name.
        host: String,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// No enclave of this name runs that another could take the place of.
    #[error("No app named `{0}` runs that could be replaced.")]
    NothingToReplace(String),
    /// A new image is not the one that was expected.
    #[error("{0}")]
    NotAsExpected(String),
    /// A new enclave does not prove what it runs.
    #[error("Enclave {id} does not prove what it runs: {detail}.")]
    Unproven {
        /// The enclave.
        id: String,
        /// Why.
        detail: String,
    },
    /// A supervisor does not take part in a handover.
    #[error("The ports could not be handed over: {detail}.")]
    Handover {
        /// Why.
        detail: String,
    },
    /// Nobody answers on the agent's socket.
    #[error("The host agent does not answer on {socket}.", socket = .socket.display())]
    AgentUnreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The agent is of another version.
    #[error("The host agent (version {version}) speaks protocol {theirs}, and this program {ours}.")]
    AgentProtocol {
        /// Its version.
        version: String,
        /// Its protocol.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// A second agent for the same folders.
    #[error("Another host agent looks after {state}.", state = .state.display())]
    AgentRuns {
        /// Its state folder.
        state: PathBuf,
    },
    /// An agent, or enclaves of one, that use this state folder with another runtime folder.
    #[error(
        "Apps of {state} run below another runtime folder, {runtime}.",
        state = .state.display(), runtime = .runtime.display()
    )]
    OtherRuntime {
        /// The state folder.
        state: PathBuf,
        /// The other runtime folder.
        runtime: PathBuf,
    },
    /// Nothing was ever logged under this name.
    #[error("There is no log of `{0}`.")]
    NoLog(String),
    /// What is running, or ran last, was the first of its name.
    #[error("There is no log of an earlier run of `{0}`.")]
    NoPreviousLog(String),
}

impl HostError {
    /// What a failure at this file becomes.
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self::File { doing, path, cause }
    }

    /// The message with its causes, outermost first, as one line.
    pub fn with_causes(&self) -> String {
        in_one_line(self)
    }
}

/// An error with its causes, outermost first, as one line.
pub(crate) fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn kept_free_text(mib: u64) -> String {
    match mib {
        0 => String::new(),
        mib => format!(" + {mib} MiB that the kernel keeps free of unpacked files"),
    }
}

/// The end of a program's stderr as a sentence of its own.
fn tail_text(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(" It wrote: {stderr}") }
}
