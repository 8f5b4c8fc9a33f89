//! What limits sessions and exchanges, and what may happen once.

use crate::app::App;
use crate::client::{Client, evidence, fields, greet, head, message, post};
use crate::support::{run, settings};
use caution_steve::{ClientSession, Kind};
use caution_steved::{Limits, Settings};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const HELLO: &str = "application/steve-hello";
const REQUEST: &str = "application/steve-req";

fn get() -> Vec<u8> {
    message(&head("GET", "/", &[]), b"", &fields(&[]))
}

#[tokio::test]
async fn a_hello_is_taken_once_and_only_as_it_was_made() {
    let (app, _) = App::answering(OK).await;
    let steved = run(settings(app.address)).await;
    let client = Client::connect(steved.address).await;
    let again = post(steved.address, "session", HELLO, &client.hello).await;
    assert_eq!(again.problem(), (409, "replay"));
    let key = evidence(steved.address).await;
    let (_, hello) = greet(&key);
    for (at, expected) in [
        (0, (400, "malformed")),
        (1, (422, "key_unknown")),
        (2, (422, "suite_mismatch")),
        (9, (400, "malformed")),
        (hello.len() - 1, (400, "malformed")),
    ] {
        let mut changed = hello.clone();
        changed[at] ^= 1;
        assert_eq!(post(steved.address, "session", HELLO, &changed).await.problem(), expected, "byte {at}");
    }
    assert_eq!(post(steved.address, "session", HELLO, &vec![1; 8193]).await.problem(), (413, "too_large"));
    assert_eq!(post(steved.address, "session", HELLO, &hello[..40]).await.problem(), (400, "malformed"));
    // None of these used the hello up.
    assert_eq!(post(steved.address, "session", HELLO, &hello).await.status, 200);
}

#[tokio::test]
async fn an_exchange_begins_once_and_nobody_connects_to_the_app_before() {
    let (app, _) = App::answering(OK).await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let (bytes, _) = client.sealed(&get());
    for at in [0, 1, 20, 25, 26, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let refused = post(steved.address, "x", REQUEST, &changed).await;
        let expected = if (1..17).contains(&at) { (410, "session_unknown") } else { (400, "malformed") };
        assert_eq!(refused.problem(), expected, "byte {at}");
    }
    for cut in 0..bytes.len() {
        assert_eq!(
            post(steved.address, "x", REQUEST, &bytes[..cut]).await.problem(),
            (400, "malformed"),
            "{cut}"
        );
    }
    assert_eq!(app.connections(), 0);
    assert_eq!(post(steved.address, "x", REQUEST, &bytes).await.status, 200);
    assert_eq!(post(steved.address, "x", REQUEST, &bytes).await.problem(), (409, "replay"));
    assert_eq!(app.connections(), 1);
    // Far ahead, so that the first lies behind the window.
    for _ in 0..4096 {
        client.session.exchange().unwrap();
    }
    let (later, _) = client.sealed(&get());
    assert_eq!(post(steved.address, "x", REQUEST, &later).await.status, 200);
    assert_eq!(post(steved.address, "x", REQUEST, &bytes).await.problem(), (409, "too_old"));
    assert_eq!(app.connections(), 2);
}

#[tokio::test]
async fn the_same_exchange_on_many_connections_reaches_the_app_once() {
    let (app, _) = App::answering(OK).await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let (bytes, _) = client.sealed(&get());
    let asked: Vec<_> = (0..16)
        .map(|_| {
            let (to, bytes) = (steved.address, bytes.clone());
            tokio::spawn(async move { post(to, "x", REQUEST, &bytes).await.status })
        })
        .collect();
    let mut taken = 0;
    for asked in asked {
        let status = asked.await.unwrap();
        assert!(status == 200 || status == 409, "{status}");
        taken += usize::from(status == 200);
    }
    assert_eq!((taken, app.connections()), (1, 1));
}

#[tokio::test]
async fn sessions_end_when_they_are_not_used_and_at_the_end_of_their_life() {
    let (app, _) = App::answering(OK).await;
    let short = Duration::from_millis(1);
    for limits in [Limits { idle: short, ..Limits::DEFAULT }, Limits { lifetime: short, ..Limits::DEFAULT }] {
        let steved = run(Settings { limits, ..settings(app.address) }).await;
        let mut client = Client::connect(steved.address).await;
        let over = loop {
            let (bytes, _) = client.sealed(&get());
            let answer = post(steved.address, "x", REQUEST, &bytes).await;
            if answer.status != 200 {
                break answer;
            }
        };
        assert_eq!(over.problem(), (410, "session_unknown"));
    }
}

#[tokio::test]
async fn without_room_the_session_that_is_idle_longest_gives_way_or_none_does() {
    let (app, _) = App::answering(OK).await;
    let limits = Limits { sessions: 2, ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let key = evidence(steved.address).await;
    for _ in 0..2 {
        Client::with(steved.address, &key).await;
    }
    let (_, hello) = greet(&key);
    let refused = post(steved.address, "session", HELLO, &hello).await;
    assert_eq!(refused.problem(), (503, "busy"));
    assert!(refused.has("retry-after: 1"));

    let limits = Limits { give_way: Duration::ZERO, ..limits };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let key = evidence(steved.address).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::with(steved.address, &key).await);
    }
    let mut statuses = Vec::new();
    for client in &mut clients {
        let (bytes, _) = client.sealed(&get());
        statuses.push(post(steved.address, "x", REQUEST, &bytes).await.status);
    }
    assert_eq!(statuses, [410, 200, 200]);
}

#[tokio::test]
async fn a_session_has_so_many_exchanges_at_a_time() {
    let app = App::new(|mut peer| async move {
        peer.head().await;
        peer.rest().await;
    })
    .await;
    let limits = Limits { concurrency: 2, ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let mut client = Client::connect(steved.address).await;
    assert_eq!(client.session.session().limits().concurrency, 2);
    let mut running = Vec::new();
    for _ in 0..2 {
        let streaming = client.posting().await;
        running.push(streaming);
    }
    let busy = client.request(&head("GET", "/", &[]), b"", &Vec::new()).await;
    assert_eq!(busy.failure(), ("busy", false));
    assert_eq!(busy.error.unwrap().retry_after_s, Some(1));
    drop(running.pop());
    // Its client went away, which takes the server a moment to see.
    let mut streaming = loop {
        let mut streaming = client.posting().await;
        let next = tokio::time::timeout(Duration::from_millis(200), streaming.next()).await;
        match next {
            Err(_) => break streaming,
            Ok(next) => assert_eq!(next.unwrap().unwrap().0, Kind::Error),
        }
    };
    streaming.end().await;
}

#[test]
fn both_ends_of_a_session_may_move_between_threads() {
    fn moves<T: Send + Sync>() {}
    moves::<ClientSession>();
    moves::<caution_steved::Steved>();
}
