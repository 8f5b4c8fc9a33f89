//! Starting and stopping: for clients, and again after an end.

use super::api::{AppSpec, ExitNote};
use super::budget::Need;
use super::engine::{Claim, Engine, Inner, Now, Retiring, Slot, thread};
use super::policy::End;
use super::state::App;
use crate::config::RunConfig;
use crate::error::HostError;
use crate::event::HostEvent;
use crate::files::eventlog::now_since_epoch;
use crate::files::record::{self, Record};
use crate::run::check;
use crate::run::detached::{Cancel, Order, Supervised};
use std::process::Child;
use std::sync::Arc;
use std::time::Instant;

/// A share of the machine; given back when dropped.
pub(super) struct Claimed<'a> {
    pub(super) engine: &'a Engine,
    pub(super) name: String,
    pub(super) generation: u64,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut inner = self.engine.lock();
        if inner.claims.get(&self.name).is_some_and(|claim| claim.generation == self.generation) {
            inner.claims.remove(&self.name);
            let kept = inner.apps.get(&self.name).map(|slot| &slot.app).filter(|app| app.wanted);
            self.engine.store.keep_only(&self.name, kept.map(|app| app.generation));
        }
        drop(inner);
        self.engine.settle();
    }
}

impl Engine {
    /// Boots an app and keeps it running from then on.
    pub(super) fn run(
        &self,
        spec: AppSpec,
        cancel: &Cancel,
        tell: &mut dyn FnMut(HostEvent),
    ) -> Result<Record, HostError> {
        check(&self.dirs, &spec.config)?;
        let claimed = self.claim(&spec, cancel)?;
        let eif = self.store.take_in(&claimed.name, claimed.generation, &spec.config.eif)?;
        let spec = AppSpec { config: RunConfig { eif, ..spec.config }, ..spec };
        let order = self.order(&spec, claimed.generation);
        let supervised = Supervised::boot(order, &self.exe, cancel, tell)?;
        let exits = self.lock().apps.get(&claimed.name).map(|slot| slot.app.exits.clone());
        let record = supervised.record();
        let image = (record.eif_sha256, record.measurements);
        let mut app = App::new(claimed.generation, spec, image, exits.unwrap_or_default());
        app.keep_ports(record);
        // Before it is let go: an enclave that lives without the agent is always written down.
        self.store.save(&app)?;
        let let_go = supervised.let_go();
        let mut inner = self.lock();
        // From here on the app has its share itself.
        inner.claims.remove(&claimed.name);
        let mut slot = Slot { app, now: Now::Ended };
        match let_go {
            Ok((record, child)) => {
                inner.children.push(child);
                slot = Slot::running(slot.app, &record);
                self.bell.ring(&slot, "it runs");
                inner.apps.insert(claimed.name.clone(), slot);
                Ok(record)
            }
            Err(error) => {
                self.close(&mut slot);
                self.save(&slot.app);
                inner.apps.insert(claimed.name.clone(), slot);
                Err(error)
            }
        }
    }

