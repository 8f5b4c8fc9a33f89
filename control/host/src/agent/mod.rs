//! The host agent: a daemon that keeps apps running, whatever happens to their enclaves or to itself.
//!
//! ```text
//! clients ──Unix socket──▶ server ──▶ engine ──starts──▶ supervisor, one for each enclave ──▶ QEMU
//!                                       │ ▲                   │
//!                              <state>/apps │                 └─ <runtime>/<id>: that it lives, and how far it is
//!                            what is to run └──── inotify ───────┘
//! ```
//! Supervisors outlive the agent. It ends by a signal, or by itself when it was started on demand and has nothing
//! to look after; enclaves go on, and the next agent finds them.

mod api;
mod attest;
mod bell;
mod budget;
mod client;
mod engine;
mod launch;
mod lock;
mod policy;
mod replace;
mod server;
mod state;
mod ways;

pub use api::{
    AppSpec, AppState, AppStatus, Change, Done, ErrorKind, ExitNote, Hello, PROTOCOL, Reply, Request,
};
pub use budget::{Limits, Shortage};
pub use client::{AgentClient, Replies};
pub(crate) use lock::lock_generation;
pub(crate) use state::is_wanted;
pub use ways::Reached;

use crate::config::{Dirs, Program};
use crate::driver::DriverSettings;
use crate::error::HostError;
use crate::files::private_dir::private_dir;
use crate::files::record;
use crate::ingress;
use crate::run::watcher::Signals;
use crate::settings;
use bell::say;
use budget::Budget;
use engine::{Engine, Now, Slot};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signalfd::SignalFd;
use serde::{Deserialize, Serialize};
use server::Server;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The agent's socket below the runtime folder. Clients find it by the folder alone.
pub(crate) const SOCKET: &str = ".agent";
/// How long an agent that was started on demand stays without anything to look after.
const LINGER: Duration = Duration::from_secs(3);
/// How often the runtime folder is looked at though nothing was heard: a supervisor and its janitor that were both
/// killed leave it as it is.
const LOOK: Duration = Duration::from_secs(5);

/// How an agent is run.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// The binary that supervises enclaves; it answers `internal` with [`crate::internal`].
    pub exe: Program,
    /// What enclaves may have together.
    pub limits: Limits,
    /// Whether it ends by itself when nothing is to be looked after.
    pub ends_when_idle: bool,
    /// How apps are reached by HTTPS; nothing: they are not.
    pub ingress: Option<crate::ingress::Settings>,
    /// What runs enclaves.
    pub driver: DriverSettings,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            exe: Program::this_binary(),
            limits: Limits::default(),
            ends_when_idle: false,
            ingress: None,
            driver: DriverSettings::default(),
        }
    }
}

/// Looks after the apps of these folders until SIGINT, SIGTERM or SIGHUP; enclaves go on.
///
/// Call it before starting other threads: signals must reach this one. `listening` is called once clients are heard.
pub fn serve(dirs: &Dirs, options: &ServeOptions, listening: &mut dyn FnMut()) -> Result<(), HostError> {
    let mut signals = Signals::block()?;
    let descriptor = signals.take();
    let _lock = lock::lock_agent(dirs)?;
    let budget = match options.driver.pool(&dirs.runtime) {
        Some(pool) => Budget::of_pool(options.limits, pool),
        None => Budget::of_this_machine(options.limits),
    };
    let engine = Engine::new(dirs.clone(), options, budget)?;
    let socket = Socket::open(dirs)?;
    let inotify = watch_folders(dirs)?;
    listening();
    say("it looks after its apps now");
    let daemon = Daemon { server: Server::new(engine, options.ends_when_idle), socket, inotify };
    daemon.run(descriptor.as_ref());
    Ok(())
}

struct Daemon {
    server: Server,
    socket: Socket,
    inotify: Inotify,
}

impl Daemon {
    fn run(&self, signals: Option<&SignalFd>) {
        let engine = &self.server.engine;
        let mut idle_since: Option<Instant> = None;
        let mut drained_since: Option<Instant> = None;
        loop {
            let next = engine.reconcile();
            // Asked first: what it means for the way in is done below before the end.
            let drained = engine.is_drained();
            engine.ways.follow(engine);
            self.watch_runs();
            if !self.socket.is_ours() {
                return say("its socket was removed, so nobody reaches it any more; it ends");
            }
            drained_since = drained.then(|| drained_since.unwrap_or_else(Instant::now));
            // Whoever asked for it gets the answer; others do not hold it up.
            if drained_since.is_some_and(|since| self.server.is_idle() || since.elapsed() >= LINGER) {
                return say("it was drained; it ends");
            }
            let idle = self.server.ends_when_idle && self.server.is_idle() && engine.is_idle();
            idle_since = idle.then(|| idle_since.unwrap_or_else(Instant::now));
            if idle_since.is_some_and(|since| since.elapsed() >= LINGER) {
                return say("there is nothing to look after; it ends");
            }
            let linger = idle_since.or(drained_since).map(|since| since + LINGER);
            let until = [next, linger].into_iter().flatten().min();
            if !self.wait(until, signals) {
                return say("it was asked to end; enclaves go on");
            }
        }
    }

