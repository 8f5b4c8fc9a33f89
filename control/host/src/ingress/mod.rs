//! The way in over HTTPS: Caddy in front of the apps of one machine.
//!
//! ```text
//! client ──TLS──▶ Caddy ──<folder>/up/…──▶ <run>/http, <run>/attestation ──▶ enclave
//!                   ▲ admin API on <folder>/admin
//!                 agent
//! ```
//! Caddy is configured through its admin API alone, on a Unix socket in a private folder. It lives
//! in a session of its own: an agent that is killed takes nothing down, and the next one adopts it.
//! When Caddy dies it is started again with the last routes.

mod admin;
mod announce;
mod config;
mod domains;
mod error;
mod process;
mod routes;
mod rules;
mod settings;
mod slots;

pub(crate) use announce::header as proxy_header;
pub use domains::{Certificate, Domain};
pub use error::IngressError;
pub use routes::{App, HttpSpec, IngressSpec, Protocol, Routes};
pub use rules::{Rule, admitted};
pub(crate) use settings::of_user;
pub use settings::{Acme, Overrides, Settings};

use crate::error::HostError;
use crate::files::private_dir::private_dir;
use crate::process::pause;
use process::Caddy;
use serde::{Deserialize, Serialize};
use slots::Slots;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What happened to the ingress; each is one line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum IngressEvent {
    /// Caddy was started.
    Started {
        /// Its process.
        pid: Option<i32>,
    },
    /// Caddy was there already.
    Adopted {
        /// Its process.
        pid: Option<i32>,
    },
    /// Caddy ended and runs again with the same routes.
    Restarted {
        /// How it ended.
        ended: String,
        /// The new process.
        pid: Option<i32>,
    },
    /// Caddy ended and could not be brought back yet; this goes on being tried.
    Down {
        /// Why.
        reason: String,
    },
    /// A declared domain does not lead here.
    Domain {
        /// The domain.
        name: String,
        /// What is wrong and which record helps.
        problem: String,
    },
}

impl fmt::Display for IngressEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |pid: &Option<i32>| pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
        match self {
            Self::Started { pid } => write!(f, "Caddy was started{}.", of(pid)),
            Self::Adopted { pid } => write!(f, "Caddy runs already{}.", of(pid)),
            Self::Restarted { ended, pid } => {
                write!(f, "Caddy ended ({ended}) and was started again with the same routes{}.", of(pid))
            }
            Self::Down { reason } => write!(f, "Caddy ended and cannot be started again: {reason}"),
            Self::Domain { problem, .. } => f.write_str(problem),
        }
    }
}

/// What is reachable, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Caddy's process.
    pub pid: Option<i32>,
    /// The certificate of the local authority's root.
    pub local_root: PathBuf,
    /// Addresses by app: the declared domain's first, then the local one.
    pub addresses: Vec<(String, Vec<String>)>,
    /// Declared domains and their certificates.
    pub domains: Vec<Domain>,
}

/// The running ingress. Dropping it leaves Caddy and its routes as they are.
#[derive(Debug)]
pub struct Ingress {
    shared: Arc<Shared>,
}

type Tell = Box<dyn Fn(IngressEvent) + Send + Sync>;

