//! Handshakes, exchanges and what a hostile host makes of them.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

use caution_steve::{
    AttestedKey, Beginning, ClientHandshake, ClientRandom, ClientSession, EpochKey, ExchangeError, Grant,
    HandshakeError, Kind, Limits, Opener, Record, RecordError, Sealer, ServerRandom, ServerSession, Suite,
    context_hash, decode_key_configs,
};
use zeroize::Zeroizing;

const INSTANCE: [u8; 16] = [0x11; 16];
const GRANT: Grant<'_> = Grant { contexts: &[], limits: Limits::DEFAULT, lifetime_s: 1800 };

fn epoch_key(suite: Suite) -> EpochKey {
    EpochKey::from_seed(suite, 3, INSTANCE, &Zeroizing::new([0x22; 32]))
}

fn attested(key: &EpochKey) -> AttestedKey {
    let config = decode_key_configs(key.key_configs()).unwrap().remove(0);
    AttestedKey { config, key_configs_hash: key.key_configs_hash(), instance: INSTANCE }
}

fn client_random(seed: u8) -> ClientRandom {
    ClientRandom {
        encapsulate: Zeroizing::new([seed; 64]),
        ephemeral: Zeroizing::new([seed ^ 0x40; 32]),
        hello: [seed ^ 0x80; 32],
    }
}

fn server_random(seed: u8) -> ServerRandom {
    ServerRandom {
        encapsulate: Zeroizing::new([seed; 64]),
        session: [seed ^ 0x40; 16],
        hello: [seed ^ 0x80; 32],
    }
}

fn greet(key: &AttestedKey, seed: u8) -> (ClientHandshake, Vec<u8>) {
    let context = context_hash("app.example", b"");
    ClientHandshake::start(key, &context, 65_536, &client_random(seed)).unwrap()
}

fn session(suite: Suite) -> (ClientSession, ServerSession) {
    let mut key = epoch_key(suite);
    let (client, hello) = greet(&attested(&key), 1);
    let (server, answer) = key.accept(&hello, &GRANT, &server_random(2)).unwrap();
    (client.finish(&answer).unwrap(), server)
}

/// An exchange that has begun: its header, and the four ends.
struct Exchange {
    header: [u8; 25],
    request: Sealer,
    response: Opener,
}

fn exchange(client: &mut ClientSession) -> Exchange {
    let (header, request, response) = client.exchange().unwrap();
    Exchange { header: header.try_into().unwrap(), request, response }
}

fn begin(
    server: &mut ServerSession,
    header: &[u8; 25],
    bytes: &[u8],
    end: bool,
) -> Result<Beginning, ExchangeError> {
    server.exchange(header)?.feed(server, bytes, end)
}

fn begun(server: &mut ServerSession, header: &[u8; 25], bytes: &[u8]) -> (Record, Opener, Sealer) {
    match begin(server, header, bytes, false).unwrap() {
        Beginning::Begun(begun) => (begun.first, begun.opener, begun.sealer),
        Beginning::Pending(_) => panic!("the first chunk is complete"),
    }
}

/// All records of a stream that arrives in pieces of `size` bytes.
fn open_all(opener: &mut Opener, stream: &[u8], size: usize) -> Result<Vec<Record>, RecordError> {
    let mut records = Vec::new();
    for piece in stream.chunks(size) {
        opener.feed(piece)?;
        while let Some(record) = opener.next_record()? {
            records.push(record);
        }
    }
    records.extend(opener.end()?);
    Ok(records)
}

