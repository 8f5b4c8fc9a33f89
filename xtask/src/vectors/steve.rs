//! Sessions of STEVE, byte by byte: `specs/vectors/steve/<suite>.json`, one for each suite.
//!
//! Everything random is written down, so another implementation computes the same bytes.

use caution_steve::http::{Encoder, RequestHead, ResponseHead};
use caution_steve::{
    AttestedKey, Beginning, ClientHandshake, ClientRandom, EpochClaims, EpochKey, Flags, Grant, Kind, Limits,
    SealedCode, SealedError, ServerRandom, Suite, context_hash, decode_key_configs,
};
use data_encoding::HEXLOWER;
use serde::Serialize;

const AUTHORITY: &str = "app.example";
const APP_CONTEXT: &[u8] = b"notes";
const KEY_ID: u8 = 7;

/// A vector's file; described in `specs/steve.md`. Bytes are hex digits in lower case.
#[derive(Serialize)]
struct File {
    suite: &'static str,
    /// What the enclave chose.
    server: Server,
    /// What the client chose.
    client: Client,
    key_configs: String,
    key_configs_hash: String,
    /// The `user_data` that binds them, with the values below.
    epoch_claims: String,
    claims: Claims,
    context_hash: String,
    hello: String,
    server_hello: String,
    transcript_hash: String,
    exporter: Exporter,
    exchanges: Vec<Exchange>,
}

#[derive(Serialize)]
struct Server {
    seed: String,
    key_id: u8,
    instance: String,
    encapsulate: String,
    session: String,
    random: String,
    lifetime_s: u32,
    max_chunk: u32,
    concurrency: u32,
    window: u32,
}

#[derive(Serialize)]
struct Client {
    encapsulate: String,
    ephemeral: String,
    random: String,
    authority: &'static str,
    app_context: String,
    max_chunk: u32,
}

#[derive(Serialize)]
struct Claims {
    not_before_ms: u64,
    not_after_ms: u64,
    manifest_hash: String,
    flags: u8,
}

#[derive(Serialize)]
struct Exporter {
    label: String,
    context: String,
    secret: String,
}

#[derive(Serialize)]
struct Exchange {
    about: &'static str,
    header: String,
    request: Direction,
    response: Direction,
}

/// Records, and the stream they make.
#[derive(Serialize)]
struct Direction {
    records: Vec<Record>,
    stream: String,
}

#[derive(Serialize)]
struct Record {
    #[serde(rename = "type")]
    kind: u8,
    content: String,
    /// Padded to a multiple of this many bytes.
    bucket: usize,
    last: bool,
}

/// The two files by name.
pub(super) fn files() -> impl Iterator<Item = (String, String)> {
    Suite::ALL.into_iter().map(|suite| {
        let json = serde_json::to_string_pretty(&file(suite)).expect("text and numbers have a JSON form");
        (format!("{}.json", suite.name()), json + "\n")
    })
}

/// Bytes that follow from a name, so that no two values are the same.
pub(super) fn bytes<const N: usize>(suite: Suite, name: &str) -> [u8; N] {
    use sha2::{Digest as _, Sha512};
    let digest = Sha512::digest(format!("caution steve vector {} {name}", suite.name()));
    digest[..N].try_into().expect("at most 64 bytes")
}

fn file(suite: Suite) -> File {
    let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
    let (seed, instance) = (bytes::<32>(suite, "seed"), bytes::<16>(suite, "instance"));
    let mut key = EpochKey::from_seed(suite, KEY_ID, instance, &seed.into());
    let claims = EpochClaims {
        key_configs_hash: key.key_configs_hash(),
        instance,
        not_before_ms: 1_768_478_400_000,
        not_after_ms: 1_768_479_600_000,
        manifest_hash: bytes(suite, "manifest"),
        tls_key_hash: None,
        flags: Flags { plaintext_fallback: false, public_assets: true },
    };
    let random = ClientRandom {
        encapsulate: bytes(suite, "client encapsulate").into(),
        ephemeral: bytes(suite, "client ephemeral").into(),
        hello: bytes(suite, "client random"),
    };
    let config = decode_key_configs(key.key_configs()).expect("our own list").remove(0);
    let attested = AttestedKey { config, key_configs_hash: key.key_configs_hash(), instance };
    let context = context_hash(AUTHORITY, APP_CONTEXT);
    let offered = 16_384;
    let (client, hello) =
        ClientHandshake::start(&attested, &context, offered, &random).expect("an honest key");
    let answer_random = ServerRandom {
        encapsulate: bytes(suite, "server encapsulate").into(),
        session: bytes(suite, "session"),
        hello: bytes(suite, "server random"),
    };
    let grant = Grant { contexts: &[context], limits: Limits::DEFAULT, lifetime_s: 1800 };
    let (mut server, server_hello) = key.accept(&hello, &grant, &answer_random).expect("an honest hello");
    let mut session = client.finish(&server_hello).expect("an honest answer");
    let (label, export) = (b"token binding", b"context");
    let secret = session.session().exporter(label, export);
    assert_eq!(secret, server.session().exporter(label, export));

    let exchanges = scripts().into_iter().map(|script| exchange(&mut session, &mut server, script)).collect();
    File {
        suite: suite.name(),
        server: Server {
            seed: hex(&seed),
            key_id: KEY_ID,
            instance: hex(&instance),
            encapsulate: hex(&answer_random.encapsulate[..]),
            session: hex(&answer_random.session),
            random: hex(&answer_random.hello),
            lifetime_s: grant.lifetime_s,
            max_chunk: grant.limits.max_chunk,
            concurrency: grant.limits.concurrency,
            window: grant.limits.window,
        },
        client: Client {
            encapsulate: hex(&random.encapsulate[..]),
            ephemeral: hex(&random.ephemeral[..]),
            random: hex(&random.hello),
            authority: AUTHORITY,
            app_context: hex(APP_CONTEXT),
            max_chunk: offered,
        },
        key_configs: hex(key.key_configs()),
        key_configs_hash: hex(&key.key_configs_hash()),
        epoch_claims: hex(&claims.to_bytes()),
        claims: Claims {
            not_before_ms: claims.not_before_ms,
            not_after_ms: claims.not_after_ms,
            manifest_hash: hex(&claims.manifest_hash),
            flags: 2,
        },
        context_hash: hex(&context),
        hello: hex(&hello),
        server_hello: hex(&server_hello),
        transcript_hash: hex(&session.session().transcript_hash()),
        exporter: Exporter { label: hex(label), context: hex(export), secret: hex(&secret[..]) },
        exchanges,
    }
}

