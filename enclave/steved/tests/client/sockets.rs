//! WebSockets of the Rust client.

use crate::{Deployment, app};
use caution_sdk::{Close, Error, Message, ResponseError, SealedCode, Suite, TransportError, WebSocket};
use caution_steve::websocket::{FrameReader, Opcode, Piece, Sender, accept_of, write_frame};
use caution_steved::Limits;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

type Io = TokioIo<hyper::upgrade::Upgraded>;

/// An app of WebSockets; what it does, its path says.
async fn socket_app() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(switch))
                    .with_upgrades(),
            );
        }
    });
    address
}

async fn switch(mut request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/refuse" {
        return Ok(Response::builder().status(403).header("x-why", "not you").body("no".into()).unwrap());
    }
    if path == "/never" {
        return std::future::pending().await;
    }
    let accept = accept_of(request.headers()["sec-websocket-key"].as_bytes()).unwrap();
    let offered = request.headers().get("sec-websocket-protocol").cloned();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move { play(&path, TokioIo::new(upgrade.await.unwrap())).await });
    let mut response =
        Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
    if offered.is_some() {
        response = response.header("sec-websocket-protocol", "chat");
    }
    Ok(response.header("sec-websocket-accept", accept).body(String::new()).unwrap())
}

async fn say(io: &mut Io, opcode: Opcode, fin: bool, content: &[u8]) {
    let mut bytes = Vec::new();
    write_frame(opcode, fin, content, None, &mut bytes);
    // Who has gone hears nothing.
    let _ = io.write_all(&bytes).await;
}

async fn play(path: &str, mut io: Io) {
    match path {
        "/bye" => say(&mut io, Opcode::Close, true, &[&4000_u16.to_be_bytes()[..], b"enough"].concat()).await,
        "/half" => return say(&mut io, Opcode::Text, false, b"half").await,
        "/not-text" => say(&mut io, Opcode::Text, true, b"\xff").await,
        "/ping" => say(&mut io, Opcode::Ping, true, b"there?").await,
        _ => {}
    }
    let mut reader = FrameReader::new(Sender::Client);
    let mut begun = false;
    loop {
        let mut bytes = [0; 8192];
        let Ok(read @ 1..) = io.read(&mut bytes).await else { return };
        reader.feed(&bytes[..read]);
        while let Some(piece) = reader.next_piece().unwrap() {
            match piece {
                Piece::Data { text, content, end } => {
                    let opcode = match (begun, text) {
                        (true, _) => Opcode::More,
                        (false, true) => Opcode::Text,
                        (false, false) => Opcode::Binary,
                    };
                    begun = !end;
                    say(&mut io, opcode, end, &content).await;
                }
                Piece::Pong(content) => say(&mut io, Opcode::Text, true, &content).await,
                Piece::Ping(_) => panic!("nobody pings"),
                Piece::Close(content) => return say(&mut io, Opcode::Close, true, &content).await,
            }
        }
    }
}

async fn open(deployment: &Deployment, path: &str) -> WebSocket {
    deployment.client().connect().await.unwrap().websocket(path).connect().await.unwrap()
}

#[tokio::test]
async fn messages_pass_both_ways_in_both_suites_until_a_close() {
    let app = socket_app().await;
    for suite in Suite::ALL {
        let deployment = Deployment::new(suite, app).await;
        let client = deployment.client().connect().await.unwrap();
        let opening = client.websocket("/echo?x").header("x-mine", "1").protocol("other").protocol("chat");
        let mut socket = opening.connect().await.unwrap();
        assert_eq!(socket.protocol(), Some("chat"));
        let long: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[0]).collect();
        for message in
            [Message::from("text"), "".into(), "é".repeat(50_000).into(), long.into(), vec![].into()]
        {
            socket.send(message.clone()).await.unwrap();
            assert!(socket.recv().await.unwrap() == Some(message));
        }
        assert!(!socket.receipt().exchange.unwrap().complete);
        socket.close(Some(4001), "done").await.unwrap();
        assert_eq!(socket.recv().await.unwrap(), None);
        assert_eq!(socket.closed(), Some(&Close { code: Some(4001), reason: "done".into() }));
        let exchange = socket.receipt().exchange.unwrap();
        assert!(exchange.complete && exchange.sent > 300_000 && exchange.received > 300_000, "{exchange:?}");
        // The session goes on.
        assert_eq!(client.receipt().await.unwrap().session_id, socket.receipt().session_id);
    }
}