#[test]
fn both_sides_have_the_same_session_and_what_one_seals_the_other_opens() {
    for suite in Suite::ALL {
        let (mut client, mut server) = session(suite);
        let (ours, theirs) = (client.session(), server.session());
        assert_eq!(ours.id(), theirs.id());
        assert_eq!(ours.transcript_hash(), theirs.transcript_hash());
        assert_eq!(*ours.exporter(b"l", b"c"), *theirs.exporter(b"l", b"c"));
        assert_ne!(*ours.exporter(b"l", b"c"), *ours.exporter(b"lc", b""));

        let mut ours = exchange(&mut client);
        let mut stream = Vec::new();
        ours.request.pad_to(512);
        ours.request.seal(Kind::Data, b"question", false, &mut stream);
        ours.request.pad_to(1);
        ours.request.seal(Kind::Pad, b"", false, &mut stream);
        ours.request.seal(Kind::Data, b"", true, &mut stream);
        let first_chunk = 2 + 512 + 16;
        let (first, mut rest, mut sealer) = begun(&mut server, &ours.header, &stream[..first_chunk]);
        assert_eq!(first, Record { kind: Kind::Data, content: b"question".to_vec(), last: false });
        let rest = open_all(&mut rest, &stream[first_chunk..], 1).unwrap();
        assert_eq!(
            rest.iter().map(|record| (record.kind, record.last)).collect::<Vec<_>>(),
            [(Kind::Pad, false), (Kind::Data, true)]
        );

        let mut stream = Vec::new();
        sealer.seal(Kind::Data, b"answer", true, &mut stream);
        let answer = open_all(&mut ours.response, &stream, 7).unwrap();
        assert_eq!(answer, [Record { kind: Kind::Data, content: b"answer".to_vec(), last: true }]);
    }
}

#[test]
fn messages_have_the_sizes_of_the_specification() {
    for (suite, hello_len, answer_len) in [(Suite::X25519, 168, 168), (Suite::XWing, 2441, 1256)] {
        let mut key = epoch_key(suite);
        let (_, hello) = greet(&attested(&key), 1);
        let (_, answer) = key.accept(&hello, &GRANT, &server_random(2)).unwrap();
        // The longest: max_chunk 65,536 takes five bytes in CBOR.
        assert!(hello.len().abs_diff(hello_len) <= 2, "{suite} hello: {}", hello.len());
        assert!(answer.len().abs_diff(answer_len) <= 6, "{suite} answer: {}", answer.len());
    }
}

#[test]
fn every_bit_of_the_handshake_counts() {
    for (suite, step) in [(Suite::X25519, 1), (Suite::XWing, 37)] {
        let key = epoch_key(suite);
        let attested = attested(&key);
        let (_, whole) = greet(&attested, 1);
        for at in (0..whole.len()).step_by(step) {
            let mut hello = whole.clone();
            hello[at] ^= 1 << (at % 8);
            assert!(
                epoch_key(suite).accept(&hello, &GRANT, &server_random(2)).is_err(),
                "{suite} hello {at}"
            );
        }
        let (_, whole) = epoch_key(suite).accept(&whole, &GRANT, &server_random(2)).unwrap();
        for at in (0..whole.len()).step_by(step) {
            let mut answer = whole.clone();
            answer[at] ^= 1 << (at % 8);
            let (client, _) = greet(&attested, 1);
            assert!(client.finish(&answer).is_err(), "{suite} answer {at}");
        }
        for cut in (0..whole.len()).step_by(step) {
            let (client, _) = greet(&attested, 1);
            assert!(client.finish(&whole[..cut]).is_err(), "{suite} cut at {cut}");
        }
    }
}

#[test]
fn handshakes_are_refused_by_name() {
    let mut key = epoch_key(Suite::X25519);
    let (_, good) = greet(&attested(&key), 1);
    let mut accept = |hello: &[u8], grant: &Grant<'_>| key.accept(hello, grant, &server_random(2)).err();

    assert_eq!(accept(&good[..100], &GRANT), Some(HandshakeError::NotAuthentic("hello")));
    assert_eq!(accept(&[], &GRANT), Some(HandshakeError::Malformed("hello")));
    let mut other = good.clone();
    other[0] = 2;
    assert_eq!(accept(&other, &GRANT), Some(HandshakeError::Malformed("hello")));
    let mut other = good.clone();
    other[1] = 9;
    assert_eq!(accept(&other, &GRANT), Some(HandshakeError::KeyUnknown(9)));
    let (_, xwing) = greet(&attested(&epoch_key(Suite::XWing)), 1);
    assert_eq!(accept(&xwing, &GRANT), Some(HandshakeError::SuiteMismatch("x25519")));
    let elsewhere = Grant { contexts: &[context_hash("other.example", b"")], ..GRANT };
    assert_eq!(accept(&good, &elsewhere), Some(HandshakeError::Context));

    // None of these counted as taken; the good one counts once.
    let here = Grant { contexts: &[context_hash("app.example", b"")], ..GRANT };
    assert_eq!(accept(&good, &here), None);
    assert_eq!(accept(&good, &here), Some(HandshakeError::Replayed));
}