/// What both sides say in one exchange: type, content, bucket.
struct Script {
    about: &'static str,
    request: Vec<(Kind, Vec<u8>, usize)>,
    response: Vec<(Kind, Vec<u8>, usize)>,
}

fn scripts() -> Vec<Script> {
    vec![
        Script {
            about: "a request with content, and a response of two chunks with a keepalive between them",
            request: vec![(Kind::Data, request(), 512), (Kind::Data, Vec::new(), 1)],
            response: vec![
                (Kind::Data, response(), 1),
                (Kind::Pad, Vec::new(), 256),
                (Kind::Data, b"\x04more\0\0".to_vec(), 256),
            ],
        },
        Script {
            about: "the longest chunk, and an error for an answer",
            request: vec![(Kind::Data, vec![0; 16_384], 1), (Kind::Reset, Vec::new(), 1)],
            response: vec![(
                Kind::Error,
                SealedError { code: SealedCode::Busy, executed: false, retry_after_s: Some(2) }.to_bytes(),
                1,
            )],
        },
        Script {
            about: "a WebSocket: a message in two parts, and its close",
            request: vec![
                (Kind::WsOpen, request(), 512),
                (Kind::WsText { more: true }, b"hel".to_vec(), 1),
                (Kind::WsText { more: false }, b"lo".to_vec(), 1),
                (Kind::WsClose, b"\x03\xe8bye".to_vec(), 1),
            ],
            response: vec![
                (Kind::WsBinary { more: false }, vec![0, 1, 2], 1),
                (Kind::WsClose, vec![3, 232], 1),
            ],
        },
    ]
}

fn request() -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
    let head = RequestHead {
        method: "POST".to_owned(),
        scheme: "https".to_owned(),
        authority: AUTHORITY.to_owned(),
        path: "/notes".to_owned(),
        fields: vec![("content-type".to_owned(), b"text/plain".to_vec())],
    };
    encoder.request(&head, &mut bytes).expect("a request");
    encoder.content(b"remember this", &mut bytes);
    encoder.end(&Vec::new(), &mut bytes).expect("no trailers");
    bytes
}

/// A head and the first piece of content; the rest is in the next record.
fn response() -> Vec<u8> {
    let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
    let early = ResponseHead { status: 103, fields: vec![("link".to_owned(), b"</style.css>".to_vec())] };
    encoder.response(&early, &mut bytes).expect("an early hint");
    encoder.response(&ResponseHead { status: 200, fields: Vec::new() }, &mut bytes).expect("a response");
    encoder.content(b"some and ", &mut bytes);
    bytes
}

fn exchange(
    session: &mut caution_steve::ClientSession,
    server: &mut caution_steve::ServerSession,
    script: Script,
) -> Exchange {
    let (header, sealer, _) = session.exchange().expect("far from the last exchange");
    let request = direction(sealer, script.request);
    let header: [u8; 25] = header.try_into().expect("a header has 25 bytes");
    let stream = HEXLOWER.decode(request.stream.as_bytes()).expect("our own hex");
    let pending = server.exchange(&header).expect("our own header");
    let Beginning::Begun(begun) = pending.feed(server, &stream, true).expect("our own request") else {
        panic!("the request is complete")
    };
    let response = direction(begun.sealer, script.response);
    Exchange { about: script.about, header: HEXLOWER.encode(&header), request, response }
}

fn direction(mut sealer: caution_steve::Sealer, records: Vec<(Kind, Vec<u8>, usize)>) -> Direction {
    let (mut stream, count) = (Vec::new(), records.len());
    let records = records
        .into_iter()
        .enumerate()
        .map(|(at, (kind, content, bucket))| {
            let last = at + 1 == count;
            sealer.pad_to(bucket);
            sealer.seal(kind, &content, last, &mut stream);
            Record { kind: kind.byte(), content: HEXLOWER.encode(&content), bucket, last }
        })
        .collect();
    Direction { records, stream: HEXLOWER.encode(&stream) }
}
