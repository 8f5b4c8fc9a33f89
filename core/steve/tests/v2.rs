//! Version 2: its vectors, recomputed from what is written down, and what an attacker does.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::{digest, hkdf};
use caution_steve::v2::{
    Begun, Client, ClientRandom, ClientSession, Envelope, Error, MAX_MESSAGE, MAX_RESPONSE, Offer, Request,
    Response, ServerRandom, ServerSession, SessionRequest, WINDOW,
};
use caution_steve::{EpochClaims, Suite};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use minicbor::Encoder;
use serde_json::Value;
use std::path::Path;

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().expect("a string").as_bytes()).expect("hex digits")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the length of its field")
}

fn vector(suite: Suite) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors/steve");
    let text = std::fs::read_to_string(folder.join(format!("v2-{suite}.json"))).expect("a committed file");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn both_sides_say_the_vectors_bytes() {
    for suite in Suite::ALL {
        let vector = vector(suite);
        let random = ClientRandom {
            key: array::<32>(&vector["client"]["key"]).into(),
            nonce: array(&vector["client"]["nonce"]),
        };
        let (client, request) = Client::start(suite, array(&vector["context_hash"]), &random);
        assert_eq!(request, bytes(&vector["session_request"]));
        let random = ServerRandom {
            key: array::<64>(&vector["server"]["key"]).into(),
            session: array(&vector["server"]["session"]),
        };
        let offer = Offer::new(suite, &request, &random).unwrap();
        assert_eq!(offer.nonce()[..], bytes(&vector["client"]["nonce"]));
        let user_data = offer.claims().to_bytes();
        assert_eq!(user_data, vector["user_data"].as_str().unwrap().as_bytes());
        let (mut server, response) = offer.answer(bytes(&vector["server"]["document"]), 1800);
        assert_eq!(response, bytes(&vector["session_response"]));
        let unverified = client.finish(&response).unwrap();
        assert_eq!((unverified.expires_in_s, &unverified.document[..]), (1800, &b"document"[..]));
        let mut client = unverified.verified(&user_data).unwrap();
        assert_eq!(client.transcript_hash(), array(&vector["transcript_hash"]));
        assert_eq!(client.confirmation(), bytes(&vector["client_confirmation"]));
        let confirmed = server.confirm(&client.confirmation()).unwrap();
        assert_eq!(confirmed, bytes(&vector["server_confirmation"]));
        client.confirmed(&confirmed).unwrap();
        for exchange in vector["exchanges"].as_array().unwrap() {
            let plain = bytes(&exchange["request_plain"]);
            let Request { head, body } = Request::from_bytes(&plain).unwrap();
            let body = body.map(|body| &plain[body]);
            let (sequence, request) = client.request(&head.method, &head.path, &head.fields, body).unwrap();
            assert_eq!(
                (Some(sequence), &request),
                (exchange["sequence"].as_u64(), &bytes(&exchange["request"]))
            );
            assert_eq!(server.open(request).unwrap().request().unwrap().head, head);
            match client.response(sequence, bytes(&exchange["response"])).unwrap() {
                (Response::App { status, fields, .. }, body) => {
                    assert_eq!((status, fields.len(), &body[..]), (201, 2, &b"noted"[..]));
                }
                (Response::Error(code), _) => assert_eq!(code, "upstream_unavailable"),
            }
        }
    }
}

