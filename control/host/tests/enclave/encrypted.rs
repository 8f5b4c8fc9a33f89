//! An app behind end-to-end encryption, in a real enclave, with the client that users have.

use crate::Running;
use crate::support::{Place, compile, config, plan, ramdisk_of, release, write_image};
use caution_abi::boot_plan::{BootPlan, Readiness, Restart, RestartPolicy};
use caution_abi::control::{Event, Phase};
use caution_abi::e2e::{AppProtocol, E2e, Suite};
use caution_abi::ports::AppPort;
use caution_host::{HostEvent, PublishedPort, RunConfig, dev_root_der};
use caution_measure::Measurements;
use caution_sdk::{Client, ClientBuilder, ImagePcrs, Policy, Roots};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) const APP: u16 = 8083;

pub(crate) fn app_port(port: u16) -> AppPort {
    AppPort::try_from(port).unwrap()
}

/// In front of [`APP`], and nothing more.
pub(crate) fn e2e() -> E2e {
    E2e {
        suite: Suite::X25519,
        app_port: app_port(APP),
        app_protocol: AppProtocol::Http,
        origins: Vec::new(),
        plaintext_fallback: false,
        steve_v2: false,
    }
}

/// The image of the besieger, which is root.
fn besieger(name: &str, change: impl FnOnce(&mut E2e)) -> PathBuf {
    static PROGRAMS: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let mut e2e = e2e();
    change(&mut e2e);
    let restart =
        Restart { policy: RestartPolicy::Always, max_restarts: 9, backoff_ms: 1, backoff_max_ms: 1 };
    let readiness = Readiness::Tcp { port: app_port(APP), timeout_s: 60 };
    let mut plan = BootPlan { ports: vec![app_port(8001)], e2e: Some(e2e), readiness, restart, ..plan() };
    (plan.app.uid, plan.app.gid) = (0, 0);
    let [app, siege] = PROGRAMS.get_or_init(|| ["besieger.rs", "siege.c"].map(compile));
    write_image(name, &release(), &ramdisk_of(&plan, &[("app", app), ("siege", siege)]))
}

/// Published on this port of the host, on any with 0.
fn encrypted(eif: &Path, port: u16) -> RunConfig {
    let ports = [(8001, 0), (APP, port)];
    let ports = ports.map(|(enclave, host)| PublishedPort { enclave, host: Some(host) });
    RunConfig { ports: ports.to_vec(), http_port: Some(APP), e2e: true, ..config(eif) }
}

pub(crate) fn client(place: &Place, running: &Running) -> ClientBuilder {
    client_at(place, running.host_port(APP), running.measurements())
}

/// One that wants exactly this image, at this port of the host.
pub(crate) fn client_at(place: &Place, port: u16, measurements: Measurements) -> ClientBuilder {
    let root = dev_root_der(&place.dirs).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    Client::builder(&url, Policy::pinned([ImagePcrs { measurements, pcr8: None }]).unwrap())
        .evidence_roots(Roots::dev_root(&root).unwrap())
        .suite(caution_sdk::Suite::X25519)
}

async fn get(client: &Client, path: &str) -> String {
    let mut response = client.get(path).send().await.unwrap();
    response.text(1000).await.unwrap()
}

/// What the app says to an order.
fn order(running: &Running, order: &str) -> String {
    let mut stream = running.connect(8001);
    writeln!(stream, "{order}").unwrap();
    let mut said = String::new();
    // An app that exits says nothing.
    let _ = stream.read_to_string(&mut said);
    said
}

/// The response to a request without encryption.
fn plain(running: &Running, line: &str) -> String {
    let mut stream = running.connect(APP);
    write!(stream, "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[tokio::test]
async fn an_app_behind_encryption_is_reached_by_it_alone_and_an_app_that_is_root_cannot_change_that() {
    let place = Place::new();
    let eif = besieger("besieger.eif", |_| {});
    let mut running = Running::ready(&place.dirs, &encrypted(&eif, 0));
    let port = running.host_port(APP);

    let old = client(&place, &running).connect().await.unwrap();
    assert_eq!(get(&old, "/one").await, "STEVE /one");
    let fresh = client(&place, &running).fresh_evidence().connect().await.unwrap();
    assert_eq!(get(&fresh, "/two").await, "STEVE /two");
    let session = old.receipt().await.unwrap().session_id;

    let refused = plain(&running, "POST /x");
    assert!(
        refused.starts_with("HTTP/1.1 403 ") && refused.contains(r#"{"error":"e2e_required"}"#),
        "{refused}"
    );
    assert!(refused.to_ascii_lowercase().contains("cache-control: no-store\r\n"), "{refused}");
    assert!(plain(&running, "GET /").ends_with("plain /"));
    let health = plain(&running, "GET /.well-known/caution/health");
    assert!(health.starts_with("HTTP/1.1 200 ") && health.contains(r#""phase":"ready""#), "{health}");

    assert_eq!(order(&running, "besiege"), "done\n");
    assert_eq!(get(&old, "/three").await, "STEVE /three");

    assert_eq!(order(&running, "massacre"), "");
    running.wait_for(|event| matches!(event, HostEvent::Enclave(Event::AppExit { .. })));
    running.wait_for(|event| matches!(event, HostEvent::Enclave(Event::Phase { phase: Phase::Ready, .. })));
    assert_eq!(get(&old, "/four").await, "STEVE /four");
    assert_eq!(old.receipt().await.unwrap().session_id, session, "the same session");
    running.stop().unwrap();

    let running = Running::ready(&place.dirs, &encrypted(&eif, port));
    // First there is a connection that broke.
    let mut failed = Vec::new();
    while !failed.last().is_some_and(|error: &String| error.contains("session_unknown")) {
        assert!(failed.len() < 3, "{failed:?}");
        failed.push(format!("{:?}", old.get("/five").send().await.map(drop).unwrap_err()));
    }
    assert_eq!(get(&old, "/six").await, "STEVE /six");
    assert_ne!(old.receipt().await.unwrap().session_id, session);
    running.stop().unwrap();
    place.assert_clean();
}

#[tokio::test]
async fn what_is_let_through_without_encryption_is_in_the_evidence() {
    let place = Place::new();
    let eif = besieger("fallback.eif", |e2e| {
        (e2e.plaintext_fallback, e2e.suite) = (true, Suite::Xwing);
    });
    let running = Running::ready(&place.dirs, &encrypted(&eif, 0));
    let builder = || client(&place, &running).suite(caution_sdk::Suite::XWing);
    let refused = builder().connect().await.unwrap_err().to_string();
    let allowed = builder().allow_plaintext_fallback().connect().await.unwrap();
    assert!(allowed.receipt().await.unwrap().plaintext_fallback, "{refused}");
    assert_eq!(get(&allowed, "/x").await, "STEVE /x");
    assert!(plain(&running, "POST /x").ends_with("plain /x"));
    running.stop().unwrap();
    place.assert_clean();
}