struct Shared {
    settings: Settings,
    slots: Slots,
    tell: Tell,
    state: Mutex<Inner>,
    /// Other domains were declared, or nobody cares any more.
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    caddy: Caddy,
    routes: Routes,
    /// The configuration that Caddy has, or is to get when it is back; nothing before the first routes.
    config: Option<Vec<u8>>,
    /// What was wrong with declared domains when they were looked up last.
    dns: BTreeMap<String, Option<String>>,
    /// Nobody waits for Caddy any more.
    left: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Ingress {
    /// Adopts the Caddy of this folder with whatever routes it has, or starts one without any.
    ///
    /// `tell` must not ask the ingress anything: it is called in the middle of a change.
    pub fn start(
        settings: Settings,
        tell: impl Fn(IngressEvent) + Send + Sync + 'static,
    ) -> Result<Self, IngressError> {
        if !process::fits(&settings.folder) || settings.state.to_str().is_none() {
            return Err(IngressError::Folder(settings.folder));
        }
        let slots = Slots::new(settings.folder.join("up"));
        for folder in [&settings.folder, slots.folder(), &settings.state, &settings.storage()] {
            private_dir(folder)?;
        }
        let (caddy, new) = Caddy::find_or_start(&settings)?;
        let pid = caddy.pid();
        tell(if new { IngressEvent::Started { pid } } else { IngressEvent::Adopted { pid } });
        let inner =
            Inner { caddy, routes: Routes::default(), config: None, dns: BTreeMap::new(), left: false };
        let shared = Arc::new(Shared {
            settings,
            slots,
            tell: Box::new(tell),
            state: Mutex::new(inner),
            changed: Condvar::new(),
        });
        spawn("ingress", &shared, Shared::keep_alive)?;
        spawn("domains", &shared, Shared::watch_domains)?;
        Ok(Self { shared })
    }

    /// From now on exactly these routes hold. Where only sockets changed, Caddy is not disturbed.
    ///
    /// On an error the routes from before hold on. While Caddy is being started again the routes are
    /// kept, and hold when it is back.
    pub fn apply(&self, routes: &Routes) -> Result<(), IngressError> {
        routes.check()?;
        let shared = &self.shared;
        let mut state = shared.lock();
        for app in &routes.apps {
            shared.slots.set(app)?;
        }
        let config = config::full(&shared.settings, routes, &shared.slots).to_string().into_bytes();
        if state.config.as_ref() != Some(&config) {
            match admin::load(&shared.settings.admin(), &config) {
                Ok(()) | Err(admin::Unanswered::Gone) => state.config = Some(config),
                Err(refused) => return Err(refused.into_error()),
            }
        }
        state.routes = routes.clone();
        drop(state);
        shared.changed.notify_all();
        shared.slots.keep_only(&routes.apps)?;
        Ok(())
    }

    /// What is reachable at the moment.
    pub fn state(&self) -> State {
        let (pid, routes, dns) = {
            let state = self.shared.lock();
            (state.caddy.pid(), state.routes.clone(), state.dns.clone())
        };
        let settings = &self.shared.settings;
        let urls = |app: &App| app.hosts().iter().map(|host| settings.url(host)).collect();
        let domain = |name: &str| Domain {
            name: name.to_owned(),
            certificate: domains::certificate(settings, name),
            dns: dns.get(name).cloned().flatten(),
        };
        State {
            pid,
            local_root: settings.local_root(),
            addresses: routes.apps.iter().map(|app| (app.name.clone(), urls(app))).collect(),
            domains: routes.apps.iter().filter_map(App::domain).map(domain).collect(),
        }
    }

    /// Where and how this machine is reached.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Ends the Caddy of this folder, where one is left by somebody who is gone.
    pub fn stop_left(settings: &Settings) -> Result<(), IngressError> {
        if process::runs(settings) { process::stop(settings) } else { Ok(()) }
    }

    /// Ends Caddy too: nothing is reachable any more.
    pub fn stop(self) -> Result<(), IngressError> {
        self.shared.leave();
        process::stop(&self.shared.settings)?;
        Ok(self.shared.slots.keep_only(&[])?)
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        self.shared.leave();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts Caddy again whenever it ends; returns when nobody wants it any more.
    fn keep_alive(&self) {
        let mut pauses = Pauses::default();
        // How it ended, once that was noticed and until it is back.
        let mut ended = None;
        while let Ok(lock) = process::wait_for_end(&self.settings) {
            pause(pauses.before_start());
            let mut state = self.lock();
            if state.left {
                drop(lock);
                process::how_it_ended(&mut state.caddy);
                return;
            }
            let first = ended.is_none();
            let how = ended.take().unwrap_or_else(|| process::how_it_ended(&mut state.caddy));
            match self.bring_back(&mut state, lock) {
                Ok(()) => (self.tell)(IngressEvent::Restarted { ended: how, pid: state.caddy.pid() }),
                Err(error) => {
                    ended = Some(how);
                    if first {
                        (self.tell)(IngressEvent::Down { reason: error.with_causes() });
                    }
                    // It may have come up and refused its routes: the next attempt begins anew.
                    if process::stop(&self.settings).is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn bring_back(&self, state: &mut Inner, lock: std::fs::File) -> Result<(), IngressError> {
        state.caddy = process::start(&self.settings, lock)?;
        match &state.config {
            Some(config) => {
                admin::load(&self.settings.admin(), config).map_err(admin::Unanswered::into_error)
            }
            None => Ok(()),
        }
    }

    /// Looks declared domains up when they are declared, and again every minute: a record is often
    /// set after the app runs. Each finding is told once.
    fn watch_domains(&self) {
        let declared = |state: &Inner| -> Vec<String> {
            let domains = state.routes.apps.iter().filter_map(App::domain);
            self.settings.acme.iter().flat_map(|_| domains.clone()).map(str::to_owned).collect()
        };
        let mut state = self.lock();
        while !state.left {
            let names = declared(&state);
            drop(state);
            let look = |name: &String| (name.clone(), domains::problem(&self.settings, name));
            let found: BTreeMap<String, Option<String>> = names.iter().map(look).collect();
            state = self.lock();
            let before = std::mem::replace(&mut state.dns, found.clone());
            for (name, problem) in found {
                if let Some(problem) = problem.filter(|new| before.get(&name) != Some(&Some(new.clone()))) {
                    (self.tell)(IngressEvent::Domain { name, problem });
                }
            }
            if !state.left && declared(&state) == names {
                let waited = self.changed.wait_timeout(state, LOOKUP_PAUSE);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn leave(&self) {
        self.lock().left = true;
        self.changed.notify_all();
    }
}

fn spawn(name: &str, shared: &Arc<Shared>, job: fn(&Shared)) -> Result<(), HostError> {
    let shared = Arc::clone(shared);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || job(&shared))
        .map(drop)
        .map_err(|cause| HostError::System { doing: "Starting a thread", cause })
}

/// Between two looks at DNS.
const LOOKUP_PAUSE: Duration = Duration::from_mins(1);

/// How long to wait before Caddy is started again: not at all; where it was started within the
/// last minute 100 ms, doubling to 30 s.
#[derive(Debug, Default)]
struct Pauses {
    last: Option<Instant>,
    next: Duration,
}

impl Pauses {
    fn before_start(&mut self) -> Duration {
        let recent = self.last.is_some_and(|last| last.elapsed() < Duration::from_mins(1));
        let now = if recent { self.next } else { Duration::ZERO };
        self.next = (now * 2).clamp(Duration::from_millis(100), Duration::from_secs(30));
        self.last = Some(Instant::now() + now);
        now
    }
}