#[test]
fn a_server_without_the_attested_key_cannot_confirm() {
    for suite in Suite::ALL {
        let key = epoch_key(suite);
        let (client, hello) = greet(&attested(&key), 1);
        // It has a key of its own, and lies about the configuration's bytes to be asked at all.
        let mut liar = EpochKey::from_seed(suite, 3, INSTANCE, &Zeroizing::new([0x23; 32]));
        let refused = liar.accept(&hello, &GRANT, &server_random(2)).err();
        assert_eq!(refused, Some(HandshakeError::NotAuthentic("hello")));
        // An answer of another handshake with the right key is none for this one.
        let mut right = epoch_key(suite);
        let (_, other) = greet(&attested(&right), 5);
        let (_, answer) = right.accept(&other, &GRANT, &server_random(2)).unwrap();
        assert!(client.finish(&answer).is_err());
    }
}

#[test]
fn another_instance_with_the_same_key_is_refused() {
    let mut key = EpochKey::from_seed(Suite::X25519, 3, [0x99; 16], &Zeroizing::new([0x22; 32]));
    let claimed = AttestedKey { instance: INSTANCE, ..attested(&key) };
    let (client, hello) = greet(&claimed, 1);
    let (_, answer) = key.accept(&hello, &GRANT, &server_random(2)).unwrap();
    assert_eq!(client.finish(&answer).err(), Some(HandshakeError::Instance));
}

#[test]
fn limits_outside_their_range_are_refused_on_both_sides() {
    let mut key = epoch_key(Suite::X25519);
    let attested = attested(&key);
    let context = context_hash("app.example", b"");
    for max_chunk in [0, 16_383, 65_537, u32::MAX] {
        let refused = ClientHandshake::start(&attested, &context, max_chunk, &client_random(1)).err();
        assert!(matches!(refused, Some(HandshakeError::Limit { what: "max_chunk", .. })));
    }
    for limits in [
        Limits { max_chunk: 100, ..Limits::DEFAULT },
        Limits { concurrency: 0, ..Limits::DEFAULT },
        Limits { window: 1, ..Limits::DEFAULT },
    ] {
        let (client, hello) = greet(&attested, 1);
        let mut key = epoch_key(Suite::X25519);
        let (_, answer) = key.accept(&hello, &Grant { limits, ..GRANT }, &server_random(2)).unwrap();
        assert!(matches!(client.finish(&answer).err(), Some(HandshakeError::Limit { .. })));
    }
    // The client's own limit holds where it is the lower one.
    let (client, hello) = ClientHandshake::start(&attested, &context, 16_384, &client_random(1)).unwrap();
    let (server, answer) = key.accept(&hello, &GRANT, &server_random(2)).unwrap();
    assert_eq!(server.session().limits().max_chunk, 16_384);
    assert_eq!(client.finish(&answer).unwrap().session().limits().max_chunk, 16_384);
}

