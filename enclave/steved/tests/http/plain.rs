//! Requests without encryption.

use crate::app::App;
use crate::client::{Client, ask, head};
use crate::support::{run, settings};
use caution_steved::Limits;
use std::time::Duration;

const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\netag: \"1\"\r\n\r\npage";

#[tokio::test]
async fn without_encryption_nothing_reaches_the_app_but_what_a_page_begins_with() {
    let (app, mut heard) = App::answering(PAGE).await;
    let steved = run(settings(app.address)).await;
    for request in
        ["GET /x", "POST /", "GET /?a=b", "DELETE /register.js", "PUT /x", "GET /index.html", "OPTIONS *"]
    {
        let refused = ask(steved.address, &format!("{request} HTTP/1.1"), b"").await;
        assert_eq!(
            (refused.status, &refused.body[..]),
            (403, &br#"{"error":"e2e_required"}"#[..]),
            "{request}"
        );
        assert!(refused.has("cache-control: no-store") && refused.has("content-type: application/json"));
    }
    assert_eq!(app.connections(), 0);

    for path in ["/", "/enclave-sw.js", "/register.js", "/attestation-widget.js"] {
        let fields = "cookie: secret\r\nauthorization: secret\r\nx-enclave-e2e: v=3\r\nx-secret: secret\r\naccept: text/html";
        let page = ask(steved.address, &format!("GET {path} HTTP/1.1\r\n{fields}"), b"secret").await;
        assert_eq!((page.status, &page.body[..]), (200, &b"page"[..]));
        assert!(page.has("etag: \"1\""));
        let said = heard.recv().await.unwrap();
        assert!(
            said.starts_with(&format!("get {path} http/1.1\r\n")) && said.contains("accept: text/html"),
            "{said}"
        );
        for hidden in ["secret", "x-enclave", "content-length", "transfer-encoding"] {
            assert!(!said.contains(hidden), "{said}");
        }
    }
}

#[tokio::test]
async fn evidence_and_health_are_the_platforms() {
    let (app, _) = App::answering(PAGE).await;
    let platform = App::answering("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nplatform").await;
    let steved =
        run(caution_steved::Settings { platform: platform.0.address, ..settings(app.address) }).await;
    for request in ["POST /attestation", "GET /.well-known/caution/health"] {
        assert_eq!(ask(steved.address, &format!("{request} HTTP/1.1"), b"{}").await.body, b"platform");
    }
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn with_the_fallback_requests_reach_the_app_and_do_not_pass_for_encrypted_ones() {
    let (app, mut heard) = App::answering(PAGE).await;
    let steved = run(caution_steved::Settings { plaintext_fallback: true, ..settings(app.address) }).await;
    let fields = "x-enclave-e2e: v=3\r\nx_enclave_e2e: v=3\r\nx-forwarded-for: 1.2.3.4\r\nx-mine: 1";
    let answer = ask(steved.address, &format!("PUT /x?y HTTP/1.1\r\n{fields}"), b"body").await;
    assert_eq!(answer.status, 200);
    let said = heard.recv().await.unwrap();
    assert!(
        said.starts_with("put /x?y ") && said.contains("x-mine: 1") && !said.contains("x-forwarded"),
        "{said}"
    );
    assert!(!said.contains("enclave"), "{said}");

    let mut client = Client::connect(steved.address).await;
    client.request(&head("GET", "/x", &[]), b"", &Vec::new()).await;
    assert!(heard.recv().await.unwrap().contains("x-enclave-e2e: v=3; suite=x25519\r\n"));
}

#[tokio::test]
async fn an_app_that_does_not_answer_a_page_in_time_is_left() {
    let app = App::new(|mut peer| async move {
        peer.rest().await;
    })
    .await;
    let limits = Limits { exchange: Duration::from_millis(100), ..Limits::DEFAULT };
    let steved = run(caution_steved::Settings { limits, ..settings(app.address) }).await;
    assert_eq!(ask(steved.address, "GET / HTTP/1.1", b"").await.status, 502);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let steved = run(caution_steved::Settings { app: closed, ..settings(app.address) }).await;
    assert_eq!(ask(steved.address, "GET / HTTP/1.1", b"").await.problem(), (503, "busy"));
}

#[tokio::test]
async fn who_comes_when_there_is_no_room_waits_for_who_is_there() {
    let (app, _heard) = App::answering(PAGE).await;
    let limits = Limits { connections: 1, ..Limits::DEFAULT };
    let steved = run(caution_steved::Settings { limits, ..settings(app.address) }).await;
    let mut first = tokio::net::TcpStream::connect(steved.address).await.unwrap();
    // Answered, so that it has the one place, and kept open.
    tokio::io::AsyncWriteExt::write_all(&mut first, b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut first = crate::app::Peer::new(first);
    first.until(b"e2e_required\"}").await;
    let second = ask(steved.address, "GET /x HTTP/1.1", b"");
    let mut second = std::pin::pin!(second);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut second).await.is_err());
    drop(first);
    assert_eq!(second.await.status, 403);
}
