//! Limits of WebSockets to an app: of memory, of time, of number.

use crate::client::{Client, evidence};
use crate::socket::{Tunnel, Wire, app, ending, outer, refusal};
use crate::support::{run, settings};
use caution_steve::Kind;
use caution_steve::websocket::Opcode;
use caution_steved::{Limits, Settings};
use std::time::Duration;
use tokio::sync::mpsc;

const BINARY: Kind = Kind::WsBinary { more: false };

/// Writes until nobody takes any more: how many bytes were taken.
async fn fill(wire: &mut Wire, mut message: impl FnMut() -> Vec<u8>) -> usize {
    let mut taken = 0;
    loop {
        let message = message();
        let sent = wire.send(Opcode::Binary, true, &message);
        if tokio::time::timeout(Duration::from_millis(300), sent).await.is_err() {
            return taken;
        }
        taken += message.len();
    }
}

#[tokio::test]
async fn who_does_not_read_holds_up_who_writes() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = app(move |head, mut wire| {
        let said = said.clone();
        async move {
            if head.starts_with("GET /flood ") {
                said.send(fill(&mut wire, || vec![7; 60_000]).await).unwrap();
            } else {
                std::future::pending::<()>().await;
            }
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let much = vec![7; 60_000];
    let mut tunnel = Tunnel::opened(&mut client, "/still").await;
    let Tunnel { wire, sealer, .. } = &mut tunnel;
    let taken = fill(wire, || {
        let mut bytes = Vec::new();
        sealer.seal(BINARY, &much, false, &mut bytes);
        bytes
    })
    .await;
    // What sockets themselves hold, on both connections.
    assert!(taken < 30_000_000, "{taken}");
    let _flooded = Tunnel::opened(&mut client, "/flood").await;
    let taken = heard.recv().await.unwrap();
    assert!(taken < 30_000_000, "{taken}");
}

#[tokio::test]
async fn sockets_have_the_limits_of_exchanges() {
    let (app, _heard) = ending().await;
    let limits = Limits {
        exchange: Duration::from_millis(300),
        silence: Duration::from_millis(20),
        concurrency: 1,
        patience: Duration::from_millis(200),
        ..Limits::DEFAULT
    };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let mut client = Client::with(steved.address, &evidence(steved.address).await).await;
    let mut tunnel = Tunnel::opened(&mut client, "/").await;
    assert_eq!(tunnel.hear().await.unwrap().kind, Kind::Pad);
    assert_eq!(Tunnel::open(&mut client, "/").await.failure().await, ("busy", false));
    assert_eq!(tunnel.failure().await, ("upstream_timeout", true));
    // A client that says nothing at all, and one that does not answer in time when it has closed.
    let mut silent = outer(steved.address, "https://app.example").await;
    assert_eq!(refusal(&mut silent).await, "malformed");
}

#[tokio::test]
async fn an_app_that_does_not_answer_a_close_is_left() {
    let app = app(|_, wire| async move {
        std::future::pending::<()>().await;
        drop(wire);
    })
    .await;
    let limits = Limits { patience: Duration::from_millis(200), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let mut tunnel = Tunnel::opened(&mut Client::connect(steved.address).await, "/").await;
    assert!(tunnel.say(Kind::WsClose, b"", false).await && tunnel.say(Kind::Pad, b"", true).await);
    assert_eq!(tunnel.failure().await, ("upstream_timeout", true));
}
