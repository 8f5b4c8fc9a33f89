//! One enclave in the place of another, while its clients go on.
//!
//! ```text
//! boot beside ─▶ ready ─▶ attested ─▶ written down ─▶ old gives its ports, new serves them ─▶ old drains ─▶ old ends
//!      └────────────┴─────────┴─ fails: the new one ends, the old one goes on ──┘
//! ```
//! From "written down" on an agent that is killed in between is no matter: the next one finds both enclaves and goes
//! on where this one was (`Engine::end_orphans`).

use super::api::AppSpec;
use super::attest;
use super::engine::{Claim, Engine, Now, Retiring, Slot};
use super::launch::{Claimed, given};
use super::state::App;
use super::{bell::say, budget::Need};
use crate::config::RunConfig;
use crate::error::HostError;
use crate::event::HostEvent;
use crate::files::record::{self, Record};
use crate::published::handover;
use crate::run::check;
use crate::run::detached::{Cancel, Order, Supervised};
use caution_measure::Measurements;
use std::time::Duration;

/// How long clients of the old enclave may take to finish, unless the request says otherwise.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// What takes the place of what an app runs.
#[derive(Debug)]
pub(super) struct Replacement {
    pub(super) app: AppSpec,
    /// What it must measure, and attest.
    pub(super) expected: Measurements,
    /// How long clients of the old enclave may take to finish.
    pub(super) drain: Duration,
}

impl Engine {
    /// Puts a new image in the place of the one that an app runs.
    pub(super) fn replace(
        &self,
        replacement: Replacement,
        cancel: &Cancel,
        tell: &mut dyn FnMut(HostEvent),
    ) -> Result<Record, HostError> {
        let Replacement { app: spec, expected, drain } = replacement;
        check(&self.dirs, &spec.config)?;
        let (claimed, old) = self.claim_beside(&spec, cancel)?;
        let eif = self.store.take_in(&claimed.name, claimed.generation, &spec.config.eif)?;
        let spec = AppSpec { config: RunConfig { eif, ..spec.config }, ..spec };
        let order = Order { beside: true, ..self.order(&spec, claimed.generation) };
        let supervised = Supervised::boot(order, &self.exe, cancel, tell)?;
        let record = supervised.record();
        if record.measurements != expected {
            let name = &claimed.name;
            return Err(HostError::NotAsExpected(format!(
                "The new image of {name} does not measure what was asked for."
            )));
        }
        attest::check(record, expected, &self.dirs)?;
        let image = (record.eif_sha256, record.measurements);
        let app = App::new(claimed.generation, spec, image, Vec::new());
        let (before, new) = self.commit(&old, app, supervised)?;
        // The old one has not stopped serving yet, whatever becomes of the new one meanwhile.
        let taken = self.switch(&old, &new.id).and_then(|()| record::find(&self.dirs, &new.id));
        let record = taken.inspect_err(|_| self.roll_back(before, &old, &new.id))?;
        self.took_over(&record);
        // Before the old one stops to listen.
        self.ways.follow(self);
        self.retire(&old, drain);
        Ok(record)
    }

    /// Takes a share of the machine for a second enclave of an app; returns the first one's id.
    fn claim_beside(&self, spec: &AppSpec, cancel: &Cancel) -> Result<(Claimed<'_>, String), HostError> {
        let name = spec.config.name.clone();
        let mut inner = self.lock();
        if inner.draining {
            return Err(HostError::Draining);
        }
        if inner.claims.contains_key(&name) {
            return Err(HostError::BootsAlready(name));
        }
        let Some(Slot { app, now: Now::Running { id, .. } }) = inner.apps.get(&name) else {
            return Err(HostError::NothingToReplace(name));
        };
        let (generation, old, need) = (app.generation + 1, id.clone(), Need::of(&spec.config));
        let beside: Vec<_> = given(&inner);
        self.budget.admit(&beside, need).map_err(HostError::NotAdmitted)?;
        let hosts = self.ways.names(&inner, spec)?;
        inner.claims.insert(name.clone(), Claim { need, generation, hosts, cancel: cancel.clone() });
        Ok((Claimed { engine: self, name, generation }, old))
    }

    /// Writes the new enclave down as the app's and lets it go. Returns what was before.
    fn commit(&self, old: &str, mut app: App, supervised: Supervised) -> Result<(Slot, Record), HostError> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let slot = inner.apps.get_mut(app.name()).filter(|slot| slot.status().id.as_deref() == Some(old));
        let slot = slot.ok_or_else(|| HostError::NothingToReplace(app.name().to_owned()))?;
        app.exits.clone_from(&slot.app.exits);
        self.store.save(&app)?;
        let (new, child) = supervised.let_go().inspect_err(|_| self.save(&slot.app))?;
        inner.children.push(child);
        inner.claims.remove(app.name());
        let retiring = Retiring { name: app.name().to_owned(), need: Need::of(&slot.app.spec.config) };
        inner.retiring.insert(old.to_owned(), retiring);
        let before = std::mem::replace(slot, Slot { app, now: Now::of(&new) });
        self.bell.ring(slot, "a new enclave takes over");
        Ok((before, new))
    }

    /// Hands the ports of one enclave to another.
    pub(super) fn switch(&self, old: &str, new: &str) -> Result<(), HostError> {
        let handed = handover::give(&self.dirs.enclave(old))?;
        handover::serve(&self.dirs.enclave(new), &handed)
    }

    /// Ends an enclave that was replaced, when its clients are gone or the time is over.
    pub(super) fn retire(&self, old: &str, drain: Duration) {
        match handover::drain(&self.dirs.enclave(old), drain) {
            Ok(0) => {}
            Ok(left) => say(&format!("enclave {old} is ended with {left} clients that did not finish")),
            Err(error) => say(&format!("enclave {old} is ended at once: {}", error.with_causes())),
        }
        // Gone meanwhile is what was wanted.
        let _ = record::stop(&self.dirs, old);
        self.lock().retiring.remove(old);
        self.settle();
    }

    /// The new enclave could not take over: the old one never stopped serving.
    fn roll_back(&self, before: Slot, old: &str, new: &str) {
        let mut inner = self.lock();
        let name = before.app.name().to_owned();
        let need = Need::of(&before.app.spec.config);
        let Some(slot) = inner.apps.get_mut(&name).filter(|slot| slot.app.wanted) else {
            // Somebody stopped the app meanwhile.
            drop(inner);
            return self.retire(old, Duration::ZERO);
        };
        self.save(&before.app);
        let generation = before.app.generation;
        *slot = before;
        self.bell.ring(slot, "the new enclave could not take over; the old one goes on");
        inner.retiring.remove(old);
        inner.retiring.insert(new.to_owned(), Retiring { name: name.clone(), need });
        drop(inner);
        let _ = record::stop(&self.dirs, new);
        self.lock().retiring.remove(new);
        self.store.keep_only(&name, Some(generation));
        self.settle();
    }

    /// The ports that were handed over are the app's from now on: it gets them again after an end.
    pub(super) fn took_over(&self, record: &Record) {
        let mut inner = self.lock();
        let Some(slot) = inner.apps.get_mut(&record.name) else { return };
        if slot.app.wanted && Some(slot.app.generation) == record.generation {
            slot.app.keep_ports(record);
            self.save(&slot.app);
            self.store.keep_only(&record.name, record.generation);
        }
    }
}