/// The keys, and what follows from them, written again from the page alone.
#[test]
fn what_is_written_down_gives_the_vectors_bytes() {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let vector = vector(Suite::X25519);
    let key = |hex: &Value| PrivateKey::from_private_key(&X25519, &bytes(hex)[..32]).unwrap();
    let (client, server) = (key(&vector["client"]["key"]), key(&vector["server"]["key"]));
    let public = |key: &PrivateKey| key.compute_public_key().unwrap().as_ref().to_vec();
    let (client_key, server_key) = (public(&client), public(&server));
    let session = bytes(&vector["server"]["session"]);
    let (nonce, context) = (bytes(&vector["client"]["nonce"]), bytes(&vector["context_hash"]));

    let mut request = Vec::new();
    let mut cbor = Encoder::new(&mut request);
    cbor.map(5).unwrap().str("version").unwrap().u8(2).unwrap().str("key_exchange").unwrap();
    cbor.str("X25519").unwrap().str("client_nonce").unwrap().bytes(&nonce).unwrap();
    cbor.str("client_key_material").unwrap().bytes(&client_key).unwrap();
    cbor.str("context_hash").unwrap().bytes(&context).unwrap();
    assert_eq!(request, bytes(&vector["session_request"]));

    let transcript =
        [b"STEVE-E2P-V2\0X25519\0", &nonce[..], &client_key, &server_key, &session, &context].concat();
    let th = digest::digest(&digest::SHA256, &transcript);
    assert_eq!(th.as_ref(), bytes(&vector["transcript_hash"]));
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, th.as_ref());
    let prk = agreement::agree(&server, UnparsedPublicKey::new(&X25519, &client_key), (), |shared| {
        Ok(salt.extract(shared))
    })
    .unwrap();
    let derive = |label: &str, length: usize| {
        let mut out = vec![0; length];
        let info = format!("steve-e2p-v2/{label}");
        prk.expand(&[info.as_bytes()], Length(length)).unwrap().fill(&mut out).unwrap();
        out
    };
    let text = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let binder = derive("attestation-binder", 32);
    let said: Value = serde_json::from_str(vector["user_data"].as_str().unwrap()).unwrap();
    let expected = serde_json::json!({
        "protocol": "STEVE-E2P-V2", "key_exchange": "X25519", "session_id": text(&session),
        "transcript_hash": text(th.as_ref()), "binder": text(&binder),
    });
    assert_eq!(said, expected);

    // Type, direction, number, content.
    let envelope = |kind: u8, direction: u8, sequence: u64, plain: &[u8]| {
        let way = ["c2s", "s2c"][usize::from(direction)];
        let key = UnboundKey::new(&AES_256_GCM, &derive(&format!("{way}-key"), 32)).unwrap();
        let nonce = [&derive(&format!("{way}-iv"), 4)[..], &sequence.to_be_bytes()].concat();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        let aad = [b"STEVE-E2P-V2\0", &[kind, direction][..], &session, &sequence.to_be_bytes()].concat();
        let mut record = plain.to_vec();
        LessSafeKey::new(key).seal_in_place_append_tag(nonce, Aad::from(aad), &mut record).unwrap();
        let mut bytes = Vec::new();
        let mut cbor = Encoder::new(&mut bytes);
        cbor.map(4).unwrap().str("version").unwrap().u8(2).unwrap().str("session_id").unwrap();
        cbor.bytes(&session).unwrap().str("sequence").unwrap().bytes(&sequence.to_be_bytes()).unwrap();
        cbor.str("ciphertext").unwrap().bytes(&record).unwrap();
        HEXLOWER.encode(&bytes)
    };
    assert_eq!(vector["client_confirmation"], envelope(0, 0, 0, th.as_ref()));
    assert_eq!(vector["server_confirmation"], envelope(0, 1, 0, th.as_ref()));
    let first = &vector["exchanges"][0];
    assert_eq!(first["request"], envelope(1, 0, 1, &bytes(&first["request_plain"])));

    let mut response = Vec::new();
    let mut cbor = Encoder::new(&mut response);
    cbor.map(3).unwrap().str("status").unwrap().u16(201).unwrap().str("headers").unwrap().array(2).unwrap();
    for value in ["a=1", "b=2"] {
        cbor.array(2).unwrap().str("set-cookie").unwrap().str(value).unwrap();
    }
    cbor.str("body").unwrap().bytes(b"noted").unwrap();
    assert_eq!(first["response"], envelope(1, 1, 1, &response));
}

/// A client that has verified its document, and its server: nothing is confirmed.
fn unconfirmed(seed: u8) -> (ClientSession, ServerSession) {
    let random = ClientRandom { key: [seed; 32].into(), nonce: [seed; 32] };
    let (client, request) = Client::start(Suite::X25519, [1; 32], &random);
    let random = ServerRandom { key: [seed ^ 0x80; 64].into(), session: [seed; 16] };
    let offer = Offer::new(Suite::X25519, &request, &random).unwrap();
    let user_data = offer.claims().to_bytes();
    let (server, answer) = offer.answer(Vec::new(), 1800);
    (client.finish(&answer).unwrap().verified(&user_data).unwrap(), server)
}

fn confirmed(seed: u8) -> (ClientSession, ServerSession) {
    let (mut client, mut server) = unconfirmed(seed);
    let answer = server.confirm(&client.confirmation()).unwrap();
    client.confirmed(&answer).unwrap();
    (client, server)
}

fn get(client: &mut ClientSession) -> Vec<u8> {
    client.request("GET", "/", &Vec::new(), None).unwrap().1
}

#[test]
fn a_confirmation_is_taken_once() {
    let (client, mut server) = unconfirmed(1);
    server.confirm(&client.confirmation()).unwrap();
    assert_eq!(server.confirm(&client.confirmation()), Err(Error::Replay(0)));
}

