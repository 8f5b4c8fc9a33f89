//! Clients of every kind, which write down what was acknowledged, what failed, and what must not be.

use crate::place::{self, ADDRESSES, HOST, Place};
use crate::web::{
    Outcome, Unanswered, Web, download, events, long_download, long_upload, pause, raw, socket, upload,
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What clients saw.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Ids that were asked to be kept.
    pub(crate) asked: BTreeSet<String>,
    /// Those of them that were answered with 200.
    pub(crate) acknowledged: BTreeSet<String>,
    /// Answered whole, by kind of client.
    pub(crate) done: BTreeMap<&'static str, u64>,
    /// Failed, by kind and in a word: what clients see of a kill.
    pub(crate) failed: BTreeMap<(&'static str, String), u64>,
    /// What must never happen, whatever is killed.
    pub(crate) wrong: Vec<String>,
}

/// What all clients share.
#[derive(Clone)]
pub(crate) struct Clients {
    ledger: Arc<Mutex<Ledger>>,
    done: Arc<AtomicBool>,
    tls: Arc<ClientConfig>,
    root: PathBuf,
}

/// Clients at work, each in a thread of its own.
pub(crate) struct Traffic {
    clients: Clients,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Trusting the machine's local authority.
    pub(crate) fn new(place: &Place) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(place.root()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(tls.with_root_certificates(roots).with_no_client_auth());
        Self { ledger: Arc::default(), done: Arc::default(), tls, root: place.root() }
    }

    /// Whether every way works at this moment, for somebody who comes anew.
    pub(crate) fn probe(&self, id: &str) -> bool {
        self.ledger.lock().unwrap().asked.insert(id.to_owned());
        let web =
            Web::connect(&self.tls, ADDRESSES[0]).map_err(Unanswered::from).and_then(|mut web| web.write(id));
        if web.is_ok() {
            self.ledger.lock().unwrap().acknowledged.insert(id.to_owned());
        }
        web.is_ok() && raw(ADDRESSES[0], 1, &self.done).is_ok()
    }

    fn count(&self, kind: &'static str, outcome: Outcome) {
        let mut ledger = self.ledger.lock().unwrap();
        match outcome {
            Ok(()) => *ledger.done.entry(kind).or_default() += 1,
            Err(Unanswered::Failed(how)) => *ledger.failed.entry((kind, how)).or_default() += 1,
            Err(Unanswered::Wrong(what)) => ledger.wrong.push(format!("{kind}: {what}")),
        }
    }

    /// A write with an id of its own.
    fn write(&self, kind: &'static str, id: &str, web: &mut Web) -> bool {
        self.ledger.lock().unwrap().asked.insert(id.to_owned());
        let outcome = web.write(id);
        let acknowledged = outcome.is_ok();
        if acknowledged {
            self.ledger.lock().unwrap().acknowledged.insert(id.to_owned());
        }
        self.count(kind, outcome);
        acknowledged
    }

    fn goes_on(&self) -> bool {
        !self.done.load(Ordering::Acquire)
    }
}

impl Traffic {
    /// Sends every kind of client off, on two machines.
    pub(crate) fn start(place: &Place, clients: &Clients) -> Self {
        let mut traffic = Self { clients: clients.clone(), threads: Vec::new() };
        for (which, address) in ADDRESSES.into_iter().enumerate() {
            let on = place.client(which);
            traffic.spawn(&on, move |c| keeps(c, "kept connection", address));
            traffic.spawn(&on, move |c| begins(c, "new connection", address));
            traffic.spawn(&on, move |c| by_curl(c, "HTTP/2", address));
            traffic.spawn(&on, move |c| repeat(c, "raw port", || raw(address, 20, &c.done)));
        }
        let (one, two) = (place.client(0), place.client(1));
        traffic.spawn(&one, |c| repeat(c, "download", || download(&mut Web::connect(&c.tls, ADDRESSES[0])?)));
        traffic.spawn(&one, |c| repeat(c, "events", || events(&mut Web::connect(&c.tls, ADDRESSES[0])?)));
        traffic.spawn(&two, |c| repeat(c, "upload", || upload(&mut Web::connect(&c.tls, ADDRESSES[1])?)));
        traffic.spawn(&two, |c| {
            repeat(c, "WebSocket", || socket(&mut Web::connect(&c.tls, ADDRESSES[1])?, &c.done));
        });
        traffic
    }

    fn spawn(&mut self, namespace: &str, work: impl FnOnce(&Clients) + Send + 'static) {
        let (namespace, clients) = (namespace.to_owned(), self.clients.clone());
        self.threads.push(std::thread::spawn(move || {
            place::enter(&namespace);
            work(&clients);
        }));
    }

    /// Two long transfers more, which are under way until `until` is there, and then end as fast as they can.
    pub(crate) fn add_long(&mut self, place: &Place, until: &Arc<AtomicBool>) {
        let (switched, too) = (Arc::clone(until), Arc::clone(until));
        self.spawn(&place.client(0), move |c| {
            c.count(
                "long download",
                Web::connect(&c.tls, ADDRESSES[0])
                    .map_err(Into::into)
                    .and_then(|mut web| long_download(&mut web, &switched)),
            );
        });
        self.spawn(&place.client(1), move |c| {
            c.count(
                "long upload",
                Web::connect(&c.tls, ADDRESSES[1])
                    .map_err(Into::into)
                    .and_then(|mut web| long_upload(&mut web, &too)),
            );
        });
    }

    /// Lets each finish what it is at; returns what they saw.
    pub(crate) fn stop(self) -> Ledger {
        self.clients.done.store(true, Ordering::Release);
        for thread in self.threads {
            thread.join().unwrap();
        }
        std::mem::take(&mut *self.clients.ledger.lock().unwrap())
    }
}

fn repeat(clients: &Clients, kind: &'static str, mut once: impl FnMut() -> Outcome) {
    while clients.goes_on() {
        clients.count(kind, once());
        pause();
    }
}

/// A name that no other client gives.
fn ids() -> impl FnMut() -> String {
    use std::sync::atomic::AtomicU64;
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let (client, mut number) = (CLIENTS.fetch_add(1, Ordering::Relaxed), 0_u64);
    move || {
        number += 1;
        format!("{client}-{number}")
    }
}

/// One connection as long as it holds.
fn keeps(clients: &Clients, kind: &'static str, address: &'static str) {
    let mut ids = ids();
    while clients.goes_on() {
        match Web::connect(&clients.tls, address) {
            Ok(mut web) => {
                while clients.goes_on() && clients.write(kind, &ids(), &mut web) && !web.closes {
                    pause();
                }
            }
            Err(error) => clients.count(kind, Err(error.into())),
        }
        pause();
    }
}

/// A connection for each request.
fn begins(clients: &Clients, kind: &'static str, address: &'static str) {
    let mut ids = ids();
    while clients.goes_on() {
        match Web::connect(&clients.tls, address) {
            Ok(mut web) => drop(clients.write(kind, &ids(), &mut web)),
            Err(error) => clients.count(kind, Err(error.into())),
        }
        pause();
    }
}

/// Eight requests at once over one connection, by curl.
fn by_curl(clients: &Clients, kind: &'static str, address: &'static str) {
    let mut ids = ids();
    while clients.goes_on() {
        let ids: Vec<String> = (0..8).map(|_| ids()).collect();
        let urls = ids.iter().map(|id| format!("https://{HOST}/write/{id}"));
        clients.ledger.lock().unwrap().asked.extend(ids.iter().cloned());
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--http2", "--parallel", "--max-time", "120", "--data", ""])
            .args(["--write-out", "%{exitcode} %{http_code} %{http_version} %{size_download} %{url}\n"])
            .args(["--resolve", &format!("{HOST}:443:{address}"), "--cacert"])
            .arg(&clients.root);
        for url in urls {
            curl.args(["--output", "/dev/null", &url]);
        }
        let said = curl.output().unwrap().stdout;
        for line in String::from_utf8_lossy(&said).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let id = words.last().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
            let size = id.len().to_string();
            clients.count(
                kind,
                match words[..] {
                    ["0", "200", "2", length, _] if length == size => {
                        clients.ledger.lock().unwrap().acknowledged.insert(id.to_owned());
                        Ok(())
                    }
                    ["0", status @ ("502" | "503"), ..] => Err(Unanswered::Failed(status.to_owned())),
                    // 28: the time was over.
                    ["0" | "28", ..] => Err(Unanswered::Wrong(line.to_owned())),
                    [code, ..] => Err(Unanswered::Failed(format!("curl {code}"))),
                    [] => Ok(()),
                },
            );
        }
        // A process and a handshake each time.
        (0..10).filter(|_| clients.goes_on()).for_each(|_| pause());
    }
}
