//! A host that drops, cuts, changes, swaps, repeats and lies.

use crate::support::{Instead, Peer, pinned};
use caution_sdk::{Error, EvidenceError, Suite};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const EVIDENCE: &str = "/.well-known/steve/evidence";
pub(crate) const SESSION: &str = "/.well-known/steve/session";
pub(crate) const EXCHANGE: &str = "/.well-known/steve/x";

pub(crate) async fn refusal(peer: &Peer) -> Error {
    peer.builder(pinned()).connect().await.unwrap_err()
}

async fn evidence_refusal(peer: &Peer) -> EvidenceError {
    match refusal(peer).await {
        Error::Evidence { cause, .. } => *cause,
        error => panic!("{error}"),
    }
}

/// The host answers one path with what `with` makes of the honest answer.
pub(crate) fn on(peer: &Peer, path: &'static str, mut with: impl FnMut(Vec<u8>) -> Instead + Send + 'static) {
    peer.interfere(move |asked, honest| if asked == path { with(honest) } else { Instead::Answer(honest) });
}

#[tokio::test]
async fn evidence_that_was_cut_or_changed_is_refused() {
    let peer = Peer::start(Suite::X25519).await;
    let length = peer.bundle().len();
    // Every byte of what surrounds the document, and one of 97 of the document.
    let places = (0..60).chain((60..length).step_by(97)).chain(length - 2..length);
    for place in places {
        for cut in [true, false] {
            on(&peer, EVIDENCE, move |mut honest| {
                let place = place.min(honest.len() - 1);
                if cut {
                    honest.truncate(place);
                } else {
                    honest[place] ^= 1;
                }
                Instead::Answer(honest)
            });
            let error = refusal(&peer).await;
            assert!(matches!(error, Error::Evidence { .. }), "{place} {cut} {error}");
        }
    }
    for long in [32 * 1024 + 1, 1 << 20] {
        on(&peer, EVIDENCE, move |_| Instead::Answer(vec![0; long]));
        assert!(matches!(refusal(&peer).await, Error::Unreachable { .. }));
    }
    assert_eq!(peer.ran(), 0);
}

#[tokio::test]
async fn evidence_of_another_enclave_or_another_time_is_refused() {
    let peer = Peer::start(Suite::X25519).await;
    // Another enclave's, of another root: nobody vouches for it.
    let stranger = Peer::start(Suite::X25519).await.bundle();
    on(&peer, EVIDENCE, move |_| Instead::Answer(stranger.clone()));
    assert!(matches!(evidence_refusal(&peer).await, EvidenceError::Attestation(_)));
    peer.leave_alone();

    // Genuine, with keys of somebody else.
    peer.claim(|claims| claims.key_configs_hash[0] ^= 1);
    assert!(matches!(evidence_refusal(&peer).await, EvidenceError::KeyBinding));
    peer.claim(|claims| claims.key_configs_hash[0] ^= 1);

    // Genuine, and from yesterday or tomorrow.
    peer.clock.pass(Duration::from_secs(20 * 60 + 1));
    assert!(matches!(evidence_refusal(&peer).await, EvidenceError::Stale { .. }));
    peer.claim(|claims| claims.not_before_ms += 24 * 60 * 60 * 1000);
    peer.claim(|claims| claims.not_after_ms += 24 * 60 * 60 * 1000);
    assert!(matches!(evidence_refusal(&peer).await, EvidenceError::Stale { .. }));
    assert_eq!(peer.ran(), 0);
}

#[tokio::test]
async fn evidence_that_answers_another_challenge_is_refused() {
    let peer = Peer::start(Suite::X25519).await;
    peer.builder(pinned()).fresh_evidence().connect().await.unwrap();
    let epoch = peer.bundle();
    on(&peer, EVIDENCE, move |_| Instead::Answer(epoch.clone()));
    let error = peer.builder(pinned()).fresh_evidence().connect().await.unwrap_err();
    assert!(matches!(error, Error::Evidence { .. }), "{error}");

    // What answered one challenge answers no other.
    let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&kept);
    on(&peer, EVIDENCE, move |honest| Instead::Answer(keep.lock().unwrap().get_or_insert(honest).clone()));
    peer.builder(pinned()).fresh_evidence().connect().await.unwrap();
    let error = peer.builder(pinned()).fresh_evidence().connect().await.unwrap_err();
    assert!(matches!(error, Error::Evidence { .. }) && !error.may_have_run(), "{error}");
}

