//! The way in by HTTPS: the ingress follows what runs.

use super::api::AppSpec;
use super::bell::say;
use super::engine::{self, Engine, Now};
use crate::config::RunConfig;
use crate::error::HostError;
use crate::files::record;
use crate::ingress::{App, Ingress, IngressError, Routes, Settings, State};
use caution_abi::ports::ATTESTATION;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How apps are reached by HTTPS, or why they are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reached {
    /// The ingress runs.
    By(State),
    /// It does not; enclaves do.
    Not {
        /// Why, as a sentence.
        message: String,
        /// What to do about it.
        fix: Option<String>,
    },
    /// The agent was told to have none.
    SwitchedOff,
}

/// The ingress of an agent; Caddy runs only while an app is to.
#[derive(Debug)]
pub(super) struct Ways {
    settings: Option<Settings>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ingress: Option<Ingress>,
    /// What Caddy was told last; nothing by this agent yet.
    told: Option<Routes>,
    /// Why that failed, where it did.
    failed: Option<IngressError>,
}

impl Ways {
    pub(super) fn new(settings: Option<Settings>) -> Self {
        Self { settings, inner: Mutex::default() }
    }

    /// Lets every app that is to run be reached where its enclave is now. What fails is said once
    /// and tried again at the next look; enclaves run on.
    pub(super) fn follow(&self, engine: &Engine) {
        let Some(settings) = &self.settings else { return };
        // Taken first: two who follow at once must not swap the newer routes for the older.
        let mut inner = self.lock();
        let routes = routes(engine);
        if inner.told.as_ref() == Some(&routes) && inner.failed.is_none() {
            return;
        }
        let outcome = inner.tell(settings, &routes);
        inner.told = Some(routes);
        let before = inner.failed.take().map(|error| error.with_causes());
        inner.failed = outcome.err().inspect(|error| {
            let text = error.with_causes();
            if before.as_ref() != Some(&text) {
                say(&format!("apps are not reached by HTTPS: {text}"));
            }
        });
    }

    /// The host names of an app, where none of them is another's and it asks for none of Caddy's ports: Caddy takes the
    /// names of all apps, or of none.
    pub(super) fn names(&self, inner: &engine::Inner, spec: &AppSpec) -> Result<Vec<String>, HostError> {
        let Some(settings) = &self.settings else { return Ok(Vec::new()) };
        let RunConfig { name, ports, attestation_port, .. } = &spec.config;
        // One that came before Caddy would take HTTPS from all apps.
        let published = ports.iter().map(|port| (port.enclave, port.host_port()));
        let mut published = published.chain(attestation_port.map(|port| (ATTESTATION, port)));
        let ours = [settings.https_port, settings.http_port];
        if let Some((enclave, port)) = published.find(|(_, port)| ours.contains(port)) {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            return Err(HostError::PortTaken { enclave, address });
        }
        let names = hosts(spec);
        let running = inner.apps.iter().filter(|(_, slot)| !matches!(slot.now, Now::Ended));
        let running = running.map(|(name, slot)| (name, hosts(&slot.app.spec)));
        let booting = inner.claims.iter().map(|(name, claim)| (name, claim.hosts.clone()));
        for (other, taken) in running.chain(booting).filter(|(other, _)| *other != name) {
            if let Some(host) = names.iter().find(|host| taken.contains(host)) {
                let (host, first, second) = (host.clone(), other.clone(), name.clone());
                return Err(HostError::HostTwice { host, first, second });
            }
        }
        Ok(names)
    }

    /// Where raw ports are reached: where HTTPS is.
    pub(super) fn listen(&self) -> Vec<IpAddr> {
        self.settings.as_ref().map_or_else(Vec::new, Settings::addresses)
    }

    /// How apps are reached at the moment.
    pub(super) fn reached(&self) -> Reached {
        let inner = self.lock();
        match (&inner.ingress, &inner.failed) {
            (_, Some(error)) => Reached::Not { message: error.with_causes(), fix: error.fix() },
            (Some(ingress), None) => Reached::By(ingress.state()),
            (None, None) if self.settings.is_none() => Reached::SwitchedOff,
            (None, None) => Reached::Not { message: "No app is to run.".to_owned(), fix: None },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tell(&mut self, settings: &Settings, routes: &Routes) -> Result<(), IngressError> {
        if routes.apps.is_empty() {
            return match self.ingress.take() {
                Some(ingress) => ingress.stop(),
                // One that an agent before this one left.
                None => Ingress::stop_left(settings),
            };
        }
        let ingress = match self.ingress.take() {
            Some(ingress) => ingress,
            None => Ingress::start(settings.clone(), |event| say(&event.to_string()))?,
        };
        self.ingress.insert(ingress).apply(routes)
    }
}

/// Every host name that an app is to answer to.
fn hosts(spec: &AppSpec) -> Vec<String> {
    let RunConfig { name, ingress, .. } = &spec.config;
    App { name: name.clone(), spec: ingress.clone(), upstream: None, attestation: None }.hosts()
}

/// Where each app that is to run is at the moment.
fn routes(engine: &Engine) -> Routes {
    // Whoever cannot read them says so elsewhere; until then nobody is reached.
    let records = record::all(&engine.dirs).unwrap_or_default();
    let inner = engine.lock();
    // Where all was ended, nothing is to be reached: Caddy goes, too.
    let drained = inner.drained;
    let wanted = inner.apps.values().filter(|slot| slot.app.wanted && !drained);
    let apps = wanted.map(|slot| {
        let id = match &slot.now {
            Now::Running { id, .. } => Some(id),
            _ => None,
        };
        let record = records.iter().find(|record| Some(&record.id) == id);
        App {
            name: slot.app.name().to_owned(),
            spec: slot.app.spec.config.ingress.clone(),
            upstream: record.and_then(|record| record.http_socket.clone()),
            attestation: record.map(|record| record.attestation_socket.clone()),
        }
    });
    Routes { apps: apps.collect() }
}
