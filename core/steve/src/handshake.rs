//! One round trip: hello, server hello, confirmation. `specs/steve.md` §4 has the formulas.
//!
//! | phase | holds | next |
//! |---|---|---|
//! | [`ClientHandshake`] | the client's ephemeral key | [`ClientHandshake::finish`] → [`ClientSession`] |
//! | [`EpochKey`] | the attested key, hellos taken | [`EpochKey::accept`] → [`ServerSession`] |
//!
//! Each step takes its phase away, so no key is used twice and nothing is used before it is confirmed.

use crate::cbor::{self, Message, NotThisShape, Writer};
use crate::config::{Header, KeyConfig, encode_key_configs, key_configs_hash};
use crate::error::HandshakeError;
use crate::hpke::{self, Context, TAG};
use crate::kdf::{Secret, hkdf, sha256};
use crate::kem::SecretKey;
use crate::session::{ClientSession, Limits, Schedule, ServerSession, Session, SessionId};
use crate::suite::Suite;
use crate::window::{MAX_HELLOS, StrikeRegister};
use minicbor::Decoder;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The first byte of every message.
pub(crate) const VERSION: u8 = 1;
/// The longest message of the handshake that is read, in bytes.
pub const MAX_HANDSHAKE: usize = 8192;

/// What ties a session to one deployment: SHA-256 over the authority that the client means, and the
/// application's own context, which may be empty.
pub fn context_hash(authority: &str, app_context: &[u8]) -> [u8; 32] {
    sha256(&[b"steve3 ctx\0", authority.as_bytes(), b"\0", app_context])
}

/// A key that evidence vouches for, as the client knows it after verifying that evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedKey {
    /// The key.
    pub config: KeyConfig,
    /// SHA-256 of the whole list, as attested.
    pub key_configs_hash: [u8; 32],
    /// The attested instance.
    pub instance: [u8; 16],
}

/// The client's randomness for one handshake. All of it fresh, none of it used for anything else.
pub struct ClientRandom {
    /// For encapsulating to the attested key.
    pub encapsulate: Zeroizing<[u8; 64]>,
    /// The seed of the client's ephemeral key.
    pub ephemeral: Zeroizing<[u8; 32]>,
    /// `client_random`.
    pub hello: [u8; 32],
}

/// The server's randomness for one handshake.
pub struct ServerRandom {
    /// For encapsulating to the client's ephemeral key.
    pub encapsulate: Zeroizing<[u8; 64]>,
    /// The session's id.
    pub session: [u8; 16],
    /// `server_random`.
    pub hello: [u8; 32],
}

/// A client that has sent its hello.
pub struct ClientHandshake {
    suite: Suite,
    instance: [u8; 16],
    ephemeral: SecretKey,
    request: Context,
    th1: [u8; 32],
    max_chunk: u32,
}

impl ClientHandshake {
    /// Makes the hello for an attested key. `max_chunk` is the longest content of a record that the
    /// client takes, [`Limits::MAX_CHUNK`].
    pub fn start(
        key: &AttestedKey,
        context_hash: &[u8; 32],
        max_chunk: u32,
        random: &ClientRandom,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let suite = key.config.suite;
        Limits::check("max_chunk", max_chunk.into(), Limits::MAX_CHUNK)?;
        let header = key.config.header();
        let info = request_info(header, &key.key_configs_hash);
        let (request, enc) = hpke::sender(suite, &key.config.public_key, &info, &random.encapsulate)?;
        let ephemeral = SecretKey::from_seed(suite, &random.ephemeral);
        let inner = ClientInner {
            random: random.hello,
            public_key: ephemeral.public().to_vec(),
            context_hash: *context_hash,
            max_chunk,
        };
        let sealed = request.seal(b"", &inner.to_bytes());
        let hello = [&[VERSION][..], &header, &enc, &sealed].concat();
        let th1 = sha256(&[&hello]);
        Ok((Self { suite, instance: key.instance, ephemeral, request, th1, max_chunk }, hello))
    }

    /// Reads the server's answer. Nothing of it counts before its confirmation holds.
    pub fn finish(self, server_hello: &[u8]) -> Result<ClientSession, HandshakeError> {
        const WHAT: &str = "server hello";
        let malformed = HandshakeError::Malformed(WHAT);
        let parts = ServerHello::split(self.suite, server_hello).ok_or(malformed)?;
        let info = response_info(&self.th1);
        let response = hpke::receiver(self.suite, &self.ephemeral, parts.enc, &info)?;
        let inner = response.open(parts.session, parts.sealed).ok_or(HandshakeError::NotAuthentic(WHAT))?;
        let transcript = Transcript::of(&self.th1, parts.without_confirmation);
        let schedule = transcript.schedule(&self.request, &response);
        if !bool::from(schedule.confirmation().ct_eq(parts.confirmation)) {
            return Err(HandshakeError::Confirmation);
        }
        let inner = ServerInner::from_bytes(&inner).map_err(|_| malformed)?;
        if inner.instance != self.instance {
            return Err(HandshakeError::Instance);
        }
        inner.limits.checked(self.max_chunk)?;
        let id = SessionId(parts.session.try_into().expect("split at 16 bytes"));
        let session = Session::new(id, self.suite, schedule, inner.limits, inner.expires_s);
        Ok(ClientSession::new(session))
    }
}