#[test]
fn a_stream_cut_anywhere_is_an_error_and_never_a_short_success() {
    let (mut client, mut server) = session(Suite::X25519);
    let mut ours = exchange(&mut client);
    let mut request = Vec::new();
    ours.request.seal(Kind::Data, b"q", true, &mut request);
    let Beginning::Begun(mut theirs) = begin(&mut server, &ours.header, &request, true).unwrap() else {
        panic!("complete");
    };
    let mut stream = Vec::new();
    theirs.sealer.seal(Kind::Data, b"some words", false, &mut stream);
    theirs.sealer.seal(Kind::Data, b"and the last", true, &mut stream);
    for cut in 0..stream.len() {
        let mut other = exchange_like(&ours.header);
        assert!(open_all(&mut other, &stream[..cut], 5).is_err(), "cut at {cut}");
    }
    assert_eq!(open_all(&mut ours.response, &stream, 5).unwrap().len(), 2);
}

/// A fresh opener of the same response: the handshake and its randomness are the same.
fn exchange_like(header: &[u8; 25]) -> Opener {
    let (mut client, _) = session(Suite::X25519);
    let again = exchange(&mut client);
    assert_eq!(again.header, *header);
    again.response
}

#[test]
fn an_exchange_begins_once_and_only_with_an_authentic_chunk() {
    let (mut client, mut server) = session(Suite::X25519);
    let mut ours = exchange(&mut client);
    let mut stream = Vec::new();
    ours.request.seal(Kind::Data, b"pay", true, &mut stream);

    let mut forged = stream.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(
        begin(&mut server, &ours.header, &forged, true).err(),
        Some(ExchangeError::Record(RecordError::NotAuthentic))
    );
    // Whoever forges uses no numbers up.
    assert!(matches!(begin(&mut server, &ours.header, &stream, true), Ok(Beginning::Begun(_))));
    assert_eq!(begin(&mut server, &ours.header, &stream, true).err(), Some(ExchangeError::Replay(1)));

    let mut elsewhere = ours.header;
    elsewhere[5] ^= 1;
    assert_eq!(server.exchange(&elsewhere).err(), Some(ExchangeError::SessionUnknown));
    elsewhere[0] = 2;
    assert_eq!(server.exchange(&elsewhere).err(), Some(ExchangeError::Malformed));
}

#[test]
fn requests_and_responses_of_other_exchanges_and_directions_do_not_open() {
    let (mut client, mut server) = session(Suite::X25519);
    let mut first = exchange(&mut client);
    let mut second = exchange(&mut client);
    let mut request = Vec::new();
    first.request.seal(Kind::Data, b"one", true, &mut request);
    // Spliced: the first's bytes under the second's number.
    assert!(begin(&mut server, &second.header, &request, true).is_err());
    // Reflected: a request as its own response.
    assert_eq!(open_all(&mut first.response, &request, 64), Err(RecordError::NotAuthentic));

    let Beginning::Begun(mut theirs) = begin(&mut server, &first.header, &request, true).unwrap() else {
        panic!("complete");
    };
    let mut answer = Vec::new();
    theirs.sealer.seal(Kind::Data, b"for one", true, &mut answer);
    // Swapped.
    assert_eq!(open_all(&mut second.response, &answer, 64), Err(RecordError::NotAuthentic));
}

#[test]
fn chunks_out_of_order_or_twice_do_not_open() {
    let (mut client, _) = session(Suite::X25519);
    let mut ours = exchange(&mut client);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    ours.request.seal(Kind::Data, b"one", false, &mut one);
    ours.request.seal(Kind::Data, b"two", false, &mut two);
    for stream in [[&two[..], &one].concat(), [&one[..], &one].concat()] {
        let (_, mut server) = session(Suite::X25519);
        match begin(&mut server, &ours.header, &stream, false) {
            Err(error) => assert_eq!(error, ExchangeError::Record(RecordError::NotAuthentic)),
            Ok(Beginning::Begun(mut begun)) => {
                assert_eq!(begun.opener.next_record(), Err(RecordError::NotAuthentic));
                // Broken for good.
                assert_eq!(begun.opener.feed(&two), Err(RecordError::AfterEnd));
                assert_eq!(begun.opener.end(), Ok(None));
            }
            Ok(Beginning::Pending(_)) => panic!("a chunk is complete"),
        }
    }
}
