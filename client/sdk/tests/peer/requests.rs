//! What an honest server and an honest host give.

use crate::support::{Peer, pinned};
use bytes::Bytes;
use caution_sdk::{Body, Error, Proxy, SealedCode, Suite};
use http::HeaderMap;
use http_body::Frame;
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// A body that a test feeds.
struct Fed(mpsc::Receiver<Result<Frame<Bytes>, std::io::Error>>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(cx)
    }
}

fn data(bytes: &'static [u8]) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(bytes))
}

#[tokio::test]
async fn a_request_goes_in_and_its_response_comes_out_in_both_suites() {
    for suite in Suite::ALL {
        let peer = Peer::start(suite).await;
        let client = peer.client().await;
        let mut response = client.post("/echo").body("secret").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["x-method"], "POST");
        assert_eq!(response.text(100).await.unwrap(), "secret");
        let receipt = response.receipt();
        assert_eq!((receipt.suite, receipt.protocol), (suite.name(), "steve3"));
        let exchange = receipt.exchange.unwrap();
        assert!(exchange.complete && exchange.number > 0 && exchange.sent > 512 && exchange.received > 0);
        assert_eq!(receipt.pcrs.len(), 3);
        assert_eq!(client.receipt().await.unwrap().session_id, receipt.session_id);
        assert_eq!(peer.ran(), 1);
    }
}

#[tokio::test]
async fn fields_trailers_and_lengths_pass() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let request = client.post("/fields").header("x-twice", "1").header("x-twice", "2").body("abc");
    let mut response = request.send().await.unwrap();
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a", "b"]);
    assert_eq!(response.text(100).await.unwrap(), "x-twice=1;x-twice=2;content-length=3");
    assert_eq!(response.trailers().unwrap()["x-sum"], "1");
    assert_eq!(client.get("/fields").send().await.unwrap().text(100).await.unwrap(), "");
}

#[tokio::test]
async fn content_streams_both_ways_at_once() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let (feed, body) = mpsc::channel(1);
    let mut response = client.post("/echo").body(Body::stream(Fed(body))).send().await.unwrap();
    for word in [&b"one"[..], b"two", b"three"] {
        feed.send(Ok(data(word))).await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), word, "before the request has ended");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", "yes".parse().unwrap());
    feed.send(Ok(Frame::trailers(trailers))).await.unwrap();
    assert_eq!(response.chunk().await.unwrap(), None);
    assert_eq!(response.trailers().unwrap()["x-end"], "yes");
}

#[tokio::test]
async fn long_contents_pass_in_pieces() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    for body in [Body::from(long.clone()), Body::reader(std::io::Cursor::new(long.clone()))] {
        let mut response = client.post("/echo").body(body).send().await.unwrap();
        assert_eq!(response.bytes(3_000_000).await.unwrap(), long);
    }
    for length in [65_000, 65_500, 65_520, 65_536, 65_600, 131_072] {
        let body = long[..length].to_vec();
        let mut response = client.post("/echo").body(body.clone()).send().await.unwrap();
        assert_eq!(response.bytes(length).await.unwrap(), body, "{length}");
    }
    let mut response = client.post("/echo").body(long).send().await.unwrap();
    assert!(matches!(response.bytes(1000).await, Err(Error::TooLong { limit: 1000 })));
}

/// The application must see a request that its sender gave up as cut, never as a shorter one.
#[tokio::test]
async fn a_request_whose_content_fails_is_cut() {
    let mut peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let (feed, body) = mpsc::channel(2);
    let mut response = client.post("/echo").body(Body::stream(Fed(body))).send().await.unwrap();
    feed.send(Ok(data(b"half"))).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "half");
    feed.send(Err(std::io::Error::other("the disk broke"))).await.unwrap();
    assert_eq!(peer.ends.recv().await, Some(false));
    assert!(matches!(response.chunk().await, Err(Error::Broken(_))));
}

