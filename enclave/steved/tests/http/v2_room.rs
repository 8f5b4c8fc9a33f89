//! Room for what version 2 has whole in memory: for whom it is, and how it is shared.

use crate::app::{App, Peer};
use crate::support::run;
use crate::v2::{begin, connect, post, rename, unknown, with_v2};
use caution_steve::Suite;
use caution_steve::http::Fields;
use caution_steve::v2::{ClientSession, Response};
use caution_steved::{Limits, Settings};
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// The head of a request with so long a body, and the beginning of that.
async fn announce(to: SocketAddr, length: usize, beginning: &[u8]) -> Peer {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let head = format!(
        "POST /e2p/v2/request HTTP/1.1\r\nhost: a\r\ncontent-type: application/cbor\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), beginning].concat()).await.unwrap();
    Peer::new(stream)
}

fn posted(session: &mut ClientSession, length: usize) -> (u64, Vec<u8>) {
    session.request("POST", "/", &Fields::new(), Some(&vec![0; length])).unwrap()
}

async fn answering() -> App {
    App::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await.0
}

async fn is_answered(to: SocketAddr, session: &mut ClientSession, length: usize) -> bool {
    let (sequence, sealed) = posted(session, length);
    let answer = post(to, "request", &sealed).await;
    answer.status == 200
        && matches!(session.response(sequence, answer.body).unwrap().0, Response::App { status: 200, .. })
}

#[tokio::test]
async fn a_body_of_nobodys_is_refused_when_it_begins_and_takes_no_room() {
    let app = answering().await;
    let limits = Limits { held: 131_072, ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..with_v2(app.address) }).await;
    let mut known = connect(steved.address, Suite::X25519).await;
    let early = begin(steved.address, Suite::X25519).await;
    let (_, taken) = posted(&mut known, 10);
    assert_eq!(post(steved.address, "request", &taken).await.status, 200);
    let large = posted(&mut known, 60_000).1;
    let nobodys = rename(&large, &known, &unknown());
    let unconfirmed = rename(&large, &known, &early);
    let mut replayed = large;
    let numbered = |bytes: &[u8]| bytes.windows(9).position(|it| it == b"\x68sequence").unwrap() + 10;
    let at = numbered(&replayed);
    replayed[at..at + 8].copy_from_slice(&1_u64.to_be_bytes());
    // A ciphertext first, of which nobody knows whose it is.
    let unnamed = [&b"\xa4\x6aciphertext\x5a\x02\0\0\0"[..], &vec![0; 60_000]].concat();
    let cases = [
        (nobodys, "401", "session_unknown"),
        (unconfirmed, "425", "not_confirmed"),
        (replayed, "409", "replay"),
        (unnamed, "400", "malformed"),
    ];
    let mut strangers = Vec::new();
    for (bytes, status, code) in &cases {
        // More than is ever sent: it is answered without.
        let mut stranger = announce(steved.address, 33_000_000, &bytes[..50_000]).await;
        let answer = stranger.head().await;
        assert!(answer.starts_with(&format!("http/1.1 {status} ")), "{answer}");
        stranger.until(code.as_bytes()).await;
        strangers.push(stranger);
    }
    assert_eq!(app.connections(), 1);
    assert!(is_answered(steved.address, &mut known, 100_000).await);
}

#[tokio::test]
async fn whose_session_has_most_gives_way_to_one_that_has_less() {
    let app = answering().await;
    let limits = Limits { held: 131_072, ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..with_v2(app.address) }).await;
    let mut greedy = connect(steved.address, Suite::X25519).await;
    let mut modest = connect(steved.address, Suite::X25519).await;
    let (mut older, mut newer) = {
        let (_, one) = posted(&mut greedy, 60_000);
        let (_, other) = posted(&mut greedy, 60_000);
        // A byte is missing of each.
        let older = announce(steved.address, one.len(), &one[..60_000]).await;
        (older, announce(steved.address, other.len(), &other[..60_000]).await)
    };
    // As soon as both are in memory there is no room for what is as much.
    while is_answered(steved.address, &mut greedy, 15_000).await {
        tokio::task::yield_now().await;
    }
    let (_, large) = posted(&mut greedy, 60_000);
    assert_eq!(post(steved.address, "request", &large).await.problem(), (503, "busy"));
    assert!(is_answered(steved.address, &mut modest, 50_000).await);
    assert_eq!(newer.rest().await, b"");
    older.stream.write_all(&[0; 200]).await.unwrap();
    // It was all there, and is answered: that it does not authenticate.
    assert!(older.head().await.starts_with("http/1.1 400 "));
}

#[tokio::test]
async fn a_response_has_its_room_until_it_is_sent() {
    const MUCH: usize = 24_000_000;
    let app = App::new(|mut peer| async move {
        peer.head().await;
        peer.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {MUCH}\r\n\r\n{}", "x".repeat(MUCH))).await;
    })
    .await;
    let limits = Limits { held: MUCH + 8_000_000, ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..with_v2(app.address) }).await;
    let mut greedy = connect(steved.address, Suite::X25519).await;
    let mut modest = connect(steved.address, Suite::X25519).await;
    let (_, sealed) = greedy.request("GET", "/", &Fields::new(), None).unwrap();
    // Reads its head, and then nothing more.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(steved.address).await.unwrap();
    let head = format!(
        "POST /e2p/v2/request HTTP/1.1\r\nhost: a\r\ncontent-type: application/cbor\r\ncontent-length: {}\r\n\r\n",
        sealed.len()
    );
    stream.write_all(&[head.as_bytes(), &sealed].concat()).await.unwrap();
    let mut unread = Peer::new(stream);
    assert!(unread.head().await.starts_with("http/1.1 200 "));
    let (sequence, sealed) = greedy.request("GET", "/", &Fields::new(), None).unwrap();
    let answer = post(steved.address, "request", &sealed).await;
    let (response, _) = greedy.response(sequence, answer.body).unwrap();
    assert!(matches!(&response, Response::Error(code) if code == "busy"), "{response:?}");
    // Another session needs as much, and gets it.
    let (sequence, sealed) = modest.request("GET", "/", &Fields::new(), None).unwrap();
    let answer = post(steved.address, "request", &sealed).await;
    assert_eq!(modest.response(sequence, answer.body).unwrap().1.len(), MUCH);
    assert!(unread.rest().await.len() < MUCH);
}
