//! The sessions of `specs/vectors/steve`, played again: what a client and an enclave say is what is
//! written there, and what is written there opens.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

use caution_steve::{
    AttestedKey, Beginning, ClientHandshake, ClientRandom, ClientSession, EpochClaims, EpochKey, Flags,
    Grant, Kind, Limits, Opener, ServerRandom, ServerSession, Suite, context_hash, decode_key_configs,
    key_configs_hash,
};
use data_encoding::HEXLOWER;
use serde_json::Value;
use std::path::Path;
use zeroize::Zeroizing;

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().expect("a string").as_bytes()).expect("hex digits")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the length of its field")
}

fn number<N: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value) -> N {
    value.as_u64().expect("a number").try_into().expect("in range")
}

fn vector(suite: Suite) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors/steve");
    let text = std::fs::read_to_string(folder.join(format!("{suite}.json"))).expect("a committed file");
    serde_json::from_str(&text).expect("JSON")
}

/// Plays the handshake; every message must be the vector's.
fn handshake(suite: Suite, vector: &Value) -> (ClientSession, ServerSession) {
    let (server, client) = (&vector["server"], &vector["client"]);
    let instance = array(&server["instance"]);
    let seed = Zeroizing::new(array(&server["seed"]));
    let mut key = EpochKey::from_seed(suite, number(&server["key_id"]), instance, &seed);
    assert_eq!(key.key_configs(), bytes(&vector["key_configs"]));
    assert_eq!(key_configs_hash(key.key_configs()), array(&vector["key_configs_hash"]));

    let context = context_hash(client["authority"].as_str().unwrap(), &bytes(&client["app_context"]));
    assert_eq!(context, array(&vector["context_hash"]));
    let config = decode_key_configs(&bytes(&vector["key_configs"])).unwrap().remove(0);
    let attested = AttestedKey { config, key_configs_hash: array(&vector["key_configs_hash"]), instance };
    let random = ClientRandom {
        encapsulate: Zeroizing::new(array(&client["encapsulate"])),
        ephemeral: Zeroizing::new(array(&client["ephemeral"])),
        hello: array(&client["random"]),
    };
    let (handshake, hello) =
        ClientHandshake::start(&attested, &context, number(&client["max_chunk"]), &random).unwrap();
    assert_eq!(HEXLOWER.encode(&hello), vector["hello"].as_str().unwrap());

    let limits = Limits {
        max_chunk: number(&server["max_chunk"]),
        concurrency: number(&server["concurrency"]),
        window: number(&server["window"]),
    };
    let grant = Grant { contexts: &[context], limits, lifetime_s: number(&server["lifetime_s"]) };
    let random = ServerRandom {
        encapsulate: Zeroizing::new(array(&server["encapsulate"])),
        session: array(&server["session"]),
        hello: array(&server["random"]),
    };
    let (theirs, answer) = key.accept(&hello, &grant, &random).unwrap();
    assert_eq!(HEXLOWER.encode(&answer), vector["server_hello"].as_str().unwrap());
    let ours = handshake.finish(&answer).unwrap();
    assert_eq!(ours.session().transcript_hash(), array(&vector["transcript_hash"]));
    let exporter = &vector["exporter"];
    let secret = ours.session().exporter(&bytes(&exporter["label"]), &bytes(&exporter["context"]));
    assert_eq!(*secret, array(&exporter["secret"]));
    (ours, theirs)
}

/// Whether an opener gives the vector's records for the vector's stream.
fn opens(opener: &mut Opener, direction: &Value, already: usize) {
    for record in &direction["records"].as_array().unwrap()[already..] {
        let found = opener.end().unwrap().unwrap();
        assert_eq!(found.last, record["last"].as_bool().unwrap());
        assert_eq!(found.kind.byte(), number::<u8>(&record["type"]));
        assert_eq!(found.content, bytes(&record["content"]));
    }
    assert_eq!(opener.end(), Ok(None));
}

#[test]
fn sessions_are_the_vectors_byte_by_byte() {
    for suite in Suite::ALL {
        let vector = vector(suite);
        let (mut client, mut server) = handshake(suite, &vector);
        for exchange in vector["exchanges"].as_array().unwrap() {
            let (header, mut sealer, mut opener) = client.exchange().unwrap();
            assert_eq!(header, bytes(&exchange["header"]));
            let mut stream = Vec::new();
            for record in exchange["request"]["records"].as_array().unwrap() {
                let kind = Kind::from_byte(number(&record["type"])).unwrap();
                sealer.pad_to(number(&record["bucket"]));
                sealer.seal(kind, &bytes(&record["content"]), record["last"] == true, &mut stream);
            }
            assert_eq!(stream, bytes(&exchange["request"]["stream"]));

            let header = header.try_into().unwrap();
            let Ok(Beginning::Begun(mut begun)) =
                server.exchange(&header).unwrap().feed(&mut server, &stream, true)
            else {
                panic!("the request begins")
            };
            assert_eq!(begun.first.content, bytes(&exchange["request"]["records"][0]["content"]));
            opens(&mut begun.opener, &exchange["request"], 1);
            let mut stream = Vec::new();
            for record in exchange["response"]["records"].as_array().unwrap() {
                let kind = Kind::from_byte(number(&record["type"])).unwrap();
                begun.sealer.pad_to(number(&record["bucket"]));
                let content = bytes(&record["content"]);
                begun.sealer.seal(kind, &content, record["last"] == true, &mut stream);
            }
            assert_eq!(stream, bytes(&exchange["response"]["stream"]));
            opener.feed(&stream).unwrap();
            opens(&mut opener, &exchange["response"], 0);
        }
    }
}

