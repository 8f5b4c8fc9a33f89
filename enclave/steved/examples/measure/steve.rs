//! steved on a thread, and clients of it.

use crate::load::Connection;
use caution_steve::http::{Encoder, Fields, RequestHead};
use caution_steve::{
    AttestedKey, Bundle, ClientHandshake, ClientRandom, ClientSession, Kind, Opener, Sealer, Suite,
    context_hash, decode_key_configs, key_configs_hash,
};
use caution_steved::{Attested, Enclave, Epoch, Limits, Protocol, Settings};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

const INSTANCE: [u8; 16] = [1; 16];

/// One that nobody has to believe.
pub(crate) struct Unsigned(pub(crate) AtomicU64);

impl Enclave for Unsigned {
    fn attest(&self, epoch: &Epoch, _: Option<&[u8; 32]>) -> io::Result<Attested> {
        Ok(Attested { document: vec![0; 5000], not_after_ms: epoch.not_after_ms })
    }
    fn now_ms(&self) -> u64 {
        1_800_000_000_000
    }
    fn random(&self, buffer: &mut [u8]) {
        for piece in buffer.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            piece.copy_from_slice(&next.to_be_bytes()[..piece.len()]);
        }
    }
}

pub(crate) fn settings(app: SocketAddr, suite: Suite) -> Settings {
    Settings {
        suite,
        instance: INSTANCE,
        app,
        protocol: Protocol::Http1,
        platform: app,
        origins: Vec::new(),
        plaintext_fallback: false,
        steve_v2: false,
        limits: Limits::DEFAULT,
    }
}

/// The key that steved shows.
pub(crate) fn key(to: SocketAddr) -> AttestedKey {
    let mut connection = Connection::to(to);
    connection.write(b"GET /.well-known/steve/evidence HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut bytes = Vec::new();
    connection.response(|piece| bytes.extend_from_slice(piece));
    let list = Bundle::from_bytes(&bytes).expect("a bundle").key_configs;
    let config = decode_key_configs(&list).expect("a list").remove(0);
    AttestedKey { config, key_configs_hash: key_configs_hash(&list), instance: INSTANCE }
}

pub(crate) fn hello(key: &AttestedKey, seed: u64) -> (ClientHandshake, Vec<u8>) {
    let seed = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let random = ClientRandom {
        encapsulate: Zeroizing::new(std::array::from_fn(|at| seed[at % 8] ^ 0x20)),
        ephemeral: Zeroizing::new(std::array::from_fn(|at| seed[at % 8] ^ 0x40)),
        hello: std::array::from_fn(|at| seed[at % 8]),
    };
    ClientHandshake::start(key, &context_hash("a", b""), 65_536, &random).expect("an honest key")
}

/// POST of a type.
pub(crate) fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /.well-known/steve/{path} HTTP/1.1\r\nhost: a\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn session(connection: &mut Connection, key: &AttestedKey, seed: u64) -> ClientSession {
    let (handshake, hello) = hello(key, seed);
    connection.write(&post("session", "application/steve-hello", &hello));
    let mut answer = Vec::new();
    connection.response(|piece| answer.extend_from_slice(piece));
    handshake.finish(&answer).expect("an honest answer")
}

fn head(method: &str, path: &str) -> RequestHead {
    let (method, path) = (method.to_owned(), path.to_owned());
    let (scheme, authority) = ("https".to_owned(), "a".to_owned());
    RequestHead { method, scheme, authority, path, fields: Fields::new() }
}

/// A whole request in one record, ready to be written, and what opens its response.
pub(crate) fn sealed(session: &mut ClientSession, path: &str, body: &[u8]) -> (Vec<u8>, Opener) {
    let (mut bytes, mut sealer, opener) = session.exchange().expect("far from the last");
    let (mut encoder, mut message) = (Encoder::new(), Vec::new());
    encoder.request(&head(if body.is_empty() { "GET" } else { "POST" }, path), &mut message).expect("a head");
    if !body.is_empty() {
        encoder.content(body, &mut message);
    }
    encoder.end(&Fields::new(), &mut message).expect("no trailers");
    sealer.seal(Kind::Data, &message, true, &mut bytes);
    (post("x", "application/steve-req", &bytes), opener)
}

/// A request whose body is written as it goes on.
pub(crate) struct Upload {
    sealer: Sealer,
    encoder: Encoder,
}

impl Upload {
    pub(crate) fn begin(connection: &mut Connection, session: &mut ClientSession) -> Self {
        let (header, sealer, _) = session.exchange().expect("far from the last");
        connection.write(
            b"POST /.well-known/steve/x HTTP/1.1\r\nhost: a\r\ncontent-type: application/steve-req\r\n\
              transfer-encoding: chunked\r\n\r\n",
        );
        let mut upload = Self { sealer, encoder: Encoder::new() };
        let mut message = Vec::new();
        upload.encoder.request(&head("POST", "/2"), &mut message).expect("a head");
        upload.record(connection, &header, &message, false);
        upload
    }

    pub(crate) fn content(&mut self, connection: &mut Connection, content: &[u8]) {
        let mut message = Vec::with_capacity(content.len() + 8);
        self.encoder.content(content, &mut message);
        self.record(connection, b"", &message, false);
    }

    pub(crate) fn end(mut self, connection: &mut Connection) {
        let mut message = Vec::new();
        self.encoder.end(&Fields::new(), &mut message).expect("no trailers");
        self.record(connection, b"", &message, true);
        connection.write(b"0\r\n\r\n");
    }

    fn record(&mut self, connection: &mut Connection, before: &[u8], content: &[u8], last: bool) {
        let mut bytes = before.to_vec();
        self.sealer.seal(Kind::Data, content, last, &mut bytes);
        let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), &bytes, b"\r\n"].concat();
        connection.write(&chunk);
    }
}
