//! Version 2 over HTTP: its own client, written from the page, and what an attacker sends.

use crate::app::App;
use crate::client::{Outer, ask};
use crate::support::{Running, run, settings};
use caution_abi::evidence::UserData;
use caution_steve::http::Fields;
use caution_steve::v2::{Client, ClientRandom, ClientSession, Response};
use caution_steve::{EpochClaims, Suite};
use caution_steved::{Limits, Settings};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 2\r\n\r\nhi";

pub(crate) fn with_v2(app: SocketAddr) -> Settings {
    Settings { steve_v2: true, ..settings(app) }
}

pub(crate) async fn post(to: SocketAddr, path: &str, body: &[u8]) -> Outer {
    ask(to, &format!("POST /e2p/v2/{path} HTTP/1.1\r\ncontent-type: application/cbor"), body).await
}

fn start(suite: Suite) -> (Client, Vec<u8>) {
    static SEED: AtomicU8 = AtomicU8::new(1);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    let random = ClientRandom { key: [seed; 32].into(), nonce: [seed; 32] };
    Client::start(suite, [7; 32], &random)
}

/// A session whose document says what it has to, not confirmed.
pub(crate) async fn begin(to: SocketAddr, suite: Suite) -> ClientSession {
    let (client, request) = start(suite);
    let answer = post(to, "session", &request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer.has("content-type: application/cbor") && answer.has("cache-control: no-store, no-transform")
    );
    let unverified = client.finish(&answer.body).unwrap();
    assert_eq!(unverified.expires_in_s, 1800);
    // What a test's document is: the claims, and then the nonce.
    let document = unverified.document.clone();
    let (claims, nonce) = document.split_last_chunk::<32>().unwrap();
    assert_eq!(*nonce, unverified.nonce);
    assert!(UserData::from_bytes(claims).is_err() && EpochClaims::from_bytes(claims).is_none());
    unverified.verified(claims).unwrap()
}