/// A key of this enclave for an epoch, with the hellos it has taken. Dropping it ends what can be
/// begun with it, and forgets the private key.
pub struct EpochKey {
    config: KeyConfig,
    list: Vec<u8>,
    key_configs_hash: [u8; 32],
    instance: [u8; 16],
    secret: SecretKey,
    hellos: StrikeRegister,
}

/// What a server grants every session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant<'a> {
    /// Contexts that are served ([`context_hash`]); all where there are none.
    pub contexts: &'a [[u8; 32]],
    /// The limits of the session.
    pub limits: Limits,
    /// How long it may begin exchanges, in seconds.
    pub lifetime_s: u32,
}

impl EpochKey {
    /// A key made from a seed of 32 fresh random bytes.
    pub fn from_seed(suite: Suite, key_id: u8, instance: [u8; 16], seed: &Zeroizing<[u8; 32]>) -> Self {
        let secret = SecretKey::from_seed(suite, seed);
        let config = KeyConfig { key_id, suite, public_key: secret.public().to_vec() };
        let list = encode_key_configs(std::slice::from_ref(&config));
        let key_configs_hash = key_configs_hash(&list);
        Self { config, list, key_configs_hash, instance, secret, hellos: StrikeRegister::default() }
    }

    /// The list of key configurations to publish: this key's.
    pub fn key_configs(&self) -> &[u8] {
        &self.list
    }

    /// SHA-256 of [`EpochKey::key_configs`], to attest.
    pub fn key_configs_hash(&self) -> [u8; 32] {
        self.key_configs_hash
    }

    /// Takes a client's hello: the session, and what to answer.
    pub fn accept(
        &mut self,
        hello: &[u8],
        grant: &Grant<'_>,
        random: &ServerRandom,
    ) -> Result<(ServerSession, Vec<u8>), HandshakeError> {
        const WHAT: &str = "hello";
        let suite = self.config.suite;
        let (header, enc, sealed) = split_hello(&self.config, hello)?;
        let strike = sha256(&[enc]);
        self.hellos.check(&strike, MAX_HELLOS)?;
        let info = request_info(header, &self.key_configs_hash);
        let request = hpke::receiver(suite, &self.secret, enc, &info)?;
        let inner = request.open(b"", sealed).ok_or(HandshakeError::NotAuthentic(WHAT))?;
        let inner = ClientInner::from_bytes(&inner).map_err(|_| HandshakeError::Malformed(WHAT))?;
        if !grant.contexts.is_empty() && !grant.contexts.contains(&inner.context_hash) {
            return Err(HandshakeError::Context);
        }
        Limits::check("max_chunk", inner.max_chunk.into(), Limits::MAX_CHUNK)?;
        let th1 = sha256(&[hello]);
        let (response, enc) =
            hpke::sender(suite, &inner.public_key, &response_info(&th1), &random.encapsulate)?;
        let limits = Limits { max_chunk: grant.limits.max_chunk.min(inner.max_chunk), ..grant.limits };
        let answer = ServerInner {
            random: random.hello,
            expires_s: grant.lifetime_s,
            instance: self.instance,
            limits,
        };
        let sealed = response.seal(&random.session, &answer.to_bytes());
        let mut server_hello = [&[VERSION][..], &random.session, &enc, &sealed].concat();
        let transcript = Transcript::of(&th1, &server_hello);
        let schedule = transcript.schedule(&request, &response);
        server_hello.extend_from_slice(&schedule.confirmation()[..]);
        self.hellos.take(strike);
        let id = SessionId(random.session);
        let session = Session::new(id, suite, schedule, limits, grant.lifetime_s);
        Ok((ServerSession::new(session), server_hello))
    }
}