#[test]
fn epoch_claims_are_the_vectors_and_have_one_form() {
    for suite in Suite::ALL {
        let vector = vector(suite);
        let claims = EpochClaims {
            key_configs_hash: array(&vector["key_configs_hash"]),
            instance: array(&vector["server"]["instance"]),
            not_before_ms: number(&vector["claims"]["not_before_ms"]),
            not_after_ms: number(&vector["claims"]["not_after_ms"]),
            manifest_hash: array(&vector["claims"]["manifest_hash"]),
            tls_key_hash: None,
            flags: Flags { plaintext_fallback: false, public_assets: true },
        };
        let whole = claims.to_bytes();
        assert_eq!(whole, bytes(&vector["epoch_claims"]));
        assert_eq!(EpochClaims::from_bytes(&whole), Some(claims.clone()));
        let longest = EpochClaims { tls_key_hash: Some([7; 32]), ..claims };
        assert!(longest.to_bytes().len() <= 196, "{} bytes", longest.to_bytes().len());
        assert_eq!(EpochClaims::from_bytes(&longest.to_bytes()), Some(longest));

        for cut in 0..whole.len() {
            assert_eq!(EpochClaims::from_bytes(&whole[..cut]), None);
        }
        assert_eq!(EpochClaims::from_bytes(&[&whole[..], &[0]].concat()), None);
        // A flag nobody knows; a head longer than it must be; another label.
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() = 4;
        assert_eq!(EpochClaims::from_bytes(&wrong), None);
        let mut wrong = whole.clone();
        wrong.splice(0..1, [0xb8, 7]);
        assert_eq!(EpochClaims::from_bytes(&wrong), None);
        let mut wrong = whole;
        wrong[3] ^= 0x20;
        assert_eq!(EpochClaims::from_bytes(&wrong), None);
    }
}

#[test]
fn lists_of_key_configurations_have_one_form() {
    use caution_steve::{KeyConfigError as E, MAX_KEY_CONFIGS, encode_key_configs};
    let configs = [Suite::X25519, Suite::XWing].map(|suite| {
        let list = bytes(&vector(suite)["key_configs"]);
        decode_key_configs(&list).unwrap().remove(0)
    });
    let [first, mut second] = configs;
    assert_eq!((first.suite, second.suite), (Suite::X25519, Suite::XWing));
    assert_eq!(
        decode_key_configs(&encode_key_configs(&[first.clone(), second.clone()])),
        Err(E::DuplicateId(7))
    );
    second.key_id = 8;
    let both = encode_key_configs(&[first.clone(), second.clone()]);
    assert_eq!(decode_key_configs(&both), Ok(vec![first.clone(), second]));

    let list = encode_key_configs(std::slice::from_ref(&first));
    assert_eq!(list.len(), 43);
    assert_eq!(decode_key_configs(&[]), Err(E::Count(0)));
    for cut in 1..list.len() {
        assert!(decode_key_configs(&list[..cut]).is_err(), "cut at {cut}");
    }
    assert_eq!(decode_key_configs(&[&list[..], &[0]].concat()), Err(E::Malformed(43)));
    for at in [3, 4, 39, 40, 41, 42] {
        let mut other = list.clone();
        other[at] ^= 0x40;
        assert_eq!(decode_key_configs(&other), Err(E::UnknownSuite(0)), "byte {at}");
    }
    let five: Vec<_> = (0..5).map(|key_id| caution_steve::KeyConfig { key_id, ..first.clone() }).collect();
    assert_eq!(decode_key_configs(&encode_key_configs(&five)), Err(E::Count(5)));
    assert_eq!(decode_key_configs(&[0; MAX_KEY_CONFIGS + 1]), Err(E::TooLong(MAX_KEY_CONFIGS + 1)));
}

#[test]
fn every_refusal_is_specified_in_this_order() {
    let spec = include_str!("../../../specs/steve.md");
    let source = concat!(
        include_str!("../src/config.rs"),
        include_str!("../src/error.rs"),
        include_str!("../src/http/mod.rs")
    );
    for error in ["KeyConfigError", "HandshakeError", "RecordError", "ExchangeError", "MessageError"] {
        let row = format!("| {error} | `");
        let specified: Vec<_> =
            spec.lines().filter_map(|line| line.strip_prefix(&row)?.split('`').next()).collect();
        let (_, body) = source.split_once(&format!("pub enum {error} {{\n")).unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let variants: Vec<_> = body
            .lines()
            .filter_map(|line| line.strip_prefix("    "))
            .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
            .filter_map(|line| line.split(|c: char| !c.is_alphanumeric()).next())
            .collect();
        assert_eq!(specified, variants, "{error}");
    }
}