pub(crate) async fn connect(to: SocketAddr, suite: Suite) -> ClientSession {
    let mut session = begin(to, suite).await;
    let answer = post(to, "confirm", &session.confirmation()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    session.confirmed(&answer.body).unwrap();
    session
}

async fn request(steved: &Running, session: &mut ClientSession, path: &str) -> (Response, Vec<u8>) {
    let (sequence, sealed) = session.request("GET", path, &Fields::new(), None).unwrap();
    let answer = post(steved.address, "request", &sealed).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    session.response(sequence, answer.body).unwrap()
}

/// The error inside.
fn code((response, _): (Response, Vec<u8>)) -> String {
    match response {
        Response::Error(code) => code,
        Response::App { .. } => panic!("{response:?}"),
    }
}

#[tokio::test]
async fn a_request_reaches_the_app_and_its_response_comes_back() {
    let (app, mut heard) = App::answering(OK).await;
    for suite in Suite::ALL {
        let steved = run(Settings { suite, ..with_v2(app.address) }).await;
        let mut session = connect(steved.address, suite).await;
        let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let fields = vec![field("X-Name", "b"), field("x-enclave-e2e", "v=9"), field("X_Forwarded-For", "1")];
        let (sequence, sealed) = session.request("POST", "/a?b", &fields, Some(b"body")).unwrap();
        let answer = post(steved.address, "request", &sealed).await;
        let (response, body) = session.response(sequence, answer.body).unwrap();
        let Response::App { status, fields, .. } = response else { panic!("{response:?}") };
        let cookies: Vec<_> = fields.iter().filter(|(name, _)| name == "set-cookie").collect();
        assert_eq!((status, cookies.len(), &body[..]), (200, 2, &b"hi"[..]));
        let said = heard.recv().await.unwrap();
        assert!(said.starts_with("post /a?b http/1.1\r\n"), "{said}");
        let marker = format!("x-enclave-e2e: v=2; suite={suite}");
        for line in [&marker[..], "x-name: b", "content-length: 4", "host: localhost"] {
            assert!(said.lines().any(|it| it == line), "{line} in {said}");
        }
        assert!(!said.contains("forwarded") && !said.contains("v=9"), "{said}");
    }
}

#[tokio::test]
async fn version_2_is_off_unless_the_deployment_says_so() {
    let (app, _heard) = App::answering(OK).await;
    let steved = run(settings(app.address)).await;
    for path in ["session", "confirm", "request", "x"] {
        let refused = post(steved.address, path, &start(Suite::X25519).1).await;
        assert_eq!((refused.status, &refused.body[..]), (403, &br#"{"error":"e2e_required"}"#[..]));
    }
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn what_an_attacker_sends_of_version_2_is_refused_by_name_and_never_reaches_the_app() {
    let (app, mut heard) = App::answering(OK).await;
    let steved = run(with_v2(app.address)).await;
    let to = steved.address;
    let mut early = begin(to, Suite::X25519).await;
    let confirmation = early.confirmation();
    let confirmed = post(to, "confirm", &confirmation).await;
    early.confirmed(&confirmed.body).unwrap();
    // A confirmation again, which the first client has to give its session up for.
    assert_eq!(post(to, "confirm", &confirmation).await.problem(), (409, "replay"));
    let other = begin(to, Suite::X25519).await;
    // Before its own confirmation, under its own name, a request of nobody.
    let unconfirmed = rename(&early.request("GET", "/", &Fields::new(), None).unwrap().1, &early, &other);
    assert_eq!(post(to, "request", &unconfirmed).await.problem(), (425, "not_confirmed"));
    let stranger = rename(&other.confirmation(), &other, &early);
    assert_eq!(post(to, "confirm", &stranger).await.problem(), (400, "malformed"));
    post(to, "confirm", &other.confirmation()).await;
    assert_eq!(post(to, "request", &unconfirmed).await.problem(), (400, "malformed"));
    assert_eq!(app.connections(), 0);

    let (sequence, sealed) = early.request("GET", "/x", &Fields::new(), None).unwrap();
    let answer = post(to, "request", &sealed).await;
    assert!(early.response(sequence, answer.body).is_ok());
    heard.recv().await.unwrap();
    assert_eq!(post(to, "request", &sealed).await.problem(), (409, "replay"));
    for _ in 0..64 {
        early.request("GET", "/x", &Fields::new(), None).unwrap();
    }
    let newest = early.request("GET", "/x", &Fields::new(), None).unwrap().1;
    assert_eq!(post(to, "request", &newest).await.status, 200);
    assert_eq!(post(to, "request", &sealed).await.problem(), (409, "too_old"));
    assert_eq!(app.connections(), 2);

    for path in ["session", "confirm", "request"] {
        for body in [&b""[..], b"\xa0", b"\x18\x00", &[0x81; 100], b"\xa1\x67version\x02"] {
            assert_eq!(post(to, path, body).await.problem(), (400, "malformed"), "{path} {body:?}");
        }
        let typed = format!("POST /e2p/v2/{path} HTTP/1.1\r\ncontent-type: text/plain");
        assert_eq!(ask(to, &typed, &confirmation).await.problem(), (400, "malformed"));
        assert_eq!(ask(to, &format!("GET /e2p/v2/{path} HTTP/1.1"), b"").await.status, 405);
    }
    for path in ["session", "confirm"] {
        assert_eq!(post(to, path, &[0; 4097]).await.problem(), (413, "too_large"));
    }
    assert_eq!(post(to, "", b"").await.problem(), (404, "not_found"));
    let suite = post(to, "session", &start(Suite::XWing).1).await;
    assert_eq!(suite.problem(), (400, "suite_mismatch"));
    let gone = rename(&confirmation, &early, &unknown());
    assert_eq!(post(to, "confirm", &gone).await.problem(), (401, "session_unknown"));
}

/// A session that no server has.
pub(crate) fn unknown() -> ClientSession {
    let (client, request) = start(Suite::X25519);
    let random = caution_steve::v2::ServerRandom { key: [3; 64].into(), session: [0xee; 16] };
    let offer = caution_steve::v2::Offer::new(Suite::X25519, &request, &random).unwrap();
    let claims = offer.claims().to_bytes();
    client.finish(&offer.answer(Vec::new(), 1).1).unwrap().verified(&claims).unwrap()
}

/// An envelope with another session's name on it.
pub(crate) fn rename(envelope: &[u8], from: &ClientSession, to: &ClientSession) -> Vec<u8> {
    let at = envelope.windows(16).position(|window| window == from.id().0).unwrap();
    [&envelope[..at], &to.id().0, &envelope[at + 16..]].concat()
}

#[tokio::test]
async fn each_session_costs_a_document_and_they_are_few() {
    let (app, _heard) = App::answering(OK).await;
    let steved = run(with_v2(app.address)).await;
    let before = steved.enclave.documents.load(Ordering::Relaxed);
    // What is refused costs none.
    assert_eq!(post(steved.address, "session", b"\xa0").await.status, 400);
    assert_eq!(steved.enclave.documents.load(Ordering::Relaxed), before);
    let mut refused = None;
    for _ in 0..20 {
        let answer = post(steved.address, "session", &start(Suite::X25519).1).await;
        if answer.status != 200 {
            refused = Some(answer);
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.problem(), (429, "rate"));
    assert!(refused.has("retry-after: 1"));
    // As many as clients' nonces get, out of the same number.
    assert!(steved.enclave.documents.load(Ordering::Relaxed) < before + 20);
}

#[tokio::test]
async fn what_happens_behind_the_tunnel_is_said_inside() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let steved = run(with_v2(closed)).await;
    let mut session = connect(steved.address, Suite::X25519).await;
    assert_eq!(code(request(&steved, &mut session, "/").await), "upstream_unavailable");
    for path in ["/attestation", "/.well-known/steve/x", "//.well-known/caution/health"] {
        assert_eq!(code(request(&steved, &mut session, path).await), "head_invalid");
    }
    let (app, _heard) =
        App::answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\ncut").await;
    let steved = run(with_v2(app.address)).await;
    let mut session = connect(steved.address, Suite::X25519).await;
    assert_eq!(code(request(&steved, &mut session, "/").await), "upstream_truncated");
    let app = App::new(|mut peer| async move {
        peer.rest().await;
    })
    .await;
    let limits = Limits { request: Duration::from_millis(200), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..with_v2(app.address) }).await;
    let mut session = connect(steved.address, Suite::X25519).await;
    assert_eq!(code(request(&steved, &mut session, "/").await), "upstream_timeout");
}

#[tokio::test]
async fn what_is_whole_in_memory_is_bounded() {
    let app = App::new(|mut peer| async move {
        let length = if peer.head().await.starts_with("get /much") { 100_000 } else { 50_000 };
        let content = "x".repeat(length);
        peer.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{content}")).await;
    })
    .await;
    let limits = Limits { held: 65_536, ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..with_v2(app.address) }).await;
    let mut session = connect(steved.address, Suite::X25519).await;
    assert_eq!(code(request(&steved, &mut session, "/much").await), "busy");
    let (_, sealed) = session.request("POST", "/", &Fields::new(), Some(&vec![0; 70_000])).unwrap();
    assert_eq!(post(steved.address, "request", &sealed).await.problem(), (503, "busy"));
    // What was taken is given back: of 64 KiB each of these needs 49.
    for _ in 0..3 {
        let (response, body) = request(&steved, &mut session, "/").await;
        assert!(matches!(response, Response::App { status: 200, .. }), "{response:?}");
        assert_eq!(body.len(), 50_000);
    }
}

#[tokio::test]
async fn sessions_end_unless_they_are_confirmed_in_time() {
    let (app, _heard) = App::answering(OK).await;
    let limits = Limits { patience: Duration::from_millis(50), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..with_v2(app.address) }).await;
    let session = begin(steved.address, Suite::X25519).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let late = post(steved.address, "confirm", &session.confirmation()).await;
    assert_eq!(late.problem(), (401, "session_unknown"));
    let limits = Limits { lifetime: Duration::from_millis(50), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..with_v2(app.address) }).await;
    let (client, asked) = start(Suite::X25519);
    let answer = post(steved.address, "session", &asked).await;
    let unverified = client.finish(&answer.body).unwrap();
    let document = unverified.document.clone();
    let mut session = unverified.verified(document.split_last_chunk::<32>().unwrap().0).unwrap();
    let answer = post(steved.address, "confirm", &session.confirmation()).await;
    session.confirmed(&answer.body).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let (_, sealed) = session.request("GET", "/", &Fields::new(), None).unwrap();
    assert_eq!(post(steved.address, "request", &sealed).await.problem(), (401, "session_unknown"));
}

#[tokio::test]
async fn pages_of_the_named_origins_may_ask_by_version_2_and_no_others() {
    let (app, _heard) = App::answering(OK).await;
    let steved = run(with_v2(app.address)).await;
    let asks = "access-control-request-method: POST";
    for (origin, status) in [("https://page.example", 204), ("https://page.example.evil", 403), ("null", 403)]
    {
        let preflight = format!("OPTIONS /e2p/v2/request HTTP/1.1\r\norigin: {origin}\r\n{asks}");
        let answer = ask(steved.address, &preflight, b"").await;
        assert_eq!(answer.status, status);
        let request =
            format!("POST /e2p/v2/session HTTP/1.1\r\ncontent-type: application/cbor\r\norigin: {origin}");
        let answer = ask(steved.address, &request, &start(Suite::X25519).1).await;
        let allowed = answer.has(&format!("access-control-allow-origin: {origin}"));
        assert_eq!((allowed, answer.has("vary: origin")), (status == 204, true));
    }
}
