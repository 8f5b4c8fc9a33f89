//! Who keeps a connection waiting, and who gives way to whom.

use crate::app::{App, Peer};
use crate::client::{Client, Streaming, head};
use crate::socket::{Tunnel, app, echo};
use crate::support::{Running, run, settings};
use caution_steve::Kind;
use caution_steve::http::Part;
use caution_steved::{Limits, Settings};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

const BEGUN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n";

/// Who stalls is left soon, and there is place for so many.
fn with(app: std::net::SocketAddr, stalled: Duration, connections: usize) -> Settings {
    let patience = Duration::from_millis(400);
    let limits = Limits { stalled, connections, patience, ..Limits::DEFAULT };
    Settings { limits, ..settings(app) }
}

/// An app that says when its connection is gone: with each request it floods, sends an event in a while, or waits.
async fn an_app() -> (App, mpsc::UnboundedReceiver<&'static str>) {
    let (said, heard) = mpsc::unbounded_channel();
    let app = App::new(move |mut peer| {
        let said = said.clone();
        async move {
            let asked = peer.head().await;
            if asked.starts_with("get /flood ") {
                peer.write("HTTP/1.1 200 OK\r\n\r\n").await;
                let mut flood = pin!(async { while peer.stream.write_all(&[b'x'; 4096]).await.is_ok() {} });
                // Long enough for whatever is between it and who does not read.
                if timeout(Duration::from_secs(1), &mut flood).await.is_err() {
                    let _ = said.send("full");
                    flood.await;
                }
                let _ = said.send("flood");
            } else if asked.starts_with("get /events ") {
                peer.write(BEGUN).await;
                while peer.stream.write_all(b"1\r\nx\r\n").await.is_ok() {
                    sleep(Duration::from_millis(50)).await;
                }
                let _ = said.send("events");
            } else if asked.starts_with("get /late ") {
                sleep(Duration::from_millis(900)).await;
                peer.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            } else {
                peer.write(BEGUN).await;
                peer.rest().await;
                let _ = said.send("upload");
            }
        }
    })
    .await;
    (app, heard)
}

/// A GET whose response has begun.
async fn getting(steved: &Running, path: &str) -> Streaming {
    let mut streaming = Client::connect(steved.address).await.stream().await;
    streaming.head(&head("GET", path, &[])).await;
    streaming.end().await;
    streaming.outer().await;
    streaming
}

async fn event(streaming: &mut Streaming) {
    let part = streaming.part().await;
    assert!(matches!(part, Part::Response(_) | Part::Content(_)), "{part:?}");
}

#[tokio::test]
async fn who_takes_nothing_or_sends_nothing_for_long_is_left() {
    let (app, mut heard) = an_app().await;
    let steved = run(with(app.address, Duration::from_millis(1500), 100)).await;
    let flooded = getting(&steved, "/flood").await;
    assert_eq!(heard.recv().await, Some("full"));
    assert_eq!(heard.recv().await, Some("flood"));
    let mut upload = Client::connect(steved.address).await.posting().await;
    upload.content(b"half").await;
    assert_eq!(heard.recv().await, Some("upload"));
    drop((flooded, upload));
}

#[tokio::test]
async fn who_waits_for_the_app_stays_however_long_that_takes() {
    let (http, mut heard) = an_app().await;
    let steved = run(with(http.address, Duration::from_millis(300), 100)).await;
    let mut events = getting(&steved, "/events").await;
    let mut client = Client::connect(steved.address).await;
    let answer = client.request(&head("GET", "/late", &[]), b"", &Vec::new()).await;
    assert_eq!(answer.heads[0].status, 200);
    for _ in 0..20 {
        event(&mut events).await;
    }
    // A client that sends something now and then, if only pads, goes on with what it sends.
    let mut upload = Client::connect(steved.address).await.posting().await;
    for _ in 0..10 {
        upload.record(b"", false).await;
        sleep(Duration::from_millis(60)).await;
    }
    upload.content(b"there").await;
    event(&mut upload).await;
    assert!(heard.try_recv().is_err());

    let sockets = app(echo).await;
    let steved = run(with(sockets.address, Duration::from_millis(300), 100)).await;
    let mut tunnel = Tunnel::opened(&mut Client::connect(steved.address).await, "/").await;
    sleep(Duration::from_millis(700)).await;
    let text = Kind::WsText { more: false };
    assert!(tunnel.say(text, b"still there", false).await);
    assert_eq!(tunnel.whole().await, (true, b"still there".to_vec()));
}

