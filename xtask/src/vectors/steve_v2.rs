//! Sessions of STEVE's version 2, byte by byte: `specs/vectors/steve/v2-<suite>.json`.

use super::steve::bytes;
use caution_steve::Suite;
use caution_steve::v2::{Client, ClientRandom, Offer, ServerRandom, suite_name};
use data_encoding::HEXLOWER;
use serde::Serialize;

/// A vector's file; described in `specs/steve-v2.md`. Bytes are hex digits in lower case, but of `user_data`.
#[derive(Serialize)]
struct File {
    key_exchange: &'static str,
    client: ClientSide,
    server: ServerSide,
    context_hash: String,
    session_request: String,
    /// What the document has to say, as text.
    user_data: String,
    session_response: String,
    transcript_hash: String,
    client_confirmation: String,
    server_confirmation: String,
    exchanges: Vec<Exchange>,
}

#[derive(Serialize)]
struct ClientSide {
    key: String,
    nonce: String,
}

#[derive(Serialize)]
struct ServerSide {
    key: String,
    session: String,
    /// Stands for an attestation document.
    document: String,
    expires_in_s: u64,
}

#[derive(Serialize)]
struct Exchange {
    about: &'static str,
    sequence: u64,
    request: String,
    /// What the request's record holds.
    request_plain: String,
    response: String,
}

pub(super) fn files() -> impl Iterator<Item = (String, String)> {
    Suite::ALL.into_iter().map(|suite| {
        let json = serde_json::to_string_pretty(&file(suite)).expect("text and numbers have a JSON form");
        (format!("v2-{}.json", suite.name()), json + "\n")
    })
}

fn file(suite: Suite) -> File {
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let context_hash = bytes(suite, "v2 context");
    let random = ClientRandom {
        key: bytes::<32>(suite, "v2 client key").into(),
        nonce: bytes(suite, "v2 client nonce"),
    };
    let (client, session_request) = Client::start(suite, context_hash, &random);
    let answer_random =
        ServerRandom { key: bytes::<64>(suite, "v2 server key").into(), session: bytes(suite, "v2 session") };
    let offer = Offer::new(suite, &session_request, &answer_random).expect("our own request");
    let user_data = offer.claims().to_bytes();
    let (document, expires_in_s) = (b"document".to_vec(), 1800);
    let (mut server, session_response) = offer.answer(document.clone(), expires_in_s);
    let unverified = client.finish(&session_response).expect("our own answer");
    let mut client = unverified.verified(&user_data).expect("the claims of this session");
    let client_confirmation = client.confirmation();
    let server_confirmation = server.confirm(&client_confirmation).expect("our own confirmation");
    client.confirmed(&server_confirmation).expect("its answer");

    let field = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    let exchanges = ["with a body", "without one, and an error for an answer"]
        .into_iter()
        .map(|about| {
            let has_body = about == "with a body";
            let fields = vec![field("content-type", b"text/plain"), field("x-name", b"caf\xe9")];
            let (sequence, request) = if has_body {
                client.request("POST", "/notes?q=1", &fields, Some(b"remember this"))
            } else {
                client.request("GET", "/", &Vec::new(), None)
            }
            .expect("the session is confirmed");
            let opened = server.open(request.clone()).expect("our own request");
            let cookies = vec![field("set-cookie", b"a=1"), field("set-cookie", b"b=2")];
            let response = if has_body {
                server.seal(sequence, 201, &cookies, b"noted").expect("it is short")
            } else {
                server.seal_error(sequence, "upstream_unavailable")
            };
            let request_plain = hex(&opened.bytes[opened.plain]);
            Exchange { about, sequence, request: hex(&request), request_plain, response: hex(&response) }
        })
        .collect();
    File {
        key_exchange: suite_name(suite),
        client: ClientSide { key: hex(&random.key[..]), nonce: hex(&random.nonce) },
        server: ServerSide {
            key: hex(&answer_random.key[..]),
            session: hex(&answer_random.session),
            document: hex(&document),
            expires_in_s,
        },
        context_hash: hex(&context_hash),
        session_request: hex(&session_request),
        user_data: String::from_utf8(user_data).expect("JSON is text"),
        session_response: hex(&session_response),
        transcript_hash: hex(&client.transcript_hash()),
        client_confirmation: hex(&client_confirmation),
        server_confirmation: hex(&server_confirmation),
        exchanges,
    }
}