    /// Waits until something happens; `false` after a signal.
    fn wait(&self, until: Option<Instant>, signals: Option<&SignalFd>) -> bool {
        let left = until.map_or(LOOK, |until| until.saturating_duration_since(Instant::now()).min(LOOK));
        // Rounded up: a millisecond early would be a look for nothing.
        let left = u16::try_from(left.as_millis() + 1).unwrap_or(u16::MAX);
        let engine = &self.server.engine;
        let mut fds = vec![
            PollFd::new(self.socket.listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(engine.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
        ];
        fds.extend(signals.map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut fds, PollTimeout::from(left));
        if matches!(signals.map(SignalFd::read_signal), Some(Ok(Some(_)))) {
            return false;
        }
        // Both are only to wake; neither blocks.
        let _ = engine.wake.read();
        let _ = self.inotify.read_events();
        match self.socket.listener.accept() {
            Ok((client, _)) => self.server.serve(client),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors: the client stays in the queue until some are free.
            Err(_) => crate::process::pause(Duration::from_millis(50)),
        }
        true
    }

    /// Phases are written into the folders of runs.
    fn watch_runs(&self) {
        for app in self.server.engine.list() {
            if let Some(id) = app.id {
                // The same watch again where there is one; a folder that is gone is noticed by its parent.
                let folder = self.server.engine.dirs.enclave(&id);
                let _ = self.inotify.add_watch(&folder, AddWatchFlags::IN_MOVED_TO);
            }
        }
    }
}

fn watch_folders(dirs: &Dirs) -> Result<Inotify, HostError> {
    let failed = |e: nix::Error| HostError::System { doing: "Watching the runtime folder", cause: e.into() };
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).map_err(failed)?;
    let flags = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_DELETE;
    inotify.add_watch(&dirs.runtime, flags).map_err(failed)?;
    Ok(inotify)
}

/// The listening socket; its name is removed when this is dropped.
struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: Option<u64>,
}

impl Socket {
    /// Binds it for this user alone. Whoever holds the agent's lock may remove what an agent before left.
    fn open(dirs: &Dirs) -> Result<Self, HostError> {
        private_dir(&dirs.runtime)?;
        let path = dirs.runtime.join(SOCKET);
        let failed = |cause| HostError::File { doing: "Listening on", path: path.clone(), cause };
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let inode = inode(&path);
        Ok(Self { listener, path, inode })
    }

    fn is_ours(&self) -> bool {
        self.inode.is_some() && inode(&self.path) == self.inode
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.is_ours() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

/// What the files say while no agent runs.
fn at_rest(dirs: &Dirs) -> Result<Vec<AppStatus>, HostError> {
    let records = record::list(dirs)?;
    let store = state::Store::open(dirs)?;
    let status = |app: state::App| {
        let mine =
            |record: &&record::Record| record.name == app.name() && record.generation == Some(app.generation);
        let now = match records.iter().find(mine) {
            _ if !app.wanted => Now::Ended,
            Some(record) => Now::of(record),
            None => Now::Unknown,
        };
        Slot { app, now }.status()
    };
    Ok(store.load()?.apps.into_iter().map(status).collect())
}

/// What an agent that is started on demand is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    dirs: Dirs,
}

/// `internal agent`: says nothing and closes its standard output when it listens, or says why it does not.
pub(crate) fn main() -> ExitCode {
    // Fails only for a leader of a process group, which a freshly spawned child is not.
    let _ = nix::unistd::setsid();
    let mut line = Vec::new();
    let read = BufReader::new(io::stdin().take(64 * 1024)).read_until(b'\n', &mut line);
    let Some(Start { dirs }) = read.ok().and_then(|_| serde_json::from_slice(&line).ok()) else {
        return ExitCode::from(2);
    };
    let outcome = own_log(&dirs).and_then(|()| {
        let file = settings::of_user(&dirs)?;
        let ingress = ingress::of_user(&dirs, file.ingress);
        let driver = file.driver;
        let options = ServeOptions { ends_when_idle: true, ingress, driver, ..ServeOptions::default() };
        serve(&dirs, &options, &mut || {
            if let Ok(null) = File::options().write(true).open("/dev/null") {
                // Whoever waits sees the end of it.
                let _ = nix::unistd::dup2_stdout(null);
            }
        })
    });
    match outcome {
        Ok(()) | Err(HostError::AgentRuns { .. }) => ExitCode::SUCCESS,
        Err(error) => {
            let reply = Reply::error(&error);
            let _ = io::stdout().write_all(&serde_json::to_vec(&reply).unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// An agent on demand has no journal: it writes to `<state>/agent.log`, anew at each start.
fn own_log(dirs: &Dirs) -> Result<(), HostError> {
    let path = dirs.state.join("agent.log");
    let failed = |cause| HostError::File { doing: "Creating", path: path.clone(), cause };
    private_dir(&dirs.state)?;
    let log = File::create(&path).map_err(failed)?;
    nix::unistd::dup2_stderr(log).map_err(|e| failed(e.into()))
}
