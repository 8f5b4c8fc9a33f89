//! Keys, their evidence, and who may ask from which page.

use crate::app::App;
use crate::client::{Client, ask, attested, evidence, greet, post};
use crate::support::{run, settings};
use caution_steve::Suite;
use caution_steved::{Limits, Settings};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn evidence_costs_a_document_an_epoch_and_one_for_each_nonce() {
    let (app, _) = App::answering(OK).await;
    for suite in Suite::ALL {
        let steved = run(Settings { suite, ..settings(app.address) }).await;
        for method in ["GET", "GET", "HEAD"] {
            let request = format!("{method} /.well-known/steve/evidence HTTP/1.1");
            let bundle = ask(steved.address, &request, b"").await;
            assert!(bundle.has("content-type: application/cbor"));
            assert!(bundle.has("cache-control: public, max-age=60, no-transform"));
            assert_eq!(bundle.body.is_empty(), method == "HEAD");
            if method == "GET" {
                let (key, claims, nonce) = attested(&bundle.body);
                assert_eq!((key.config.suite, &nonce[..]), (suite, &b""[..]));
                assert_eq!(claims.not_after_ms - claims.not_before_ms, 1_200_000);
            }
        }
        assert_eq!(steved.enclave.documents.load(Ordering::Relaxed), 1);

        let fresh = post(steved.address, "evidence", "application/octet-stream", &[9; 32]).await;
        assert!(fresh.has("cache-control: no-store, no-transform"));
        assert_eq!(attested(&fresh.body).2, [9; 32]);
        for nonce in [&[9; 31][..], &[9; 33], b""] {
            let refused = post(steved.address, "evidence", "application/octet-stream", nonce).await;
            assert_eq!(refused.problem(), (400, "malformed"));
        }
        Client::connect(steved.address).await;
    }
}

#[tokio::test]
async fn fresh_documents_are_few() {
    let (app, _) = App::answering(OK).await;
    let steved = run(settings(app.address)).await;
    let mut refused = None;
    for _ in 0..20 {
        let fresh = post(steved.address, "evidence", "application/octet-stream", &[9; 32]).await;
        if fresh.status != 200 {
            refused = Some(fresh);
        }
    }
    let refused = refused.unwrap();
    assert_eq!(refused.problem(), (429, "rate"));
    assert!(refused.has("retry-after: 1"));
}

#[tokio::test]
async fn a_key_is_accepted_for_two_epochs_and_then_gone() {
    let (app, _) = App::answering(OK).await;
    let limits = Limits { epoch: Duration::from_millis(700), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let first = evidence(steved.address).await;
    let second = loop {
        let key = evidence(steved.address).await;
        if key != first {
            break key;
        }
        tokio::task::yield_now().await;
    };
    assert_ne!(first.config.key_id, second.config.key_id);
    Client::with(steved.address, &first).await;
    Client::with(steved.address, &second).await;
    let gone = loop {
        let (_, hello) = greet(&first);
        let answer = post(steved.address, "session", "application/steve-hello", &hello).await;
        if answer.status != 200 {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(gone.problem(), (422, "key_unknown"));
}

#[tokio::test]
async fn evidence_that_fails_is_asked_for_again_while_the_last_is_good_and_then_nothing_is_served() {
    let (app, _) = App::answering(OK).await;
    let limits = Limits {
        epoch: Duration::from_secs(1),
        again: Duration::from_millis(20),
        without_evidence: Duration::from_millis(200),
        ..Limits::DEFAULT
    };
    let mut steved = run(Settings { limits, ..settings(app.address) }).await;
    let enclave = Arc::clone(&steved.enclave);
    let first = evidence(steved.address).await;
    *enclave.refuses.lock().unwrap() = Some(ErrorKind::Other);
    while enclave.refused.load(Ordering::Relaxed) < 3 {
        tokio::task::yield_now().await;
    }
    // The evidence that there is is good for another epoch.
    Client::with(steved.address, &first).await;
    *enclave.refuses.lock().unwrap() = None;
    while evidence(steved.address).await == first {
        tokio::task::yield_now().await;
    }
    *enclave.refuses.lock().unwrap() = Some(ErrorKind::Other);
    let (from, refused) = (Instant::now(), enclave.refused.load(Ordering::Relaxed));
    assert_eq!(steved.end().await.to_string(), "the module is asleep");
    // Two epochs and a moment after the last key, of which one epoch passed at most.
    assert!(from.elapsed() >= Duration::from_millis(1100), "{:?}", from.elapsed());
    assert!(enclave.refused.load(Ordering::Relaxed) > refused + 3);

    // Where there is nobody to ask it ends at once.
    let mut steved = run(Settings { limits, ..settings(app.address) }).await;
    *steved.enclave.refuses.lock().unwrap() = Some(ErrorKind::UnexpectedEof);
    steved.end().await;
    assert_eq!(steved.enclave.refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn pages_of_the_named_origins_may_ask_and_no_others() {
    let (app, _) = App::answering(OK).await;
    let steved = run(settings(app.address)).await;
    let get = |origin: &str| format!("GET /.well-known/steve/evidence HTTP/1.1\r\norigin: {origin}");
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /.well-known/steve/x HTTP/1.1\r\norigin: {origin}\r\naccess-control-request-method: POST"
        )
    };
    let allowed = ask(steved.address, &get("https://page.example"), b"").await;
    assert!(allowed.has("access-control-allow-origin: https://page.example") && allowed.has("vary: origin"));
    assert!(!allowed.head.contains("credentials"));
    let allowed = ask(steved.address, &preflight("https://page.example"), b"").await;
    assert_eq!(allowed.status, 204);
    for line in [
        "access-control-allow-origin: https://page.example",
        "access-control-allow-methods: get, post",
        "access-control-allow-headers: content-type, incremental",
        "access-control-max-age: 7200",
        "vary: origin",
    ] {
        assert!(allowed.has(line), "{allowed:?}");
    }
    for other in ["null", "https://page.example.org", "http://page.example", "https://page.example:444", "*"]
    {
        let answer = ask(steved.address, &get(other), b"").await;
        assert_eq!(answer.status, 200);
        assert!(!answer.head.contains("access-control") && answer.has("vary: origin"), "{answer:?}");
        let answer = ask(steved.address, &preflight(other), b"").await;
        assert_eq!(answer.status, 403);
        assert!(!answer.head.contains("access-control"), "{answer:?}");
    }
}

#[tokio::test]
async fn paths_methods_and_types_are_exact() {
    let (app, _) = App::answering(OK).await;
    let steved = run(Settings { plaintext_fallback: true, ..settings(app.address) }).await;
    for path in ["", "evidence/", "evidence?x", "X", "x?r=1", "session/../x", "%78", "ws/"] {
        let answer = ask(steved.address, &format!("POST /.well-known/steve/{path} HTTP/1.1"), b"").await;
        assert_eq!(answer.problem(), (404, "not_found"), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "x", "allow: post, options"),
        ("PUT", "session", "allow: post, options"),
        ("POST", "ws", "allow: get, options"),
        ("DELETE", "evidence", "allow: get, head, post, options"),
    ] {
        let answer = ask(steved.address, &format!("{method} /.well-known/steve/{path} HTTP/1.1"), b"").await;
        assert!(answer.status == 405 && answer.has(allow), "{answer:?}");
    }
    for path in ["x", "session", "evidence"] {
        let answer = post(steved.address, path, "text/plain", &[0; 32]).await;
        assert_eq!(answer.problem(), (400, "malformed"), "{path}");
    }
    assert_eq!(app.connections(), 0);
}
