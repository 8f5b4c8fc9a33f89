//! Handshakes: a client's hello from its randomness, and what it makes of an answer.

use super::records::{Records, play};
use super::{Answer, Question, bytes, hex};
use crate::agreement::changes::meddled;
use crate::agreement::random::Random;
use caution_steve::{
    AttestedKey, ClientHandshake, ClientRandom, ClientSession, EpochKey, Grant, HandshakeError, Limits,
    ServerRandom, ServerSession, Suite, context_hash, decode_key_configs,
};
use serde::Serialize;

/// What a client knows and chooses, and what it is answered. Bytes are hex digits.
#[derive(Serialize)]
pub(super) struct Handshake {
    suite: &'static str,
    key_id: u8,
    public_key: String,
    key_configs_hash: String,
    instance: String,
    authority: String,
    app_context: String,
    max_chunk: u32,
    encapsulate: String,
    ephemeral: String,
    random: String,
    server_hello: String,
    /// The session is used by the records that follow.
    keep: bool,
}

/// One session of each suite.
#[derive(Default)]
pub(super) struct Sessions([Option<Pair>; 2]);

pub(super) struct Pair {
    pub(super) client: ClientSession,
    pub(super) server: ServerSession,
}

impl Sessions {
    pub(super) fn are_missing(&self) -> bool {
        self.0.iter().any(Option::is_none)
    }

    /// Another session of a suite, of one that there is none of if possible.
    pub(super) fn honest(&mut self, random: &mut Random) -> (Question, Answer) {
        let missing = self.0.iter().position(Option::is_none);
        let at = missing.unwrap_or_else(|| random.below(2));
        let mut scene = Scene::new(Suite::ALL[at], random);
        let limits = Limits { max_chunk: random.pick(&[16_384, 20_000, 65_536]), ..Limits::DEFAULT };
        scene.max_chunk = random.pick(&[16_384, 65_536]);
        let (handshake, hello) = scene.start().expect("an honest key");
        let (server, answer) = scene.accept(&hello, limits, scene.instance).expect("an honest hello");
        let client = handshake.finish(&answer).expect("an honest answer");
        let said = Answer::ok(shown(&hello, &client));
        self.0[at] = Some(Pair { client, server });
        (scene.question(&answer, true), said)
    }

    pub(super) fn records(&mut self, random: &mut Random) -> (Question, Answer) {
        let at = random.below(2);
        let pair = self.0[at].as_mut().expect("sessions are made first");
        let (records, answer): (Records, Answer) = play(pair, random);
        (Question::Records(records), answer)
    }
}

/// A handshake in which something is wrong, mostly.
pub(super) fn meddled_with(random: &mut Random) -> (Question, Answer) {
    let suite = random.pick(&Suite::ALL);
    let mut scene = Scene::new(suite, random);
    if random.one_in(6) {
        scene.max_chunk = random.pick(&[0, 16_383, 65_537, u32::MAX]);
    }
    if random.one_in(4) {
        odd_key(&mut scene.public_key, random);
    }
    let (handshake, hello) = match scene.start() {
        Ok(started) => started,
        Err(error) => return (scene.question(&[], false), Answer::refused("", &error)),
    };
    let limits = Limits {
        max_chunk: random.pick(&[65_536, 16_384, 16_383, 0, 131_072]),
        concurrency: random.pick(&[256, 256, 1, 0, 65_536, 65_537, u32::MAX]),
        window: random.pick(&[4096, 4096, 4096, 4096, 4095, 0]),
    };
    let instance = if random.one_in(8) { bytes(random) } else { scene.instance };
    // A hello to an odd key is for nobody: what answers it is another handshake's.
    let answer = scene.accept(&hello, limits, instance).map_or_else(|_| vec![1; 168], |(_, answer)| answer);
    let answer = changed(answer, suite, random);
    let said = match handshake.finish(&answer) {
        Ok(client) => Answer::ok(shown(&hello, &client)),
        Err(error) => Answer::refused(&format!("{} ", hex(&hello)), &error),
    };
    (scene.question(&answer, false), said)
}

fn changed(mut answer: Vec<u8>, suite: Suite, random: &mut Random) -> Vec<u8> {
    let length = answer.len();
    match random.below(8) {
        0..=2 => {}
        3 => answer[length - 1 - random.below(32)] ^= 1 << random.below(8),
        4 => answer.truncate(random.below(length)),
        5 => answer.resize(random.pick(&[length + 1, 8192, 8193]), 0),
        // Where the encapsulated key of X25519 is, in both suites the last 32 bytes of what is encapsulated.
        6 => {
            let end = 17 + suite.encapsulated_len();
            if length >= end {
                odd_point(&mut answer[end - 32..end], random);
            }
        }
        _ => answer = meddled(&answer, random),
    }
    answer
}

/// A public key that no honest enclave has.
fn odd_key(key: &mut Vec<u8>, random: &mut Random) {
    let length = key.len();
    match random.below(4) {
        0 => odd_point(&mut key[length - 32..], random),
        // A coefficient of ML-KEM outside its field, where the suite has one.
        1 => key[..2].fill(0xff),
        2 => key.truncate(random.below(length)),
        _ => key.push(0),
    }
}