    /// Takes a share of the machine for an app, if it is free and the name is.
    fn claim(&self, spec: &AppSpec, cancel: &Cancel) -> Result<Claimed<'_>, HostError> {
        let name = spec.config.name.clone();
        let mut inner = self.lock();
        if inner.draining {
            return Err(HostError::Draining);
        }
        if inner.claims.contains_key(&name) {
            return Err(HostError::BootsAlready(name));
        }
        let known = inner.apps.get(&name);
        if known.is_some_and(|slot| !matches!(slot.now, Now::Ended)) {
            return Err(HostError::RunsAlready(name));
        }
        let generation = known.map_or(1, |slot| slot.app.generation + 1);
        let need = Need::of(&spec.config);
        self.budget.admit(&given(&inner), need).map_err(HostError::NotAdmitted)?;
        let hosts = self.ways.names(&inner, spec)?;
        inner.claims.insert(name.clone(), Claim { need, generation, hosts, cancel: cancel.clone() });
        Ok(Claimed { engine: self, name, generation })
    }

    pub(super) fn order(&self, spec: &AppSpec, generation: u64) -> Order {
        Order {
            dirs: self.dirs.clone(),
            config: RunConfig { listen: self.ways.listen(), ..spec.config.clone() },
            generation: Some(generation),
            beside: false,
            driver: self.driver.clone(),
        }
    }

    /// Starts an app again, in a thread.
    pub(super) fn start(self: &Arc<Self>, slot: &mut Slot) {
        let cancel = Cancel::default();
        let (engine, app, canceled) = (Arc::clone(self), slot.app.clone(), cancel.clone());
        slot.now = Now::Starting(cancel);
        self.bell.ring(slot, "it is started again");
        if !thread("start", move || engine.start_again(&app, &canceled)) {
            let reason = "No thread could be started for it.".to_owned();
            self.decide(slot, End::Died, reason);
        }
    }

    fn start_again(&self, app: &App, cancel: &Cancel) {
        let outcome = self.boot_again(app, cancel);
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(slot) = inner.apps.get_mut(app.name()) else { return };
        match outcome {
            Ok((record, child)) => {
                inner.children.push(child);
                slot.now = Now::of(&record);
                slot.app.due = false;
                self.save(&slot.app);
                self.bell.ring(slot, "it runs again");
            }
            // Whoever stops it waits for this.
            Err(_) if !slot.app.wanted => self.stopped(slot),
            Err(HostError::EndedBeforeReady(ending)) => {
                self.decide(slot, End::of(Some(&ending)), ending.to_string());
            }
            Err(error) => self.decide(slot, End::Died, error.with_causes()),
        }
        self.settle();
    }

    fn boot_again(&self, app: &App, cancel: &Cancel) -> Result<(Record, Child), HostError> {
        let order = self.order(&app.spec, app.generation);
        let mut other = false;
        let booted = Supervised::boot(order, &self.exe, cancel, &mut |event| {
            if matches!(event, HostEvent::Measured(measured) if measured != app.measurements) {
                other = true;
                cancel.cancel();
            }
        });
        if other {
            return Err(HostError::OtherImage(app.name().to_owned()));
        }
        booted?.let_go()
    }

    /// Ends an app, by its name or its enclave's id, and waits until nothing of it runs. Returns its name and the
    /// enclave that ran.
    pub(super) fn stop(&self, name_or_id: &str) -> Result<(String, Option<String>), HostError> {
        let mut inner = self.lock();
        let name = named(&inner, name_or_id).ok_or_else(|| HostError::NotRunning(name_or_id.to_owned()))?;
        let mut stopped = None;
        loop {
            if let Some(claim) = inner.claims.get(&name) {
                claim.cancel.cancel();
                inner = self.wait(inner);
                continue;
            }
            let Some(slot) = inner.apps.get_mut(&name) else { return Ok((name, stopped)) };
            if slot.app.wanted {
                slot.app.wanted = false;
                self.store.save(&slot.app)?;
            }
            match &slot.now {
                Now::Ended => {
                    let replaced = |retiring: &Retiring| retiring.name == name;
                    let old = inner.retiring.iter().find(|(_, retiring)| replaced(retiring));
                    let Some(old) = old.map(|(id, _)| id.clone()) else { return Ok((name, stopped)) };
                    // Whoever drains it is told by its end.
                    drop(inner);
                    let _ = record::stop(&self.dirs, &old);
                    inner = self.lock();
                    if inner.retiring.contains_key(&old) {
                        inner = self.wait(inner);
                    }
                }
                Now::Starting(cancel) => {
                    cancel.cancel();
                    inner = self.wait(inner);
                }
                Now::Stopping => inner = self.wait(inner),
                Now::Running { id, .. } => {
                    let id = id.clone();
                    slot.now = Now::Stopping;
                    drop(inner);
                    let outcome = record::stop(&self.dirs, &id);
                    inner = self.lock();
                    if let Some(slot) = inner.apps.get_mut(&name) {
                        self.stopped(slot);
                    }
                    stopped = Some(id);
                    match outcome {
                        Ok(_) | Err(HostError::NotRunning(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                Now::Unknown | Now::BackingOff { .. } => self.stopped(slot),
            }
        }
    }

    /// Ends every enclave, and leaves written down that they are to run. Returns how many ran.
    pub(super) fn drain(&self) -> usize {
        let mut inner = self.lock();
        inner.draining = true;
        let mut ended = 0;
        loop {
            inner.claims.values().for_each(|claim| claim.cancel.cancel());
            let mut busy = !inner.claims.is_empty() || !inner.retiring.is_empty();
            let mut running = None;
            for slot in inner.apps.values_mut() {
                match &slot.now {
                    Now::Starting(cancel) => cancel.cancel(),
                    Now::Stopping => {}
                    Now::Running { id, .. } if running.is_none() => {
                        running = Some((slot.app.name().to_owned(), id.clone()));
                        slot.now = Now::Stopping;
                    }
                    Now::Running { .. } | Now::Unknown | Now::BackingOff { .. } | Now::Ended => continue,
                }
                busy = true;
            }
            let Some((name, id)) = running else {
                if !busy {
                    inner.drained = true;
                    drop(inner);
                    self.settle();
                    return ended;
                }
                inner = self.wait(inner);
                continue;
            };
            drop(inner);
            // Gone meanwhile is what was wanted.
            let _ = record::stop(&self.dirs, &id);
            ended += 1;
            inner = self.lock();
            if let Some(slot) = inner.apps.get_mut(&name) {
                // The next agent starts it at once, and notes no end.
                slot.app.due = true;
                slot.now = Now::BackingOff { until: Instant::now() };
                self.save(&slot.app);
                self.bell.ring(slot, "it was ended, and is to run again with the next agent");
            }
        }
    }

    fn stopped(&self, slot: &mut Slot) {
        self.close(slot);
        slot.app.note(ExitNote {
            unix_s: now_since_epoch().as_secs(),
            reason: "Somebody asked for it.".to_owned(),
            then: "stopped".to_owned(),
        });
        self.save(&slot.app);
        self.bell.ring(slot, "it was stopped, as somebody asked");
        self.settle();
    }
}

impl Need {
    pub(super) fn of(config: &RunConfig) -> Self {
        Self { memory_mib: config.memory_mib.into(), cpus: config.cpus }
    }
}

/// What has its share: apps that are to run, whether or not they do at this moment, and boots.
pub(super) fn given(inner: &Inner) -> Vec<(String, Need)> {
    let apps = inner.apps.values().filter(|slot| !matches!(slot.now, Now::Ended));
    let apps = apps.map(|slot| (slot.app.name().to_owned(), Need::of(&slot.app.spec.config)));
    let claims = inner.claims.iter().map(|(name, claim)| (name.clone(), claim.need));
    let retiring = inner.retiring.values().map(|retiring| (retiring.name.clone(), retiring.need));
    apps.chain(claims).chain(retiring).collect()
}

/// The app of this name, or whose enclave has this id.
fn named(inner: &Inner, name_or_id: &str) -> Option<String> {
    let by_id = inner.apps.values().find(|slot| slot.status().id.as_deref() == Some(name_or_id));
    if let Some(slot) = by_id {
        return Some(slot.app.name().to_owned());
    }
    let known = inner.claims.contains_key(name_or_id)
        || inner.apps.get(name_or_id).is_some_and(|slot| !matches!(slot.now, Now::Ended));
    known.then(|| name_or_id.to_owned())
}