#[test]
fn no_request_begins_before_the_confirmation() {
    let (mut client, mut server) = unconfirmed(1);
    assert_eq!(client.request("GET", "/", &Vec::new(), None), Err(Error::NotConfirmed));
    // A client that does not wait: it takes for confirmed what another server confirmed with its keys.
    let (_, mut same) = unconfirmed(1);
    client.confirmed(&same.confirm(&client.confirmation()).unwrap()).unwrap();
    let request = get(&mut client);
    assert_eq!(server.open(request.clone()).err(), Some(Error::NotConfirmed));
    server.confirm(&client.confirmation()).unwrap();
    assert!(server.open(request).is_ok());
}

#[test]
fn a_document_for_another_session_is_refused() {
    let random = ClientRandom { key: [1; 32].into(), nonce: [1; 32] };
    let (client, request) = Client::start(Suite::X25519, [1; 32], &random);
    let server = |seed| ServerRandom { key: [seed; 64].into(), session: [9; 16] };
    let ours = Offer::new(Suite::X25519, &request, &server(2)).unwrap();
    // The same names, but another key: another transcript, and another binder.
    let other = Offer::new(Suite::X25519, &request, &server(3)).unwrap().claims().to_bytes();
    let (_, answer) = ours.answer(Vec::new(), 1800);
    let refused = client.finish(&answer).unwrap().verified(&other).err();
    assert_eq!(refused, Some(Error::NotAuthentic("attestation document")));
}

#[test]
fn claims_cannot_be_taken_for_those_of_a_key_or_of_the_platform() {
    let random = ClientRandom { key: [1; 32].into(), nonce: [1; 32] };
    for suite in Suite::ALL {
        let (_, request) = Client::start(suite, [1; 32], &random);
        let random = ServerRandom { key: [2; 64].into(), session: [9; 16] };
        let claims = Offer::new(suite, &request, &random).unwrap().claims().to_bytes();
        assert_eq!(EpochClaims::from_bytes(&claims), None);
        // As CBOR it begins a text, whatever follows, and the others are maps.
        assert_eq!(claims[0] >> 5, 3);
        assert!(claims.len() <= 240, "{}", claims.len());
    }
}

#[test]
fn a_request_begins_once_and_not_after_63_others() {
    let (mut client, mut server) = confirmed(1);
    let requests: Vec<_> = (0..200).map(|_| get(&mut client)).collect();
    let mut open =
        |sequence: usize| server.open(requests[sequence - 1].clone()).map(|opened| opened.sequence);
    assert_eq!(open(1), Ok(1));
    assert_eq!(open(1), Err(Error::Replay(1)));
    assert_eq!(open(64), Ok(64));
    assert_eq!(open(2), Ok(2));
    assert_eq!(open(1), Err(Error::Replay(1)));
    assert_eq!(open(65), Ok(65));
    assert_eq!(open(1), Err(Error::TooOld(1)));
    assert_eq!(open(200), Ok(200));
    assert_eq!(open(136), Err(Error::TooOld(136)));
    assert_eq!(open(137), Ok(137));
    assert_eq!(open(137), Err(Error::Replay(137)));
    assert_eq!(WINDOW, 64);
}

#[test]
fn the_beginning_of_an_envelope_says_whose_it_is_and_what_follows_says_the_same() {
    let (mut client, mut server) = confirmed(1);
    let request = get(&mut client);
    let begun = Begun { session: client.id(), sequence: Some(1) };
    let named = request.windows(16).position(|window| window == begun.session.0).unwrap() + 16;
    let numbered = request.windows(8).position(|window| window == 1_u64.to_be_bytes()).unwrap() + 8;
    for length in 0..=request.len() {
        let expected = (length >= named)
            .then_some(Begun { sequence: begun.sequence.filter(|_| length >= numbered), ..begun });
        assert_eq!(Envelope::beginning(&request[..length]), Ok(expected), "{length}");
    }
    assert_eq!(server.may_begin(begun.sequence), Ok(()));
    server.open(request).unwrap();
    assert_eq!(server.may_begin(begun.sequence), Err(Error::Replay(1)));
    assert_eq!(server.may_begin(Some(0)), Err(Error::TooOld(0)));
    assert_eq!((server.may_begin(None), server.may_begin(Some(2))), (Ok(()), Ok(())));
    for other in [&b"\x80"[..], b"\xbf", b"\xa1\xc0", b"\xa1\x6asession_id\x41\0", b"\xff"] {
        assert!(Envelope::beginning(other).is_err(), "{other:?}");
    }
}