#[tokio::test]
async fn an_app_closes_and_nothing_is_sent_after_it() {
    let deployment = Deployment::new(Suite::X25519, socket_app().await).await;
    let mut socket = open(&deployment, "/bye").await;
    assert_eq!(socket.recv().await.unwrap(), None);
    assert_eq!(socket.closed(), Some(&Close { code: Some(4000), reason: "enough".into() }));
    let error = socket.send("late").await.unwrap_err();
    assert!(matches!(error, Error::Request(_)) && !error.may_have_run(), "{error}");
    for (code, reason) in [(Some(1005), ""), (None, "why"), (Some(1000), &*"x".repeat(124))] {
        assert!(matches!(socket.close(code, reason).await, Err(Error::Request(_))));
    }
}

#[tokio::test]
async fn pings_are_answered_and_both_halves_work_at_once() {
    let deployment = Deployment::new(Suite::X25519, socket_app().await).await;
    let mut socket = open(&deployment, "/ping").await;
    assert_eq!(socket.recv().await.unwrap(), Some("there?".into()));

    let (sender, mut receiver) = open(&deployment, "/echo").await.split();
    let sending = tokio::spawn(async move {
        for number in 0..100_u32 {
            let content = [&number.to_be_bytes()[..], &vec![7; 50_000]].concat();
            sender.send(content).await.unwrap();
        }
        sender.close(None, "").await.unwrap();
    });
    for number in 0..100_u32 {
        let Some(Message::Binary(content)) = receiver.recv().await.unwrap() else { panic!() };
        assert!(content.len() == 50_004 && content[..4] == number.to_be_bytes());
    }
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert_eq!(receiver.closed().unwrap().code, None);
    sending.await.unwrap();
}

#[tokio::test]
async fn what_is_no_websocket_or_breaks_off_is_an_error() {
    let deployment = Deployment::new(Suite::X25519, socket_app().await).await;
    let client = deployment.client().connect().await.unwrap();
    let refused = client.websocket("/refuse").connect().await.unwrap_err();
    let Error::NoWebSocket(response) = refused else { panic!("{refused}") };
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-why"], &response.body()[..]),
        (403, &"not you".parse().unwrap(), &b"no"[..])
    );
    let error = client.websocket("/attestation").connect().await.unwrap_err();
    assert!(matches!(&error, Error::Sealed(e) if e.code == SealedCode::HeadInvalid) && !error.may_have_run());

    let error = open(&deployment, "/half").await.recv().await.unwrap_err();
    assert!(matches!(&error, Error::Sealed(e) if e.code == SealedCode::UpstreamTruncated), "{error}");
    let error = open(&deployment, "/not-text").await.recv().await.unwrap_err();
    assert!(matches!(error, Error::Socket(ResponseError::Text)), "{error}");
    let mut socket = client.websocket("/echo").limit(10).connect().await.unwrap();
    socket.send("12345678901").await.unwrap();
    assert!(matches!(socket.recv().await, Err(Error::TooLong { limit: 10 })));
}

/// A host that passes bytes on until `changed` has seen so many of what the enclave says of a WebSocket; then it
/// flips one, or breaks the connection.
async fn host(to: SocketAddr, at: usize, flips: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_enclave, mut to_enclave) = TcpStream::connect(to).await.unwrap().into_split();
                let up =
                    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_enclave).await });
                let (mut bytes, mut seen, mut is_socket) = ([0; 1024], 0, false);
                while let Ok(read @ 1..) = from_enclave.read(&mut bytes).await {
                    let piece = &mut bytes[..read];
                    if is_socket && seen + read > at {
                        if !flips {
                            break;
                        }
                        piece[at.saturating_sub(seen)] ^= 1;
                    }
                    seen += if is_socket { read } else { 0 };
                    is_socket = is_socket || piece.starts_with(b"HTTP/1.1 101");
                    if to_client.write_all(piece).await.is_err() {
                        break;
                    }
                }
                up.abort();
            });
        }
    });
    url
}