/// A genuine bundle in front of a server that does not hold its key.
#[tokio::test]
async fn whoever_does_not_hold_the_attested_key_makes_no_session() {
    let peer = Peer::start(Suite::X25519).await;
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    on(&peer, SESSION, move |honest| {
        *keep.lock().unwrap() = Some(honest.clone());
        Instead::Answer(honest)
    });
    peer.builder(pinned()).connect().await.unwrap();
    let earlier = kept.lock().unwrap().take().unwrap();
    on(&peer, SESSION, move |_| Instead::Answer(earlier.clone()));
    assert!(matches!(refusal(&peer).await, Error::Handshake { .. }), "an earlier answer");

    for place in (0..168).step_by(5) {
        on(&peer, SESSION, move |mut honest| {
            let place = place.min(honest.len() - 1);
            honest[place] ^= 0x80;
            Instead::Answer(honest)
        });
        assert!(matches!(refusal(&peer).await, Error::Handshake { .. }), "byte {place}");
        on(&peer, SESSION, move |honest| Instead::Answer(honest[..place.min(honest.len() - 1)].to_vec()));
        assert!(matches!(refusal(&peer).await, Error::Handshake { .. }), "cut at {place}");
    }
    assert_eq!(peer.ran(), 0);
}

/// Cut after any byte, with or without a clean end of the connection: never a shorter success.
#[tokio::test]
async fn a_response_cut_anywhere_is_an_error() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let mut whole = client.get("/whole/answer").send().await.unwrap();
    whole.bytes(100).await.unwrap();
    let length = usize::try_from(whole.receipt().exchange.unwrap().received).unwrap();
    for place in 0..length {
        for clean in [true, false] {
            on(&peer, EXCHANGE, move |mut honest| {
                honest.truncate(place);
                if clean { Instead::Answer(honest) } else { Instead::Break(honest) }
            });
            let error = match client.get("/whole/answer").send().await {
                Err(error) => error,
                Ok(mut response) => {
                    let error = response.bytes(100).await.unwrap_err();
                    assert!(!response.receipt().exchange.unwrap().complete);
                    error
                }
            };
            assert!(error.may_have_run(), "{place} {clean} {error}");
        }
    }
    on(&peer, EXCHANGE, move |honest| {
        assert_eq!(honest.len(), length, "what was cut above was this, too");
        Instead::Answer(honest)
    });
    assert_eq!(client.get("/whole/answer").send().await.unwrap().text(100).await.unwrap(), "/whole/answer");
}

#[tokio::test]
async fn a_response_changed_anywhere_is_an_error() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let broken = async || match client.get("/whole/answer").send().await {
        Err(error) => error,
        Ok(mut response) => response.bytes(1000).await.unwrap_err(),
    };
    for place in 0..120 {
        on(&peer, EXCHANGE, move |mut honest| {
            let place = place.min(honest.len() - 1);
            honest[place] ^= 1;
            Instead::Answer(honest)
        });
        assert!(broken().await.may_have_run(), "byte {place}");
    }
    on(&peer, EXCHANGE, |honest| Instead::Answer([&honest[..], &honest].concat()));
    assert!(broken().await.may_have_run(), "twice");
    on(&peer, EXCHANGE, |honest| Instead::Answer([&honest[..], b"\0"].concat()));
    assert!(broken().await.may_have_run(), "and more");
}

#[tokio::test]
async fn responses_that_were_swapped_do_not_open() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let keep = Arc::clone(&kept);
    on(&peer, EXCHANGE, move |honest| {
        let earlier = keep.lock().unwrap().replace(honest.clone());
        Instead::Answer(earlier.unwrap_or(honest))
    });
    client.get("/first").send().await.unwrap();
    let error = client.get("/second").send().await.unwrap_err();
    assert!(matches!(error, Error::Broken(_)) && error.may_have_run(), "{error}");
}