/// `1 || hdr7 || enc_s || sealed`, for this key and no other.
fn split_hello<'a>(key: &KeyConfig, hello: &'a [u8]) -> Result<(Header, &'a [u8], &'a [u8]), HandshakeError> {
    let malformed = HandshakeError::Malformed("hello");
    if hello.len() > MAX_HANDSHAKE {
        return Err(malformed);
    }
    let (&[version, header @ ..], rest) = hello.split_first_chunk::<8>().ok_or(malformed)?;
    if version != VERSION {
        return Err(malformed);
    }
    let expected = key.header();
    if header[0] != expected[0] {
        return Err(HandshakeError::KeyUnknown(header[0]));
    }
    if header != expected {
        return Err(HandshakeError::SuiteMismatch(key.suite.name()));
    }
    let (enc, sealed) = rest.split_at_checked(key.suite.encapsulated_len()).ok_or(malformed)?;
    Ok((header, enc, sealed))
}

/// `1 || session_id || enc_c || sealed || confirmation`.
struct ServerHello<'a> {
    session: &'a [u8],
    enc: &'a [u8],
    sealed: &'a [u8],
    confirmation: &'a [u8],
    without_confirmation: &'a [u8],
}

impl<'a> ServerHello<'a> {
    fn split(suite: Suite, message: &'a [u8]) -> Option<Self> {
        let (without_confirmation, confirmation) = message.split_last_chunk::<32>()?;
        let (&version, rest) = without_confirmation.split_first()?;
        if message.len() > MAX_HANDSHAKE || version != VERSION {
            return None;
        }
        let (session, rest) = rest.split_at_checked(16)?;
        let (enc, sealed) = rest.split_at_checked(suite.encapsulated_len())?;
        (sealed.len() >= TAG).then_some(Self { session, enc, sealed, confirmation, without_confirmation })
    }
}

fn request_info(header: Header, key_configs_hash: &[u8; 32]) -> Vec<u8> {
    [b"steve3 session request\0", &header[..], key_configs_hash].concat()
}

fn response_info(th1: &[u8; 32]) -> Vec<u8> {
    [b"steve3 session response\0", &th1[..]].concat()
}

/// The digest of everything both sides said before the confirmation.
struct Transcript([u8; 32]);

impl Transcript {
    fn of(th1: &[u8; 32], server_hello: &[u8]) -> Self {
        Self(sha256(&[th1, &sha256(&[server_hello])]))
    }

    /// Both exports together: who learns only one of the two private keys learns nothing.
    fn schedule(self, request: &Context, response: &Context) -> Schedule {
        let es = request.export(b"steve3 es");
        let ee = response.export(b"steve3 ee");
        let master: Secret = hkdf(&es[..], &ee[..], &[b"steve3 master", &self.0]);
        Schedule::new(self.0, &master)
    }
}

/// What a hello seals.
struct ClientInner {
    random: [u8; 32],
    public_key: Vec<u8>,
    context_hash: [u8; 32],
    max_chunk: u32,
}

impl Message for ClientInner {
    fn write(&self, to: &mut Writer<'_>) {
        to.map(4).uint(1).bytes(&self.random).uint(2).bytes(&self.public_key);
        to.uint(3).bytes(&self.context_hash).uint(4).uint(self.max_chunk.into());
    }

    fn read(from: &mut Decoder<'_>) -> Result<Self, NotThisShape> {
        cbor::map(from, 4)?;
        cbor::key(from, 1)?;
        let random = cbor::bytes(from)?;
        cbor::key(from, 2)?;
        let public_key = from.bytes()?.to_vec();
        cbor::key(from, 3)?;
        let context_hash = cbor::bytes(from)?;
        cbor::key(from, 4)?;
        Ok(Self { random, public_key, context_hash, max_chunk: from.u32()? })
    }
}

/// What a server hello seals.
struct ServerInner {
    random: [u8; 32],
    expires_s: u32,
    instance: [u8; 16],
    limits: Limits,
}

impl Message for ServerInner {
    fn write(&self, to: &mut Writer<'_>) {
        to.map(4).uint(1).bytes(&self.random).uint(2).uint(self.expires_s.into());
        to.uint(3).bytes(&self.instance).uint(4).array(3);
        to.uint(self.limits.max_chunk.into()).uint(self.limits.concurrency.into());
        to.uint(self.limits.window.into());
    }

    fn read(from: &mut Decoder<'_>) -> Result<Self, NotThisShape> {
        cbor::map(from, 4)?;
        cbor::key(from, 1)?;
        let random = cbor::bytes(from)?;
        cbor::key(from, 2)?;
        let expires_s = from.u32()?;
        cbor::key(from, 3)?;
        let instance = cbor::bytes(from)?;
        cbor::key(from, 4)?;
        if from.array()? != Some(3) {
            return Err(NotThisShape);
        }
        let limits = Limits { max_chunk: from.u32()?, concurrency: from.u32()?, window: from.u32()? };
        Ok(Self { random, expires_s, instance, limits })
    }
}