#[tokio::test]
async fn what_only_the_enclave_can_say_is_believed() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let error = client.post("/busy").send().await.unwrap_err();
    assert!(matches!(&error, Error::Sealed(sealed) if sealed.code == SealedCode::Busy), "{error}");
    assert!(!error.may_have_run());
    assert!(error.to_string().contains("the application did not act"), "{error}");
    for path in ["/reset", "/request-back"] {
        let error = client.get(path).send().await.unwrap_err();
        assert!(matches!(&error, Error::Broken(_)) && error.may_have_run(), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_request_is_not_sent() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    for request in [
        client.get("/x").header("connection", "close"),
        client.get("/x").header("transfer-encoding", "chunked"),
        client.get("/x").header("a b", "c"),
        client.get("/x").header("a", "b\r\nc: d"),
        client.get("http://elsewhere.example/"),
        client.post("/x").header("content-length", "1").header("content-length", "1").body("a"),
        client.get("/x y"),
    ] {
        let error = request.send().await.unwrap_err();
        assert!(!error.may_have_run(), "{error}");
    }
    assert_eq!(peer.ran(), 0);
}

#[tokio::test]
async fn sessions_are_renewed_before_their_end_and_exchanges_go_on() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let session = async || client.receipt().await.unwrap().session_id;
    let (feed, body) = mpsc::channel(1);
    let mut running = client.post("/echo").body(Body::stream(Fed(body))).send().await.unwrap();

    let first = session().await;
    for _ in 0..2 {
        peer.clock.pass(Duration::from_secs(500));
        assert_eq!(session().await, first, "younger than 80 hundredths of 1800 s");
    }
    peer.clock.pass(Duration::from_secs(199));
    assert_eq!(session().await, first);
    peer.claim(|claims| claims.not_after_ms += 24 * 60 * 60 * 1000);
    peer.clock.pass(Duration::from_secs(419));
    let second = session().await;
    assert_ne!(second, first);
    feed.send(Ok(data(b"still there"))).await.unwrap();
    assert_eq!(running.chunk().await.unwrap().unwrap(), "still there");

    peer.clock.pass(Duration::from_secs(571));
    assert_ne!(session().await, second, "servers forget what is idle");
}

/// A session that cannot be renewed is used to its end, and not past it.
#[tokio::test]
async fn a_session_that_cannot_be_renewed_ends() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let first = client.receipt().await.unwrap().session_id;
    for _ in 0..3 {
        peer.clock.pass(Duration::from_secs(550));
        // From 1,620 s on a new one is due, and its evidence is too old.
        assert_eq!(client.receipt().await.unwrap().session_id, first);
    }
    client.get("/hello").send().await.unwrap();
    peer.clock.pass(Duration::from_secs(150));
    let error = client.get("/hello").send().await.unwrap_err();
    assert!(matches!(error, Error::Evidence { .. }), "{error}");
    assert_eq!(peer.ran(), 1);
}

/// A proxy sees a name, a port and what is sealed.
#[tokio::test]
async fn a_proxy_on_the_way_is_used() {
    let peer = Peer::start(Suite::X25519).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://me:word@{}", listener.local_addr().unwrap());
    let (heads, mut asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let heads = heads.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let to = head.split(' ').nth(1).unwrap().to_owned();
                heads.send(head).unwrap();
                let mut server = tokio::net::TcpStream::connect(to).await.unwrap();
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                // Ends with either side.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let client = peer.builder(pinned()).proxy(Proxy::Url(proxy)).connect().await.unwrap();
    assert_eq!(client.post("/echo").body("secret").send().await.unwrap().text(10).await.unwrap(), "secret");
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("CONNECT 127.0.0.1:"), "{head}");
    assert!(head.contains("\r\nProxy-Authorization: Basic bWU6d29yZA==\r\n"), "{head}");

    for wrong in ["socks5://127.0.0.1:1", "no URL"] {
        let error = peer.builder(pinned()).proxy(Proxy::Url(wrong.into())).connect().await.unwrap_err();
        assert!(matches!(error, Error::Address { .. }), "{wrong}: {error}");
    }
}

#[tokio::test]
async fn many_at_once_share_a_session() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let requests: Vec<_> = (0..40)
        .map(|n| {
            let request = client.post("/echo").body(format!("{n}"));
            tokio::spawn(async move { request.send().await.unwrap().text(10).await.unwrap() })
        })
        .collect();
    for (n, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap(), n.to_string());
    }
    assert_eq!(peer.enclave.handshakes.load(SeqCst), 1);
}