/// What a host says itself is never taken for the application's word, and never a reason to send again.
#[tokio::test]
async fn unsealed_words_are_ambiguous_and_repeat_nothing() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let lies = [
        (200, "text/html", "<p>all is well"),
        (200, "application/steve-res", ""),
        (204, "application/steve-res", ""),
        (302, "application/steve-res", ""),
        (400, "application/problem+json", r#"{"type":"urn:steve:malformed"}"#),
        (403, "application/json", r#"{"error":"e2e_required"}"#),
        (409, "application/problem+json", r#"{"type":"urn:steve:replay"}"#),
        (410, "application/problem+json", r#"{"type":"urn:steve:session_unknown"}"#),
        (503, "application/problem+json", r#"{"type":"urn:steve:busy"}"#),
    ];
    for (n, (status, content_type, text)) in lies.into_iter().enumerate() {
        on(&peer, EXCHANGE, move |_| Instead::Status(status, content_type, text));
        let error = client.post("/pay").body("once").send().await.unwrap_err();
        assert!(error.may_have_run(), "{status} {error}");
        assert!(error.to_string().contains("not"), "{error}");
        assert_eq!(peer.ran(), n + 1, "{status}: it ran once, whatever the host says");
    }
}

/// A connection that breaks after the request was sent: it may have run, and is not sent again.
#[tokio::test]
async fn a_dropped_connection_repeats_nothing() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    on(&peer, EXCHANGE, |_| Instead::Break(Vec::new()));
    let error = client.post("/pay").body("once").send().await.unwrap_err();
    assert!(error.may_have_run(), "{error}");
    assert_eq!(peer.ran(), 1);
}

/// The host sends each request on twice, hellos among them, and answers with what comes first or last.
#[tokio::test]
async fn a_request_that_is_sent_on_twice_runs_once() {
    let peer = Peer::start(Suite::X25519).await;
    for answer in [0, 1] {
        let ran = peer.ran();
        let host = repeating_host(&peer, answer).await;
        let connected = peer.builder_at(&host, pinned()).connect().await;
        let Ok(client) = connected else {
            assert_eq!(answer, 1, "the second hello is refused");
            continue;
        };
        assert_eq!(client.post("/pay").body("once").send().await.unwrap().text(10).await.unwrap(), "/pay");
        assert_eq!(peer.ran(), ran + 1);
    }
}

async fn repeating_host(peer: &Peer, answer: usize) -> String {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let to = peer.url.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let to = to.clone();
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let to = to.clone();
                async move {
                    let (mut parts, body) = request.into_parts();
                    parts.uri = format!("{to}{}", parts.uri).parse().unwrap();
                    let body = Full::new(body.collect().await.unwrap().to_bytes());
                    let client = Client::builder(TokioExecutor::new()).build_http();
                    let mut answers = Vec::new();
                    for _ in 0..2 {
                        let request = http::Request::from_parts(parts.clone(), body.clone());
                        let (parts, body) = client.request(request).await.unwrap().into_parts();
                        let body = Full::new(body.collect().await.unwrap().to_bytes());
                        answers.push(http::Response::from_parts(parts, body));
                    }
                    Ok::<_, std::convert::Infallible>(answers.swap_remove(answer))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    host
}

#[tokio::test]
async fn a_restarted_enclave_costs_one_error_and_then_goes_on() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    peer.forget_sessions();
    let error = client.get("/hello").send().await.unwrap_err();
    assert!(matches!(error, Error::Ambiguous { .. }), "{error}");
    assert_eq!(client.get("/hello").send().await.unwrap().text(10).await.unwrap(), "/hello");
}

/// Somebody who says "session unknown" to everything gets three hellos a minute, and no requests.
#[tokio::test]
async fn handshakes_are_few() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    on(&peer, EXCHANGE, |_| Instead::Status(410, "application/problem+json", ""));
    for _ in 0..3 {
        assert!(matches!(client.get("/a").send().await, Err(Error::Ambiguous { .. })));
    }
    let ran = peer.ran();
    assert!(matches!(client.get("/a").send().await, Err(Error::TooManyHandshakes { .. })));
    assert_eq!(peer.ran(), ran);
    peer.leave_alone();
    peer.clock.pass(Duration::from_secs(61));
    client.get("/a").send().await.unwrap();
}
