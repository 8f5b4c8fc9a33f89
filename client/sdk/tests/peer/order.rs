//! A host that reorders what an enclave says, and one that has another enclave say it.

use crate::hostile::{EVIDENCE, EXCHANGE, SESSION, on, refusal};
use crate::support::{Instead, Peer, pinned};
use caution_sdk::{Error, Suite};
use std::sync::{Arc, Mutex};

/// The chunks of a stream, each with its length in front.
fn chunks(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut all, mut rest) = (Vec::new(), stream);
    while let Some(first) = rest.first() {
        let size = 1 << (first >> 6);
        let number = rest[..size].iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
        let length = number & ((1 << (8 * size - 2)) - 1);
        let end = if length == 0 { rest.len() } else { size + length };
        all.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    all
}

/// What a host makes of the chunks of a response.
type Meddling = fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>;

#[tokio::test]
async fn chunks_that_are_dropped_doubled_or_reordered_are_an_error() {
    let peer = Peer::start(Suite::X25519).await;
    let client = peer.client().await;
    let meddlings: [(&str, Meddling); 8] = [
        ("the first is dropped", |mut all| all.split_off(1)),
        ("one between is dropped", |mut all| {
            all.remove(1);
            all
        }),
        ("the one with content is dropped", |mut all| {
            all.remove(2);
            all
        }),
        ("the last is dropped", |mut all| {
            all.pop();
            all
        }),
        ("the first comes twice", |mut all| {
            all.insert(0, all[0].clone());
            all
        }),
        ("the one with content comes twice", |mut all| {
            all.insert(2, all[2].clone());
            all
        }),
        ("two change places", |mut all| {
            all.swap(1, 2);
            all
        }),
        ("the first two change places", |mut all| {
            all.swap(0, 1);
            all
        }),
    ];
    for (ran, (what, meddle)) in meddlings.into_iter().enumerate() {
        on(&peer, EXCHANGE, move |honest| {
            let all = chunks(&honest);
            assert_eq!(all.len(), 4, "a head, a pad, content and an end");
            Instead::Answer(meddle(all).concat())
        });
        let error = match client.post("/whole/answer").body("once").send().await {
            Err(error) => error,
            Ok(mut response) => response.bytes(1000).await.unwrap_err(),
        };
        assert!(error.may_have_run(), "{what}: {error}");
        assert_eq!(peer.ran(), ran + 1, "{what}");
    }
}

/// One enclave's evidence, and another that answers in its place: it does not hold the attested key.
#[tokio::test]
async fn evidence_of_one_enclave_makes_no_session_with_another() {
    let honest = Peer::start(Suite::X25519).await;
    let other = Peer::start(Suite::X25519).await;
    let bundle = honest.bundle();
    on(&other, EVIDENCE, move |_| Instead::Answer(bundle.clone()));
    let error = honest.builder_at(&other.url, pinned()).connect().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && !error.may_have_run(), "{error}");

    // What the other would say to a hello of its own.
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    other.interfere(move |path, answer| {
        if path == SESSION {
            *keep.lock().unwrap() = answer.clone();
        }
        Instead::Answer(answer)
    });
    other.client().await;
    let answer = kept.lock().unwrap().clone();
    on(&honest, SESSION, move |_| Instead::Answer(answer.clone()));
    let error = refusal(&honest).await;
    assert!(matches!(error, Error::Handshake { .. }) && !error.may_have_run(), "{error}");
    assert_eq!((honest.ran(), other.ran()), (0, 0));
}

#[tokio::test]
async fn answers_to_a_hello_that_are_longer_than_any_are_not_read() {
    let peer = Peer::start(Suite::X25519).await;
    for long in [8193, 1 << 20] {
        on(&peer, SESSION, move |_| Instead::Answer(vec![1; long]));
        assert!(matches!(refusal(&peer).await, Error::Unreachable { .. }), "{long}");
    }
    assert_eq!(peer.ran(), 0);
}
