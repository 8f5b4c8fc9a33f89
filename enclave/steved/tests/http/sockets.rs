//! WebSockets to an app.

use crate::app::App;
use crate::client::{Client, ask};
use crate::socket::{Tunnel, app, echo, ending, first, outer, refusal};
use crate::support::{run, settings};
use caution_steve::Kind;
use caution_steve::websocket::{Opcode, Piece};
use tokio::sync::mpsc;

const TEXT: Kind = Kind::WsText { more: false };
const BINARY: Kind = Kind::WsBinary { more: false };

#[tokio::test]
async fn messages_pass_both_ways_in_parts_and_the_app_knows_how_they_came() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = app(move |head, wire| {
        said.send(head.to_lowercase()).unwrap();
        echo(head, wire)
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let mut tunnel = Tunnel::opened(&mut client, "/chat?x").await;
    let asked = heard.recv().await.unwrap();
    for line in [
        "get /chat?x http/1.1",
        "host: app.example",
        "x-enclave-e2e: v=3; suite=x25519",
        "sec-websocket-protocol: chat",
        "origin: https://a",
        "upgrade: websocket",
    ] {
        assert!(asked.lines().any(|it| it == line), "{line}: {asked}");
    }
    assert!(!asked.contains("x-forwarded") && !asked.contains("dghlihnhbxbszsbub25jzq=="), "{asked}");

    for (kind, content) in
        [(TEXT, "hello".into()), (TEXT, vec![]), (BINARY, vec![7; 60_000]), (BINARY, vec![])]
    {
        assert!(tunnel.say(kind, &content, false).await);
        assert_eq!(tunnel.whole().await, (kind == TEXT, content));
    }
    let long: Vec<u8> = (0..200_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for (at, part) in long.chunks(50_000).enumerate() {
        assert!(tunnel.say(Kind::WsBinary { more: at < 3 }, part, false).await);
        // A ping may stand between parts; its answer comes before the message's.
        assert!(tunnel.say(Kind::Pad, b"", false).await);
    }
    assert!(tunnel.whole().await == (false, long));
    assert!(tunnel.say(Kind::Ping, b"there?", false).await);
    let pong = tunnel.hear().await.unwrap();
    assert_eq!((pong.kind, &pong.content[..]), (Kind::Pong, &b"there?"[..]));
    // Of the outer WebSocket: nothing that concerns the app.
    assert!(tunnel.wire.send(Opcode::Ping, true, b"outer").await);
    assert_eq!(tunnel.wire.piece().await, Some(Piece::Pong(b"outer".to_vec())));

    let close = [&4001_u16.to_be_bytes()[..], b"done"].concat();
    assert!(tunnel.say(Kind::WsClose, &close, false).await && tunnel.say(Kind::Pad, b"", true).await);
    let answer = tunnel.hear().await.unwrap();
    assert_eq!((answer.kind, answer.content), (Kind::WsClose, close));
    assert!(tunnel.hear().await.unwrap().last);
    assert_eq!(tunnel.wire.piece().await, Some(Piece::Close(1000_u16.to_be_bytes().to_vec())));
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn an_app_closes_and_hears_that_the_client_does() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = app(move |_, mut wire| {
        let said = said.clone();
        async move {
            let code = 4000_u16.to_be_bytes();
            assert!(
                wire.send(Opcode::Ping, true, b"app").await && wire.send(Opcode::Close, true, &code).await
            );
            let heard = [wire.piece().await, wire.piece().await];
            said.send(heard).unwrap();
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let mut tunnel = Tunnel::opened(&mut client, "/").await;
    let ping = tunnel.hear().await.unwrap();
    assert_eq!((ping.kind, &ping.content[..]), (Kind::Ping, &b"app"[..]));
    let close = tunnel.hear().await.unwrap();
    assert_eq!((close.kind, &close.content[..]), (Kind::WsClose, &4000_u16.to_be_bytes()[..]));
    assert!(tunnel.hear().await.unwrap().last);
    assert!(tunnel.say(Kind::Pong, b"app", false).await);
    assert!(tunnel.say(Kind::WsClose, b"", false).await && tunnel.say(Kind::Pad, b"", true).await);
    let expected = [Some(Piece::Pong(b"app".to_vec())), Some(Piece::Close(vec![]))];
    assert_eq!(heard.recv().await.unwrap(), expected);
}

#[tokio::test]
async fn a_socket_begins_once_and_nobody_connects_to_the_app_before() {
    let app = app(echo).await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let (bytes, ..) = first(&mut client, "/");
    let refused = async |message: &[u8], opcode, expected: &str| {
        let mut wire = outer(steved.address, "https://page.example").await;
        assert!(wire.send(opcode, true, message).await);
        assert_eq!(refusal(&mut wire).await, expected);
    };
    for at in [0, 1, 20, 24, 25, 26, 100, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let expected = if (1..17).contains(&at) { "session_unknown" } else { "malformed" };
        refused(&changed, Opcode::Binary, expected).await;
    }
    for cut in 0..bytes.len() {
        refused(&bytes[..cut], Opcode::Binary, "malformed").await;
    }
    refused(&bytes, Opcode::Text, "malformed").await;
    refused(&vec![1; 100_000], Opcode::Binary, "malformed").await;
    // Authentic, with something behind it: its number is taken, and nothing else.
    refused(&[&bytes[..], b"\x01"].concat(), Opcode::Binary, "malformed").await;
    assert_eq!(app.connections(), 0);

    let (bytes, sealer, opener) = first(&mut client, "/");
    let mut wire = outer(steved.address, "https://page.example").await;
    assert!(wire.send(Opcode::Binary, true, &bytes).await);
    let mut tunnel = Tunnel { wire, sealer, opener };
    assert_eq!(tunnel.head().await.0.status, 101);
    refused(&bytes, Opcode::Binary, "replay").await;
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn what_asks_for_no_websocket_gets_none() {
    let app = app(echo).await;
    let steved = run(settings(app.address)).await;
    let at = "/.well-known/steve/ws HTTP/1.1";
    assert_eq!(ask(steved.address, &format!("GET {at}"), b"").await.problem(), (400, "malformed"));
    let post = ask(steved.address, &format!("POST {at}"), b"").await;
    assert!(post.status == 405 && post.has("allow: get, options"), "{post:?}");
    let fields = "origin: https://evil.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                  sec-websocket-protocol: steve3";
    let other = ask(steved.address, &format!("GET {at}\r\n{fields}"), b"").await;
    assert_eq!(other.problem(), (403, "origin"));
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn what_opens_no_websocket_is_told_inside_and_never_reaches_the_app() {
    let app = app(echo).await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let request = |method, path, content: &[u8]| {
        crate::client::message(&crate::client::head(method, path, &[]), content, &Vec::new())
    };
    let good = request("GET", "/", b"");
    for (kind, message, last) in [
        (Kind::Data, good.clone(), false),
        (Kind::WsOpen, good.clone(), true),
        (Kind::WsOpen, good[..good.len() - 1].to_vec(), false),
        (Kind::WsOpen, [&good[..], b"\0"].concat(), false),
        (Kind::WsOpen, request("GET", "/", b"content"), false),
        (Kind::WsOpen, request("POST", "/", b""), false),
        (Kind::WsOpen, request("GET", "/attestation", b""), false),
        (TEXT, b"hello".to_vec(), false),
    ] {
        let (mut bytes, mut sealer, opener) = client.session.exchange().unwrap();
        sealer.seal(kind, &message, last, &mut bytes);
        let mut wire = outer(steved.address, "https://app.example").await;
        assert!(wire.send(Opcode::Binary, true, &bytes).await);
        assert_eq!(Tunnel { wire, sealer, opener }.failure().await, ("head_invalid", false), "{kind:?}");
    }
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn an_app_that_does_not_switch_answers_with_a_whole_message() {
    let long = "x".repeat(100_000);
    for (answer, expected) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno".to_owned(), (403, 2)),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), (204, 0)),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n{long}"), (200, 100_000)),
    ] {
        let (app, _heard) = App::answering(answer.leak()).await;
        let steved = run(settings(app.address)).await;
        let mut client = Client::connect(steved.address).await;
        let (head, content) = Tunnel::open(&mut client, "/").await.head().await;
        assert_eq!((head.status, content.len()), expected);
    }
}

#[tokio::test]
async fn an_app_that_breaks_off_never_closes() {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    let wrong = format!("{SWITCH}sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n").leak();
    for answer in [
        &*wrong,
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
    ] {
        let (app, _heard) = App::answering(answer).await;
        let steved = run(settings(app.address)).await;
        let mut client = Client::connect(steved.address).await;
        let mut tunnel = Tunnel::open(&mut client, "/").await;
        assert_eq!(tunnel.failure().await, ("upstream_truncated", true), "{answer}");
    }
    let app = app(|_, mut wire| async move {
        wire.send(Opcode::Text, false, b"half a ").await;
        // Gone, or with a frame that is none.
        if let Some(Piece::Data { .. }) = wire.piece().await {
            wire.send(Opcode::Text, true, b"message").await;
            wire.piece().await;
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    for kind in [Kind::Ping, TEXT] {
        let mut tunnel = Tunnel::opened(&mut client, "/").await;
        assert_eq!(tunnel.hear().await.unwrap().kind, Kind::WsText { more: true });
        assert!(tunnel.say(kind, b"", false).await);
        assert_eq!(tunnel.failure().await, ("upstream_truncated", true));
        assert!(matches!(tunnel.wire.piece().await, Some(Piece::Close(_)) | None));
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let steved = run(settings(closed)).await;
    let mut tunnel = Tunnel::open(&mut Client::connect(steved.address).await, "/").await;
    assert_eq!(tunnel.failure().await, ("upstream_unavailable", false));
}

#[tokio::test]
async fn a_client_that_is_cut_never_closes_for_the_app() {
    let (app, mut heard) = ending().await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let said = [Piece::Data { text: true, content: b"one".to_vec(), end: true }];
    for how in ["gone", "outer close", "changed", "dropped", "twice", "two at once", "reset", "ended", "data"]
    {
        let mut tunnel = Tunnel::opened(&mut client, "/").await;
        let one = tunnel.sealed(TEXT, b"one", false);
        assert!(tunnel.wire.send(Opcode::Binary, true, &one).await);
        let mut two = tunnel.sealed(TEXT, b"two", false);
        let (opcode, message, answer) = match how {
            "gone" => {
                drop(tunnel);
                assert_eq!(heard.recv().await.unwrap(), said, "{how}");
                continue;
            }
            "outer close" => (Opcode::Close, vec![], "reset"),
            "changed" => {
                two[5] ^= 1;
                (Opcode::Binary, two, "reset")
            }
            "dropped" => (Opcode::Binary, tunnel.sealed(TEXT, b"three", false), "reset"),
            "twice" => (Opcode::Binary, one, "reset"),
            "two at once" => (Opcode::Binary, [two, tunnel.sealed(TEXT, b"", false)].concat(), "reset"),
            "reset" => {
                tunnel = Tunnel::opened(&mut client, "/").await;
                assert_eq!(heard.recv().await.unwrap(), said, "{how}");
                assert!(tunnel.say(TEXT, b"one", false).await);
                (Opcode::Binary, tunnel.sealed(Kind::Reset, b"", true), "reset")
            }
            _ => {
                tunnel = Tunnel::opened(&mut client, "/").await;
                assert_eq!(heard.recv().await.unwrap(), said, "{how}");
                assert!(tunnel.say(TEXT, b"one", false).await);
                let (kind, last) = if how == "ended" { (Kind::Pad, true) } else { (Kind::Data, false) };
                let answer = if how == "ended" { "reset" } else { "head_invalid" };
                (Opcode::Binary, tunnel.sealed(kind, b"", last), answer)
            }
        };
        assert!(tunnel.wire.send(opcode, true, &message).await);
        assert_eq!(tunnel.failure().await, (answer, true), "{how}");
        assert_eq!(heard.recv().await.unwrap(), said, "{how}");
    }
}

#[tokio::test]
async fn parts_out_of_order_and_closes_that_say_nothing_are_refused() {
    let (app, _heard) = ending().await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let cases: [&[(Kind, &[u8])]; 6] = [
        &[(Kind::WsText { more: true }, b"a"), (BINARY, b"b")],
        &[(Kind::Ping, &[0; 126])],
        &[(Kind::WsClose, b"\x03")],
        &[(Kind::WsClose, &[3, 0xed])],
        &[(Kind::WsClose, b""), (TEXT, b"after")],
        &[(Kind::WsOpen, b"")],
    ];
    for records in cases {
        let mut tunnel = Tunnel::opened(&mut client, "/").await;
        for (kind, content) in records {
            assert!(tunnel.say(*kind, content, false).await);
        }
        assert_eq!(tunnel.failure().await, ("head_invalid", true), "{records:?}");
    }
}

#[tokio::test]
async fn who_goes_away_while_the_app_thinks_takes_its_connection_along() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = App::new(move |mut peer| {
        let said = said.clone();
        async move {
            peer.head().await;
            said.send(()).unwrap();
            peer.rest().await;
            said.send(()).unwrap();
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let tunnel = Tunnel::open(&mut Client::connect(steved.address).await, "/").await;
    heard.recv().await.unwrap();
    drop(tunnel);
    heard.recv().await.unwrap();
}