#[tokio::test]
async fn what_a_host_cuts_or_changes_is_never_a_close_or_a_message() {
    let deployment = Deployment::new(Suite::X25519, socket_app().await).await;
    let enclave: SocketAddr = deployment.url.strip_prefix("http://").unwrap().parse().unwrap();
    for flips in [false, true] {
        for at in [0, 2, 20, 40, 60, 80] {
            let url = host(enclave, at, flips).await;
            let client =
                deployment.client_at(&url).idle_timeout(Duration::from_secs(2)).connect().await.unwrap();
            let outcome = async {
                let mut socket = client.websocket("/echo").connect().await?;
                socket.send("hello").await?;
                assert_eq!(socket.recv().await?, Some("hello".into()));
                socket.close(None, "").await?;
                socket.recv().await.map(|message| assert_eq!(message, None))
            };
            let error = outcome.await.unwrap_err();
            assert!(matches!(error, Error::Socket(_) | Error::Ambiguous { .. }), "{at} {flips}: {error}");
            assert!(error.may_have_run());
        }
    }
}

#[tokio::test]
async fn who_says_nothing_for_too_long_is_left_and_who_thinks_long_is_not() {
    let deployment = Deployment::new(Suite::X25519, socket_app().await).await;
    let quick = || deployment.client().idle_timeout(Duration::from_millis(300));
    let is_timeout = |cause: ResponseError| {
        let ResponseError::Connection(cause) = cause else { return false };
        matches!(cause.downcast_ref(), Some(TransportError::Timeout(_)))
    };
    let client = quick().connect().await.unwrap();
    let mut socket = client.websocket("/echo").connect().await.unwrap();
    let Err(Error::Socket(cause)) = socket.recv().await else { panic!() };
    assert!(is_timeout(cause));
    let Err(Error::Broken(cause)) = client.get("/never").send().await else { panic!() };
    assert!(is_timeout(cause));

    let limits = Limits { silence: Duration::from_millis(20), ..Limits::DEFAULT };
    let deployment = Deployment::limited(Suite::X25519, socket_app().await, limits).await;
    let client = deployment.client().idle_timeout(Duration::from_millis(500)).connect().await.unwrap();
    let asked = client.get("/never").send();
    assert!(tokio::time::timeout(Duration::from_millis(1200), asked).await.is_err(), "still waiting");
    let mut socket = client.websocket("/echo").connect().await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(1200), socket.recv()).await.is_err(), "still waiting");
    socket.send("after all that").await.unwrap();
    assert_eq!(socket.recv().await.unwrap(), Some("after all that".into()));
}

#[tokio::test]
async fn a_session_that_is_gone_is_made_again_for_the_next_socket() {
    // The client's clock stands still, so that only the enclave knows when the session is over.
    let limits = Limits { lifetime: Duration::from_secs(1), ..Limits::DEFAULT };
    let deployment = Deployment::limited(Suite::X25519, socket_app().await, limits).await;
    let client = deployment.client().connect().await.unwrap();
    let error = loop {
        if let Err(error) = client.websocket("/echo").connect().await {
            break error;
        }
    };
    let Error::Ambiguous { cause: TransportError::Closed(Some(code)), .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(code, "session_unknown");
    client.websocket("/echo").connect().await.unwrap();
    // No path of an app that knows no WebSockets opens one.
    let plain = Deployment::new(Suite::X25519, app().await).await;
    let refused = plain.client().connect().await.unwrap().websocket("/").connect().await.unwrap_err();
    assert!(matches!(refused, Error::NoWebSocket(_)), "{refused}");
}
