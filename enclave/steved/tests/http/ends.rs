//! How an exchange ends when something breaks, or takes too long.

use crate::app::App;
use crate::client::{Client, head};
use crate::support::{run, settings};
use caution_steve::http::Part;
use caution_steve::{Kind, SealedError};
use caution_steved::{Limits, Settings};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::test]
async fn a_request_that_is_cut_never_ends_for_the_app() {
    for wrongly in [false, true] {
        let (said, mut heard) = mpsc::unbounded_channel();
        let app = App::new(move |mut peer| {
            let said = said.clone();
            async move {
                peer.head().await;
                let mut chunks = Vec::new();
                while let Some(chunk) = peer.chunk().await {
                    chunks.push(chunk);
                }
                said.send(chunks).unwrap();
            }
        })
        .await;
        let steved = run(settings(app.address)).await;
        let mut client = Client::connect(steved.address).await;
        let mut streaming = client.posting().await;
        streaming.content(b"half").await;
        if wrongly {
            // The outer body ends as it should, and the inner one does not.
            tokio::io::AsyncWriteExt::write_all(&mut streaming.peer.stream, b"0\r\n\r\n").await.unwrap();
            let (kind, content, last) = streaming.next().await.unwrap().unwrap();
            let error = SealedError::from_bytes(&content).unwrap();
            assert_eq!((kind, error.code.name(), error.executed, last), (Kind::Error, "reset", true, true));
        } else {
            drop(streaming);
        }
        let chunks = heard.recv().await.unwrap();
        // Without the empty chunk that would end it.
        assert!(chunks.is_empty() || chunks == [b"half".to_vec()], "{chunks:?}");
    }
}

#[tokio::test]
async fn a_response_that_the_app_cuts_is_an_error_and_never_a_short_success() {
    for response in [
        "",
        "HTTP/1.1 200",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let (app, _heard) = App::answering(response).await;
        let steved = run(settings(app.address)).await;
        let mut client = Client::connect(steved.address).await;
        let answer = client.request(&head("GET", "/", &[]), b"", &Vec::new()).await;
        assert_eq!(answer.failure(), ("upstream_truncated", true), "{response:?}");
        assert_eq!(answer.trailers, None);
    }
}

#[tokio::test]
async fn an_exchange_that_lasts_too_long_is_told_so_inside() {
    let app = App::new(|mut peer| async move {
        peer.head().await;
        peer.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
        peer.rest().await;
    })
    .await;
    let limits = Limits { exchange: Duration::from_millis(300), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let mut client = Client::connect(steved.address).await;
    let mut streaming = client.posting().await;
    assert!(matches!(streaming.part().await, Part::Response(_)));
    assert_eq!(streaming.part().await, Part::Content(b"half".to_vec()));
    let (kind, content, last) = streaming.next().await.unwrap().unwrap();
    let error = SealedError::from_bytes(&content).unwrap();
    assert_eq!(
        (kind, error.code.name(), error.executed, last),
        (Kind::Error, "upstream_timeout", true, true)
    );
}

#[tokio::test]
async fn when_the_client_goes_away_so_does_the_connection_to_the_app() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = App::new(move |mut peer| {
        let said = said.clone();
        async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n").await;
            peer.rest().await;
            said.send(()).unwrap();
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let mut streaming = client.posting().await;
    streaming.part().await;
    assert!(heard.try_recv().is_err());
    drop(streaming);
    heard.recv().await.unwrap();
}

#[tokio::test]
async fn who_is_waited_for_after_a_head_hears_that_somebody_is_there() {
    let (app, _) = App::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let limits = Limits { silence: Duration::from_millis(100), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let mut streaming = Client::connect(steved.address).await.stream().await;
    streaming.head(&head("GET", "/", &[])).await;
    streaming.outer().await;
    let heard = timeout(Duration::from_secs(5), streaming.next()).await.unwrap();
    assert!(matches!(heard, Ok(Some((Kind::Pad, _, false)))), "{heard:?}");
    assert_eq!(app.connections(), 0);
}
