//! What the agent knows, and what it does about it: desired × observed → actions.
//!
//! ```text
//!             ┌──────── stop ────────────────────────────┐
//! run ─▶ (boot) ─▶ Running ──ended──▶ BackingOff ──time──▶ Starting ─▶ Running
//!                     │                   │                   │
//!                     └──stop─▶ Stopping ─┴──given up, final──┴──▶ Ended
//! ```
//! A supervisor's folder says that its enclave runs, whoever started it: that is observed, never remembered. So an
//! agent that was killed and started again knows the same as before.

use super::ServeOptions;
use super::api::{AppState, AppStatus, ExitNote};
use super::bell::{Bell, say};
use super::budget::{Budget, Need};
use super::policy::{self, End};
use super::replace::DRAIN;
use super::state::{App, MAX_ENDED, Store};
use super::ways::Ways;
use crate::config::{Dirs, Program};
use crate::driver::DriverSettings;
use crate::error::HostError;
use crate::event::{Ending, HostEvent};
use crate::files::eventlog::{self, now_since_epoch};
use crate::files::record::{self, Record};
use crate::run::detached::Cancel;
use caution_abi::boot_plan::AfterEnding;
use caution_abi::control::Phase;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::BTreeMap;
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The agent's mind.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) dirs: Dirs,
    pub(super) exe: Program,
    pub(super) driver: DriverSettings,
    pub(super) budget: Budget,
    pub(super) store: Store,
    pub(super) ways: Ways,
    pub(super) bell: Bell,
    /// Readable when [`Engine::reconcile`] has something to do.
    pub(super) wake: EventFd,
    inner: Mutex<Inner>,
    /// A start or a stop came to its end.
    settled: Condvar,
}

/// What changes.
#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) apps: BTreeMap<String, Slot>,
    /// Boots for clients; each app has at most one.
    pub(super) claims: BTreeMap<String, Claim>,
    /// Supervisors that are children of this process and were let go.
    pub(super) children: Vec<Child>,
    /// Enclaves that somebody is ending.
    pub(super) retiring: BTreeMap<String, Retiring>,
    /// Nothing is started any more.
    pub(super) draining: bool,
    /// Nothing runs any more, either.
    pub(super) drained: bool,
}

/// An enclave that somebody is ending.
#[derive(Debug)]
pub(super) struct Retiring {
    pub(super) name: String,
    /// What it still takes.
    pub(super) need: Need,
}

/// A share of the machine for an enclave that boots.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) need: Need,
    pub(super) generation: u64,
    /// The names by which it is to be reached.
    pub(super) hosts: Vec<String>,
    pub(super) cancel: Cancel,
}

/// An app and what becomes of it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) app: App,
    pub(super) now: Now,
}

#[derive(Debug)]
pub(super) enum Now {
    /// An agent before this one knew.
    Unknown,
    Starting(Cancel),
    Running {
        id: String,
        phase: Option<Phase>,
        /// In seconds since the Unix epoch.
        since: u64,
    },
    BackingOff {
        until: Instant,
    },
    Stopping,
    Ended,
}

impl Slot {
    pub(super) fn running(app: App, record: &Record) -> Self {
        Self { app, now: Now::of(record) }
    }

    pub(super) fn status(&self) -> AppStatus {
        let (state, id, phase) = match &self.now {
            Now::Unknown => (AppState::Lost, None, None),
            Now::Starting(_) => (AppState::Starting, None, None),
            Now::Running { id, phase, .. } => (AppState::Running, Some(id.clone()), *phase),
            Now::BackingOff { .. } => (AppState::BackingOff, None, None),
            Now::Stopping => (AppState::Stopping, None, None),
            Now::Ended => (AppState::Ended, None, None),
        };
        let App { generation, restarts, exits, .. } = self.app.clone();
        AppStatus { name: self.app.name().to_owned(), state, id, phase, generation, restarts, exits }
    }

    fn runs(&self, record: &Record) -> bool {
        matches!(&self.now, Now::Running { id, .. } if *id == record.id)
    }
}

impl Now {
    pub(super) fn of(record: &Record) -> Self {
        Self::Running { id: record.id.clone(), phase: record.phase, since: record.started_at_unix }
    }
}

