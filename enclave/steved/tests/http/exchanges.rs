//! What passes between client and app.

use crate::app::App;
use crate::client::{Client, fields, head};
use crate::support::{run, settings};
use caution_steve::http::Part;
use caution_steve::{Kind, RecordError};
use caution_steved::{Limits, Protocol, Settings};
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::test]
async fn a_request_reaches_the_app_as_it_was_made_and_its_response_comes_back() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let app = App::new(move |mut peer| {
        let said = said.clone();
        async move {
            let mut request = peer.head().await;
            while let Some(chunk) = peer.chunk().await.filter(|chunk| !chunk.is_empty()) {
                request.push_str(&String::from_utf8(chunk).unwrap());
            }
            request.push_str(&peer.until(b"\r\n\r\n").await);
            said.send(request).unwrap();
            peer.write(
                "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 201 Created\r\nset-cookie: a=1\r\n\
                 set-cookie: b=2\r\nconnection: x-hop\r\nx-hop: 1\r\ntransfer-encoding: chunked\r\n\
                 trailer: x-sum\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 5\r\n\r\n",
            )
            .await;
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let request = head(
        "PATCH",
        "/a//b/../c?d=%2f&e",
        &[
            ("x-twice", "1"),
            ("x-enclave-e2e", "forged"),
            ("x_enclave_e2e", "forged"),
            ("x-twice", "2"),
            ("x-forwarded-for", "forged"),
            ("trailer", "x-check"),
            ("host", "forged.example"),
        ],
    );
    let trailers = fields(&[("x-check", "yes"), ("x-enclave-e2e", "forged")]);
    let answer = client.request(&request, b"content", &trailers).await;
    let said = heard.recv().await.unwrap();
    assert!(said.starts_with("patch /a//b/../c?d=%2f&e http/1.1\r\n"), "{said}");
    assert!(said.contains("x-twice: 1\r\nx-twice: 2\r\n"), "{said}");
    assert!(said.contains("\r\nhost: app.example\r\n"), "{said}");
    assert!(said.contains("x-enclave-e2e: v=3; suite=x25519\r\n"), "{said}");
    assert!(said.contains("content") && said.ends_with("x-check: yes\r\n\r\n"), "{said}");
    assert!(!said.contains("forged"), "{said}");

    assert_eq!(answer.heads.len(), 2);
    assert_eq!((answer.heads[0].status, &answer.heads[0].fields), (103, &fields(&[("link", "</a>")])));
    assert_eq!(answer.heads[1].status, 201);
    let cookies: Vec<_> = answer.heads[1].fields.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    assert!(answer.heads[1].fields.iter().all(|(name, _)| name != "x-hop" && name != "connection"));
    assert_eq!(answer.content, b"hello");
    assert_eq!(answer.trailers, Some(fields(&[("x-sum", "5")])));
}

#[tokio::test]
async fn a_request_without_content_has_no_body_and_one_with_a_length_has_it() {
    let (app, mut heard) = App::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    for method in ["GET", "HEAD", "DELETE"] {
        let answer = client.request(&head(method, "/", &[]), b"", &Vec::new()).await;
        assert_eq!((answer.heads[0].status, answer.records.len()), (204, 1));
        let said = heard.recv().await.unwrap();
        assert!(!said.contains("transfer-encoding") && !said.contains("content-length"), "{said}");
    }
    client.request(&head("POST", "/", &[("content-length", "3")]), b"abc", &Vec::new()).await;
    let said = heard.recv().await.unwrap();
    assert!(said.contains("content-length: 3\r\n") && !said.contains("transfer-encoding"), "{said}");
}

#[tokio::test]
async fn a_request_has_its_content_whatever_its_method() {
    let app = App::new(|mut peer| async move {
        peer.head().await;
        let mut body = Vec::new();
        while let Some(chunk) = peer.chunk().await.filter(|chunk| !chunk.is_empty()) {
            body.extend(chunk);
        }
        let length = body.len();
        peer.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-read: {length}\r\n\r\n")).await;
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "POST", "QUERY"] {
        let mut streaming = client.stream().await;
        streaming.head(&head(method, "/", &[])).await;
        streaming.content(b"content").await;
        streaming.end().await;
        streaming.outer().await;
        let Part::Response(head) = streaming.part().await else { panic!("a head comes first") };
        assert!(head.fields.contains(&("x-read".to_owned(), b"7".to_vec())), "{method}: {head:?}");
    }
}

#[tokio::test]
async fn content_passes_both_ways_as_it_comes() {
    let app = App::new(|mut peer| async move {
        peer.head().await;
        peer.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while let Some(chunk) = peer.chunk().await {
            let text = String::from_utf8(chunk).unwrap();
            peer.write(&format!("{:x}\r\n{text}\r\n", text.len())).await;
            if text.is_empty() {
                break;
            }
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let mut streaming = client.posting().await;
    assert!(matches!(streaming.part().await, Part::Response(head) if head.status == 200));
    // Each word is answered before the next is said.
    for word in ["one", "two", "three"] {
        streaming.content(word.as_bytes()).await;
        assert_eq!(streaming.part().await, Part::Content(word.as_bytes().to_vec()));
    }
    streaming.end().await;
    assert!(matches!(streaming.part().await, Part::End(_)));
}

#[tokio::test]
async fn much_passes_both_ways_whole() {
    const LENGTH: usize = 3_000_000;
    let app = App::new(|mut peer| async move {
        peer.head().await;
        let body = peer.bytes(LENGTH).await;
        assert!(body.iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 251));
        peer.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}", LENGTH, "x".repeat(LENGTH)))
            .await;
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let mut streaming = client.stream().await;
    streaming.head(&head("POST", "/", &[("content-length", &LENGTH.to_string())])).await;
    let content: Vec<u8> = (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect();
    for piece in content.chunks(60_000) {
        streaming.content(piece).await;
    }
    streaming.end().await;
    streaming.outer().await;
    assert!(matches!(streaming.part().await, Part::Response(head) if head.status == 200));
    let mut length = 0;
    loop {
        match streaming.part().await {
            Part::Content(bytes) => length += bytes.len(),
            Part::End(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(length, LENGTH);
}

#[tokio::test]
async fn events_arrive_one_by_one_at_padded_lengths() {
    let (send, receive) = mpsc::unbounded_channel::<&'static str>();
    let receive = std::sync::Arc::new(tokio::sync::Mutex::new(receive));
    let app = App::new(move |mut peer| {
        let receive = std::sync::Arc::clone(&receive);
        async move {
            peer.head().await;
            peer.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n").await;
            while let Some(event) = receive.lock().await.recv().await {
                peer.write(event).await;
            }
        }
    })
    .await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let mut streaming = client.stream().await;
    streaming.head(&head("GET", "/events", &[])).await;
    streaming.end().await;
    streaming.outer().await;
    assert!(matches!(streaming.part().await, Part::Response(head) if head.status == 200));
    for event in ["data: a\n\n", "data: much longer\n\n"] {
        send.send(event).unwrap();
        // Its length in front, then 256 bytes and a tag.
        let sealed = streaming.peer.chunk().await.unwrap();
        assert_eq!(sealed.len(), 2 + 256 + 16);
        streaming.opener.feed(&sealed).unwrap();
        assert_eq!(streaming.part().await, Part::Content(event.as_bytes().to_vec()));
    }
    drop(send);
    assert!(matches!(streaming.part().await, Part::End(_)));
}

#[tokio::test]
async fn silence_is_filled_with_records_that_say_nothing() {
    let app = App::new(|mut peer| async move {
        peer.head().await;
        peer.rest().await;
    })
    .await;
    let limits = Limits { silence: Duration::from_millis(5), ..Limits::DEFAULT };
    let steved = run(Settings { limits, ..settings(app.address) }).await;
    let mut client = Client::connect(steved.address).await;
    let mut streaming = client.posting().await;
    for _ in 0..3 {
        assert_eq!(streaming.next().await.unwrap(), Some((Kind::Pad, Vec::new(), false)));
    }
}

#[tokio::test]
async fn what_is_no_request_is_told_inside_and_never_reaches_the_app() {
    let (app, _) = App::answering("").await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    for path in ["/attestation", "/.well-known/steve/x", "/a/..//.well-known/%63aution/health"] {
        let answer = client.request(&head("GET", path, &[]), b"", &Vec::new()).await;
        assert_eq!(answer.failure(), ("head_invalid", false), "{path}");
    }
    for message in [&b""[..], b"\x03", b"\x02\x03GET\x04http", &[0xff; 40]] {
        let (bytes, opener) = client.sealed(message);
        let outer = crate::client::post(steved.address, "x", "application/steve-req", &bytes).await;
        let answer = crate::client::Answer::read(opener, &outer.body).unwrap();
        let expected =
            if message.is_empty() || message.starts_with(b"\x02") { "reset" } else { "head_invalid" };
        assert_eq!(answer.failure(), (expected, false), "{message:?}");
    }
    assert_eq!(app.connections(), 0);
}

#[tokio::test]
async fn an_app_that_does_not_listen_was_sent_nothing() {
    let (app, _) = App::answering("").await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let steved = run(Settings { app: closed, ..settings(app.address) }).await;
    let mut client = Client::connect(steved.address).await;
    let answer = client.request(&head("POST", "/", &[]), b"x", &Vec::new()).await;
    assert_eq!(answer.failure(), ("upstream_unavailable", false));
}

#[tokio::test]
async fn responses_of_another_exchange_do_not_open() {
    let (app, _) = App::answering("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx").await;
    let steved = run(settings(app.address)).await;
    let mut client = Client::connect(steved.address).await;
    let request = crate::client::message(&head("GET", "/", &[]), b"", &Vec::new());
    let ((one, first), (other, second)) = (client.sealed(&request), client.sealed(&request));
    let one = crate::client::post(steved.address, "x", "application/steve-req", &one).await;
    let other = crate::client::post(steved.address, "x", "application/steve-req", &other).await;
    assert_eq!(crate::client::Answer::read(first, &other.body).unwrap_err(), RecordError::NotAuthentic);
    assert_eq!(crate::client::Answer::read(second, &one.body).unwrap_err(), RecordError::NotAuthentic);
}

#[tokio::test]
async fn an_app_may_speak_http_2() {
    let app = App::new(|peer| async move {
        let service =
            hyper::service::service_fn(|mut request: hyper::Request<hyper::body::Incoming>| async move {
                assert_eq!(request.version(), hyper::Version::HTTP_2);
                assert_eq!(request.uri().authority().unwrap(), "app.example");
                let said = format!(
                    "{} {} {:?}",
                    request.method(),
                    request.uri().path(),
                    request.headers()["x-enclave-e2e"]
                );
                let mut length = 0;
                let body = request.body_mut();
                while let Some(frame) = std::future::poll_fn(|context| {
                    hyper::body::Body::poll_frame(std::pin::Pin::new(&mut *body), context)
                })
                .await
                {
                    length += frame.unwrap().into_data().unwrap().len();
                }
                Ok::<_, std::convert::Infallible>(hyper::Response::new(format!("{said} {length}")))
            });
        let _ = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
            .serve_connection(hyper_util::rt::TokioIo::new(peer.stream), service)
            .await;
    })
    .await;
    let steved = run(Settings { protocol: Protocol::H2c, ..settings(app.address) }).await;
    let mut client = Client::connect(steved.address).await;
    let answer =
        client.request(&head("POST", "/x", &[("te", "trailers")]), &vec![7; 20_000], &Vec::new()).await;
    let said = String::from_utf8(answer.content).unwrap();
    assert_eq!(said, "POST /x \"v=3; suite=x25519\" 20000");
}