#[tokio::test]
async fn without_a_place_who_kept_us_waiting_longest_gives_way_and_who_is_alive_stays() {
    let (app, mut heard) = an_app().await;
    let steved = run(with(app.address, Duration::from_hours(1), 4)).await;
    let mut client = Client::connect(steved.address).await;
    let mut events = getting(&steved, "/events").await;
    // Never silent for long, and yet it hardly moves.
    let mut trickling = client.posting().await;
    let trickle = tokio::spawn(async move {
        while trickling.peer.stream.write_all(b"1\r\n\0\r\n").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    sleep(Duration::from_millis(100)).await;
    let _flooded = getting(&steved, "/flood").await;
    assert_eq!(heard.recv().await, Some("full"));
    let mut idle = asking(&steved).await;
    idle.until(ANSWER).await;
    let mut newcomers = Vec::new();
    for gone in ["upload", "flood", "idle"] {
        let mut newcomer = asking(&steved).await;
        // Meanwhile somebody reads what the app says.
        let alive = async {
            loop {
                event(&mut events).await;
            }
        };
        tokio::select! {
            _ = newcomer.until(ANSWER) => {}
            () = alive => {}
        }
        match gone {
            "idle" => assert_eq!(idle.rest().await, b""),
            gone => assert_eq!(heard.recv().await, Some(gone)),
        }
        // Stays, so that there is no place for the next.
        newcomers.push(newcomer);
    }
    event(&mut events).await;
    trickle.await.unwrap();
}

#[tokio::test]
async fn who_asks_little_over_and_over_keeps_no_place() {
    let (app, _) = an_app().await;
    let steved = run(with(app.address, Duration::from_hours(1), 1)).await;
    let mut first = asking(&steved).await;
    first.until(ANSWER).await;
    // Without a request never for as long as nobody has to wait.
    let asks = tokio::spawn(async move {
        while first.stream.write_all(ASK).await.is_ok()
            && matches!(first.stream.read(&mut [0; 512]).await, Ok(1..))
        {
            sleep(Duration::from_millis(100)).await;
        }
    });
    let mut newcomer = asking(&steved).await;
    timeout(Duration::from_secs(10), newcomer.until(ANSWER)).await.unwrap();
    asks.await.unwrap();
}

#[tokio::test]
async fn hellos_that_do_not_end_keep_nobody_out() {
    const SLOW: usize = 512;
    let (app, _) = an_app().await;
    let steved = run(settings(app.address)).await;
    let mut slow = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        let mut stream = TcpStream::connect(steved.address).await.unwrap();
        stream.write_all(HELLO).await.unwrap();
        slow.push(stream);
    }
    sleep(Duration::from_secs(1)).await;
    Client::connect(steved.address).await;
}

/// A connection that has asked something which needs no app.
async fn asking(steved: &Running) -> Peer {
    let mut stream = TcpStream::connect(steved.address).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    Peer::new(stream)
}

const ASK: &[u8] = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n";
/// What a hello begins with.
const HELLO: &[u8] = b"POST /.well-known/steve/session HTTP/1.1\r\nhost: a\r\ncontent-type: application/steve-hello\r\ncontent-length: 168\r\n\r\n\x01";
const ANSWER: &[u8] = b"e2e_required\"}";