impl Engine {
    /// Reads what is to run; [`Engine::reconcile`] then sees what does.
    pub(super) fn new(dirs: Dirs, options: &ServeOptions, budget: Budget) -> Result<Arc<Self>, HostError> {
        let failed = |e: nix::Error| HostError::System { doing: "Making an event", cause: e.into() };
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(failed)?;
        let store = Store::open(&dirs)?;
        let bell = Bell::default();
        let loaded = store.load()?;
        for name in &loaded.empty {
            store.keep_only(name, None);
        }
        for damaged in loaded.damaged {
            store.set_aside(&damaged.name);
            say(&format!(
                "{}: its file cannot be read ({}); it was set aside as damaged.json and the app is not run",
                damaged.name, damaged.why
            ));
        }
        let apps = loaded.apps.into_iter().map(|app| {
            let now = match (app.wanted, app.due) {
                (false, _) => Now::Ended,
                (true, false) => Now::Unknown,
                (true, true) => Now::BackingOff { until: Instant::now() },
            };
            (app.name().to_owned(), Slot { app, now })
        });
        let inner = Mutex::new(Inner { apps: apps.collect(), ..Inner::default() });
        let settled = Condvar::new();
        let ways = Ways::new(options.ingress.clone());
        let (exe, driver) = (options.exe.clone(), options.driver.clone());
        Ok(Arc::new(Self { dirs, exe, driver, budget, store, ways, bell, wake, inner, settled }))
    }

    /// Everything that changes; nothing that waits is done while this is held.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a start or a stop came to its end.
    pub(super) fn wait<'a>(&self, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        self.settled.wait(inner).unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that one did.
    pub(super) fn settle(&self) {
        self.settled.notify_all();
        let _ = self.wake.write(1);
    }

    /// Every app, by name.
    pub(super) fn list(&self) -> Vec<AppStatus> {
        self.lock().apps.values().map(Slot::status).collect()
    }

    /// Whether it came to its end by [`Engine::drain`].
    pub(super) fn is_drained(&self) -> bool {
        self.lock().drained
    }