#[test]
fn nothing_of_another_session_or_that_was_changed_is_taken() {
    let ((mut client, mut server), (_, mut other)) = (confirmed(1), confirmed(2));
    let request = get(&mut client);
    assert_eq!(other.open(request.clone()).err(), Some(Error::SessionUnknown));
    assert_eq!(other.confirm(&client.confirmation()), Err(Error::SessionUnknown));
    // With the other's name around it.
    let at = request.windows(16).position(|window| window == [1; 16]).unwrap();
    let renamed = [&request[..at], &[2; 16], &request[at + 16..]].concat();
    assert_eq!(other.open(renamed).err(), Some(Error::NotAuthentic("request")));
    // A confirmation is no request, a request no confirmation, and neither is a response.
    assert_eq!(server.open(client.confirmation()).err(), Some(Error::NotAuthentic("request")));
    assert_eq!(server.confirm(&request), Err(Error::Malformed("confirmation")));
    assert_eq!(client.response(1, request.clone()).err(), Some(Error::NotAuthentic("response")));
    assert!(client.confirmed(&client.confirmation()).is_err());
    for at in 0..request.len() {
        let mut changed = request.clone();
        changed[at] ^= 1;
        assert!(server.open(changed).is_err(), "byte {at}");
        assert!(server.open(request[..at].to_vec()).is_err(), "cut at {at}");
    }
    assert!(server.open([&request[..], b"\0"].concat()).is_err());
    // Nobody else used its number up.
    assert!(server.open(request).is_ok());
    let response = server.seal(1, 200, &Vec::new(), b"body").unwrap();
    assert_eq!(client.response(2, response.clone()).err(), Some(Error::Malformed("response")));
    for at in 0..response.len() {
        let mut changed = response.clone();
        changed[at] ^= 1;
        assert!(client.response(1, changed).is_err(), "byte {at}");
    }
    assert_eq!(client.response(1, response).unwrap().1, b"body");
}

#[test]
fn a_response_that_would_be_longer_than_any_is_none() {
    let (_, server) = confirmed(1);
    let body = vec![0; MAX_MESSAGE];
    let sealed = |length| {
        let fields = vec![("x-much".to_owned(), vec![b'x'; length])];
        server.seal(1, 200, &fields, &body).map(|sealed| sealed.len())
    };
    let most = (65_000..66_000).rev().find_map(sealed);
    assert_eq!((most, sealed(66_000)), (Some(MAX_RESPONSE), None));
}

#[test]
fn keys_and_suites_that_no_honest_client_sends_are_refused() {
    let server = || ServerRandom { key: [2; 64].into(), session: [9; 16] };
    for suite in Suite::ALL {
        let random = ClientRandom { key: [1; 32].into(), nonce: [1; 32] };
        let (_, request) = Client::start(suite, [1; 32], &random);
        let other = if suite == Suite::X25519 { Suite::XWing } else { Suite::X25519 };
        let refused = Offer::new(other, &request, &server()).err();
        assert!(matches!(refused, Some(Error::SuiteMismatch(_))), "{refused:?}");
        let honest = SessionRequest::from_bytes(&request).unwrap();
        let mut zero = honest.key.clone();
        zero[suite.public_key_len() - 32..].fill(0);
        for key in [zero, honest.key[1..].to_vec(), [&honest.key[..], &[0]].concat(), Vec::new()] {
            let request = SessionRequest { key, ..honest.clone() }.to_bytes();
            let refused = Offer::new(suite, &request, &server()).err();
            assert!(matches!(refused, Some(Error::Key(_))), "{refused:?}");
        }
    }
}

#[test]
fn requests_that_mean_two_things_are_refused() {
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let read = |method: &str, path: &str, fields: &[(String, Vec<u8>)]| {
        Request::from_bytes(&Request::write(method, path, &fields.to_vec(), Some(b"five!")))
    };
    let honest = [field("Host", "app.example:1"), field("Content-Length", "5"), field("X-a", "b")];
    let request = read("POST", "/a?b", &honest).unwrap();
    assert_eq!(request.head.authority, "app.example:1");
    assert_eq!(request.head.fields, [field("content-length", "5"), field("x-a", "b")]);
    let refused = [
        read("PO ST", "/", &[]),
        read("POST", "http://other/", &[]),
        read("POST", "/a b", &[]),
        read("POST", "/", &[field("a", "b\r\nc: d")]),
        read("POST", "/", &[field("A", "1"), field("a", "2")]),
        read("POST", "/", &[field("transfer-encoding", "chunked")]),
        read("POST", "/", &[field("content-length", "4")]),
        read("POST", "/", &[field("host", "a@b")]),
        Request::from_bytes(b"\xa1\x66method\x63GET"),
    ];
    for refused in refused {
        assert_eq!(refused, Err(Error::Malformed("request")));
    }
    // A character that is no byte.
    let plain = Request::write("GET", "/", &vec![field("a", "bb")], None);
    let at = plain.windows(3).position(|window| window == b"\x62bb").unwrap();
    let wide = [&plain[..at], b"\x62\xc4\x80", &plain[at + 3..]].concat();
    assert_eq!(Request::from_bytes(&wide), Err(Error::Malformed("request")));
}
