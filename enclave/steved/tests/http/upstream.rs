//! Connections to the app: kept for a session, and never a reason to ask twice.

use crate::app::App;
use crate::client::{Answer, Client, ask, head};
use crate::support::{run, settings};
use caution_steved::{Limits, Protocol, Settings};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Long enough that no test sees its end.
const KEPT: Limits = Limits { upstream_idle: Duration::from_mins(1), ..Limits::DEFAULT };

/// An app that answers so many requests of a connection with `answer`, reads one more, and closes; and how many
/// requests it read.
async fn app(answers: usize, reads_on: bool, answer: &'static str) -> (App, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let app = App::new(move |mut peer| {
        let asked = Arc::clone(&counted);
        async move {
            for _ in 0..answers {
                if !peer.head().await.starts_with("get / ") {
                    return;
                }
                asked.fetch_add(1, Ordering::SeqCst);
                peer.write(answer).await;
            }
            if reads_on {
                peer.head().await;
                asked.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    (app, asked)
}

async fn get(client: &mut Client) -> Answer {
    client.request(&head("GET", "/", &[]), b"", &Vec::new()).await
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_serves_one_session_after_another_request_and_no_other_session() {
    let (app, asked) = app(1000, false, OK).await;
    let steved = run(Settings { limits: KEPT, ..settings(app.address) }).await;
    let mut one = Client::connect(steved.address).await;
    let mut two = Client::connect(steved.address).await;
    for _ in 0..5 {
        for client in [&mut one, &mut two] {
            assert_eq!(get(client).await.content, b"ok");
        }
    }
    assert_eq!((app.connections(), asked.load(Ordering::SeqCst)), (2, 10));

    for limits in [Limits { upstream_idle: Duration::ZERO, ..KEPT }, Limits { upstream_kept: 0, ..KEPT }] {
        let before = app.connections();
        let steved = run(Settings { limits, ..settings(app.address) }).await;
        let mut client = Client::connect(steved.address).await;
        for _ in 0..3 {
            assert_eq!(get(&mut client).await.content, b"ok");
        }
        assert_eq!(app.connections(), before + 3);
    }
    // With one place, whoever was last has it.
    let before = app.connections();
    let steved = run(Settings { limits: Limits { upstream_kept: 1, ..KEPT }, ..settings(app.address) }).await;
    let mut one = Client::connect(steved.address).await;
    let mut two = Client::connect(steved.address).await;
    for client in [&mut one, &mut two] {
        assert_eq!(get(client).await.content, b"ok");
    }
    assert_eq!(get(&mut two).await.content, b"ok");
    assert_eq!(get(&mut one).await.content, b"ok");
    assert_eq!(app.connections(), before + 3);
}

#[tokio::test]
async fn an_app_that_closes_what_waits_is_asked_once_on_another() {
    for answer in [OK, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"] {
        let (app, asked) = app(1, false, answer).await;
        let steved = run(Settings { limits: KEPT, ..settings(app.address) }).await;
        let mut client = Client::connect(steved.address).await;
        for number in 1..20 {
            assert_eq!(get(&mut client).await.content, b"ok");
            assert_eq!((app.connections(), asked.load(Ordering::SeqCst)), (number, number));
        }
    }
}

/// It closes when it has read the request, which may have run: nobody asks again.
#[tokio::test]
async fn an_app_that_closes_at_the_worst_moment_is_not_asked_again() {
    let (app, asked) = app(1, true, OK).await;
    let steved = run(Settings { limits: KEPT, ..settings(app.address) }).await;
    let mut client = Client::connect(steved.address).await;
    for number in 1..20 {
        assert_eq!(get(&mut client).await.content, b"ok");
        assert_eq!(get(&mut client).await.failure(), ("upstream_truncated", true));
        assert_eq!((app.connections(), asked.load(Ordering::SeqCst)), (number, 2 * number));
    }
}

#[tokio::test]
async fn what_an_app_says_too_much_is_nobodys_response() {
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let (app, asked) = app(1000, false, answer).await;
    let steved = run(Settings { limits: KEPT, ..settings(app.address) }).await;
    let mut client = Client::connect(steved.address).await;
    for _ in 0..10 {
        assert_eq!(get(&mut client).await.content, b"ok");
    }
    assert_eq!((app.connections(), asked.load(Ordering::SeqCst)), (10, 10));
}

/// Whoever believed the length would take the beginning of the content for the whole.
#[tokio::test]
async fn a_length_beside_a_coding_does_not_pass() {
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n";
    let (app, _) = app(1000, false, answer).await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let inside = get(&mut client).await;
    assert_eq!((&inside.content[..], &inside.heads[0].fields), (&b"whole"[..], &Vec::new()));
    let page = ask(steved.address, "GET / HTTP/1.1", b"").await;
    assert!(!page.has("content-length: 2"), "{}", page.head);
    assert!(page.body.windows(5).any(|part| part == b"whole"), "{:?}", page.body);
}

#[tokio::test]
async fn what_is_not_read_or_sent_to_its_end_is_not_kept() {
    // Answers before it has read the request.
    let early = App::new(|mut peer| async move {
        peer.head().await;
        peer.write(OK).await;
        peer.rest().await;
    })
    .await;
    let steved = run(Settings { limits: KEPT, ..settings(early.address) }).await;
    let mut client = Client::connect(steved.address).await;
    for number in 1..4 {
        let mut streaming = client.posting().await;
        while !matches!(streaming.next().await.unwrap(), None | Some((_, _, true))) {}
        assert_eq!(early.connections(), number);
    }
}

#[tokio::test]
async fn connections_of_http_2_are_kept_too() {
    let app = App::new(|peer| async move {
        let service = hyper::service::service_fn(async |_| {
            Ok::<_, std::convert::Infallible>(hyper::Response::new("ok".to_owned()))
        });
        let _ = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .serve_connection(hyper_util::rt::TokioIo::new(peer.stream), service)
            .await;
    })
    .await;
    let h2c = Settings { limits: KEPT, protocol: Protocol::H2c, ..settings(app.address) };
    let steved = run(h2c).await;
    let mut client = Client::connect(steved.address).await;
    for _ in 0..5 {
        assert_eq!(get(&mut client).await.content, b"ok");
    }
    assert_eq!(app.connections(), 1);
}