    /// Whether nothing is to be looked after.
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.lock();
        inner.claims.is_empty()
            && inner.retiring.is_empty()
            && inner.apps.values().all(|slot| matches!(slot.now, Now::Ended))
    }

    /// Compares what is to run with what does and acts on it. Returns when to look again at the latest, where
    /// something waits for a time.
    pub(super) fn reconcile(self: &Arc<Self>) -> Option<Instant> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.children.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let records = match record::all(&self.dirs) {
            Ok(records) => records,
            Err(error) => {
                say(&format!("the runtime folder cannot be read: {}", error.with_causes()));
                return Some(Instant::now() + AGAIN);
            }
        };
        let mut next: Option<Instant> = None;
        for slot in inner.apps.values_mut() {
            self.observe(slot, &records);
            if let Now::BackingOff { until } = slot.now
                && !inner.draining
            {
                if until <= Instant::now() {
                    self.start(slot);
                } else {
                    next = Some(next.map_or(until, |earlier| earlier.min(until)));
                }
            }
        }
        self.end_orphans(inner, &records);
        self.prune(inner);
        next
    }

    /// Brings one app up to what its folder says.
    fn observe(&self, slot: &mut Slot, records: &[Record]) {
        let mine = |record: &&Record| {
            record.name == slot.app.name() && record.generation == Some(slot.app.generation)
        };
        match &mut slot.now {
            Now::Unknown => match records.iter().find(mine) {
                Some(record) => {
                    slot.now = Now::of(record);
                    self.bell.ring(slot, "it ran on without an agent and is looked after again");
                }
                None => self.ended(slot),
            },
            Now::Running { id, phase, .. } => match records.iter().find(|record| record.id == *id) {
                Some(record) if record.phase == *phase => {}
                Some(record) => {
                    *phase = record.phase;
                    self.bell.ring(slot, "it changed its phase");
                }
                None => self.ended(slot),
            },
            Now::Starting(_) | Now::BackingOff { .. } | Now::Stopping | Now::Ended => {}
        }
    }

    /// An enclave that should run does not any more; its log says why.
    fn ended(&self, slot: &mut Slot) {
        let (end, reason) = match eventlog::last_event(&self.dirs, slot.app.name()) {
            Some(HostEvent::Ended(ending @ Ending::Stopped)) => {
                (End::of(Some(&ending)), "It was stopped by somebody else than the agent.".to_owned())
            }
            Some(HostEvent::Ended(ending)) => (End::of(Some(&ending)), ending.to_string()),
            Some(HostEvent::Failed { message, .. }) => (End::Died, message),
            _ => (End::Died, "Its supervisor was killed, and the enclave with it.".to_owned()),
        };
        if let Now::Running { since, .. } = slot.now
            && now_since_epoch().saturating_sub(Duration::from_secs(since)) >= policy::STABLE
        {
            slot.app.restarts = 0;
        }
        self.decide(slot, end, reason);
    }

    /// Applies the boot plan's policy to an end, and writes it down.
    pub(super) fn decide(&self, slot: &mut Slot, end: End, reason: String) {
        let next = slot.app.spec.restart.after(end.succeeded(), slot.app.restarts);
        let then = match next {
            AfterEnding::Again(pause) => {
                slot.app.restarts += 1;
                slot.app.due = true;
                slot.now = Now::BackingOff { until: Instant::now() + pause };
                format!("started again after {:.1} s", pause.as_secs_f64())
            }
            AfterEnding::Final => ExitNote::FINAL.to_owned(),
            AfterEnding::GivenUp => {
                format!("given up after {} restarts in a row", slot.app.restarts)
            }
        };
        let text = format!("{reason} ({then})");
        if !matches!(next, AfterEnding::Again(_)) {
            self.close(slot);
        }
        slot.app.note(ExitNote { unix_s: now_since_epoch().as_secs(), reason, then });
        self.save(&slot.app);
        self.bell.ring(slot, &text);
    }

    /// Nothing of this app is to run any more.
    pub(super) fn close(&self, slot: &mut Slot) {
        (slot.app.wanted, slot.app.due) = (false, false);
        slot.now = Now::Ended;
        self.store.keep_only(slot.app.name(), None);
    }

    /// Writes an app down. What cannot be written is said: a next agent would know less.
    pub(super) fn save(&self, app: &App) {
        if let Err(error) = self.store.save(app) {
            say(&format!("{}: {}", app.name(), error.with_causes()));
        }
    }

    /// Ends enclaves that an agent started and nobody wants: left by one that was killed in between. Where that was in
    /// the middle of replacing one, its ports are handed over first.
    fn end_orphans(self: &Arc<Self>, inner: &mut Inner, records: &[Record]) {
        for record in records {
            let Some(generation) = record.generation else { continue };
            let claimed = inner.claims.get(&record.name).is_some_and(|claim| claim.generation == generation);
            let slot = inner.apps.get(&record.name);
            let wanted = slot.is_some_and(|slot| {
                slot.runs(record) || matches!(slot.now, Now::Starting(_) | Now::Stopping)
            });
            if claimed || wanted || inner.retiring.contains_key(&record.id) {
                continue;
            }
            let successor = slot.and_then(|slot| records.iter().find(|record| slot.runs(record))).cloned();
            // Its app's share is counted; nobody knows any more what this one takes.
            let need = Need { memory_mib: 0, cpus: 0 };
            inner.retiring.insert(record.id.clone(), Retiring { name: record.name.clone(), need });
            let (engine, old) = (Arc::clone(self), record.id.clone());
            thread("orphan", move || engine.end_orphan(&old, successor.as_ref()));
        }
    }

    fn end_orphan(&self, old: &str, successor: Option<&Record>) {
        let Some(successor) = successor else {
            say(&format!("enclave {old} is not wanted any more and is ended"));
            return self.retire(old, Duration::ZERO);
        };
        say(&format!("enclave {old} was replaced by {} and is ended", successor.id));
        let switched = if successor.serving { Ok(()) } else { self.switch(old, &successor.id) };
        match switched.and_then(|()| record::find(&self.dirs, &successor.id)) {
            Ok(successor) => {
                self.took_over(&successor);
                self.ways.follow(self);
                self.retire(old, DRAIN);
            }
            // It goes on serving, and this is tried again at the next look.
            Err(error) => {
                say(&format!("enclave {old} goes on: {}", error.with_causes()));
                self.lock().retiring.remove(old);
            }
        }
    }

    /// Forgets the apps that ended first, where there are too many.
    fn prune(&self, inner: &mut Inner) {
        let mut ended: Vec<(u64, String)> = inner
            .apps
            .values()
            .filter(|slot| matches!(slot.now, Now::Ended))
            .map(|slot| (slot.app.ended_at(), slot.app.name().to_owned()))
            .collect();
        ended.sort();
        let over = ended.len().saturating_sub(MAX_ENDED);
        for (_, name) in ended.into_iter().take(over) {
            inner.apps.remove(&name);
            self.store.forget(&name);
        }
    }
}

/// A thread of the agent's own; without one its work waits for the next look.
pub(super) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    if let Err(error) = &started {
        say(&format!("no thread could be started: {error}"));
    }
    started.is_ok()
}

/// When to look again after something of the agent's own failed.
const AGAIN: Duration = Duration::from_secs(5);