/// Points of small order, with and without the bit that X25519 ignores (RFC 7748, section 5), and values
/// that are not reduced.
fn odd_point(point: &mut [u8], random: &mut Random) {
    let high = |first: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (first, 0x7f);
        bytes
    };
    let mut one = [0; 32];
    one[0] = 1;
    let chosen =
        random.pick(&[[0; 32], one, high(0xec), high(0xed), high(0xee), high(0xef), EIGHT, OTHER_EIGHT]);
    point.copy_from_slice(&chosen);
    if random.one_in(2) {
        point[31] |= 0x80;
    }
}

/// Everything both sides know before they speak.
struct Scene {
    suite: Suite,
    key_id: u8,
    seed: [u8; 32],
    public_key: Vec<u8>,
    key_configs_hash: [u8; 32],
    instance: [u8; 16],
    authority: &'static str,
    app_context: Vec<u8>,
    max_chunk: u32,
    client: [u8; 128],
    server: [u8; 112],
}

impl Scene {
    fn new(suite: Suite, random: &mut Random) -> Self {
        let (key_id, seed, instance) = (random.byte(), bytes(random), bytes(random));
        let key = EpochKey::from_seed(suite, key_id, instance, &seed.into());
        let config = decode_key_configs(key.key_configs()).expect("our own list").remove(0);
        Self {
            suite,
            key_id,
            seed,
            public_key: config.public_key,
            key_configs_hash: key.key_configs_hash(),
            instance,
            authority: random.pick(&["app.example", "app.example:8443", "[::1]:80", ""]),
            app_context: vec![random.byte(); random.pick(&[0, 1, 100])],
            max_chunk: random.pick(&[16_384, 16_385, 65_536]),
            client: bytes(random),
            server: bytes(random),
        }
    }

    fn start(&self) -> Result<(ClientHandshake, Vec<u8>), HandshakeError> {
        let (suite, key_id, instance) = (self.suite, self.key_id, self.instance);
        let config = caution_steve::KeyConfig { key_id, suite, public_key: self.public_key.clone() };
        let attested = AttestedKey { config, key_configs_hash: self.key_configs_hash, instance };
        let [encapsulate, ephemeral, hello] = self.client_parts();
        let random = ClientRandom {
            encapsulate: <[u8; 64]>::try_from(encapsulate).expect("64 bytes").into(),
            ephemeral: <[u8; 32]>::try_from(ephemeral).expect("32 bytes").into(),
            hello: hello.try_into().expect("32 bytes"),
        };
        let context = context_hash(self.authority, &self.app_context);
        ClientHandshake::start(&attested, &context, self.max_chunk, &random)
    }

    fn accept(
        &self,
        hello: &[u8],
        limits: Limits,
        instance: [u8; 16],
    ) -> Result<(ServerSession, Vec<u8>), HandshakeError> {
        let mut key = EpochKey::from_seed(self.suite, self.key_id, instance, &self.seed.into());
        let (encapsulate, rest) = self.server.split_first_chunk::<64>().expect("112 bytes");
        let (session, hello_random) = rest.split_first_chunk::<16>().expect("48 bytes");
        let random = ServerRandom {
            encapsulate: (*encapsulate).into(),
            session: *session,
            hello: hello_random.try_into().expect("32 bytes"),
        };
        key.accept(hello, &Grant { contexts: &[], limits, lifetime_s: 1800 }, &random)
    }

    fn client_parts(&self) -> [&[u8]; 3] {
        [&self.client[..64], &self.client[64..96], &self.client[96..]]
    }

    fn question(&self, server_hello: &[u8], keep: bool) -> Question {
        let [encapsulate, ephemeral, random] = self.client_parts().map(hex);
        Question::Handshake(Handshake {
            suite: self.suite.name(),
            key_id: self.key_id,
            public_key: hex(&self.public_key),
            key_configs_hash: hex(&self.key_configs_hash),
            instance: hex(&self.instance),
            authority: self.authority.to_owned(),
            app_context: hex(&self.app_context),
            max_chunk: self.max_chunk,
            encapsulate,
            ephemeral,
            random,
            server_hello: hex(server_hello),
            keep,
        })
    }
}

/// The hello, and all that a session shows.
fn shown(hello: &[u8], client: &ClientSession) -> String {
    let session = client.session();
    let Limits { max_chunk, concurrency, window } = session.limits();
    let limits = format!("{max_chunk} {concurrency} {window} {}", session.lifetime_s());
    let secret = session.exporter(b"label", b"context");
    let (id, transcript) = (hex(&session.id().0), hex(&session.transcript_hash()));
    format!("{} {} {id} {transcript} {limits} {}", hex(hello), session.suite(), hex(&secret[..]))
}

/// Points of order eight, as little-endian bytes.
const EIGHT: [u8; 32] = [
    0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
    0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
];
const OTHER_EIGHT: [u8; 32] = [
    0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
    0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
];
