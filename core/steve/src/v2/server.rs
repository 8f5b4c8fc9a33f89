//! The enclave's side.

use super::keys::{Claims, Direction, Keys, OVERHEAD, Place, Purpose, Transcript};
use super::message::{Envelope, Request, Response, SessionRequest, SessionResponse};
use super::{Error, MAX_RESPONSE, WINDOW, suite_name};
use crate::http::Fields;
use crate::kdf::array;
use crate::kem::{InvalidKey, agree, encapsulate, x25519, x25519_public};
use crate::session::SessionId;
use crate::suite::Suite;
use zeroize::Zeroizing;

/// The server's randomness for one session.
pub struct ServerRandom {
    /// For its part of the key exchange.
    pub key: Zeroizing<[u8; 64]>,
    /// The session's name.
    pub session: [u8; 16],
}

/// A session that waits for its attestation document.
pub struct Offer {
    suite: Suite,
    nonce: [u8; 32],
    key: Vec<u8>,
    keys: Keys,
    claims: Claims,
}

impl Offer {
    /// Reads a client's request, for a deployment of this suite.
    pub fn new(suite: Suite, request: &[u8], random: &ServerRandom) -> Result<Self, Error> {
        let SessionRequest { suite: asked, nonce, key: client_key, context_hash } =
            SessionRequest::from_bytes(request)?;
        if asked != suite {
            return Err(Error::SuiteMismatch(suite_name(suite)));
        }
        if client_key.len() != suite.public_key_len() {
            return Err(InvalidKey("public key").into());
        }
        let (shared, key) = match suite {
            Suite::X25519 => {
                let secret = x25519(&Zeroizing::new(array(&random.key[..32])));
                (agree(&secret, &client_key, "public key")?, x25519_public(&secret).to_vec())
            }
            Suite::XWing => encapsulate(suite, &client_key, &random.key)?,
        };
        let transcript = Transcript {
            suite,
            client_nonce: &nonce,
            client_key: &client_key,
            server_key: &key,
            session: SessionId(random.session),
            context_hash: &context_hash,
        };
        let (keys, claims) = transcript.keys(&shared);
        Ok(Self { suite, nonce, key, keys, claims })
    }

    /// What the document has to say.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The nonce that the document has to have.
    pub fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The session, and what to answer.
    pub fn answer(self, document: Vec<u8>, expires_in_s: u64) -> (ServerSession, Vec<u8>) {
        let session = self.keys.session;
        let response = SessionResponse { suite: self.suite, session, key: self.key, document, expires_in_s };
        let state = ServerSession { keys: self.keys, confirmed: false, newest: 0, begun: 0 };
        (state, response.to_bytes())
    }
}

/// A session of a server.
pub struct ServerSession {
    keys: Keys,
    confirmed: bool,
    newest: u64,
    /// Bit `n` says whether `newest - n` has begun.
    begun: u64,
}

/// A request that has begun, in the bytes of its envelope.
pub struct Opened {
    /// Its number.
    pub sequence: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Where in them the request stands.
    pub plain: std::ops::Range<usize>,
}

impl Opened {
    /// The request, with its body where it stands in [`Opened::bytes`].
    pub fn request(&self) -> Result<Request, Error> {
        let mut request = Request::from_bytes(&self.bytes[self.plain.clone()])?;
        let start = self.plain.start;
        request.body = request.body.map(|body| body.start + start..body.end + start);
        Ok(request)
    }
}

impl ServerSession {
    /// Its name.
    pub fn id(&self) -> SessionId {
        self.keys.session
    }

    /// Whether the client has shown that it has the keys.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Takes the client's confirmation, once; gives our own.
    pub fn confirm(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let envelope = self.envelope(bytes)?;
        if envelope.sequence != 0 {
            return Err(Error::Malformed("confirmation"));
        }
        self.keys.check_confirmation(Direction::ToServer, &bytes[envelope.record])?;
        if std::mem::replace(&mut self.confirmed, true) {
            return Err(Error::Replay(0));
        }
        let record = self.keys.confirmation(Direction::ToClient);
        let mut answer = Envelope::head(self.id(), 0, record.len());
        answer.extend_from_slice(&record);
        Ok(answer)
    }

    /// Opens a request and takes its number, so that it does not begin twice. Only what authenticates takes one.
    pub fn open(&mut self, mut bytes: Vec<u8>) -> Result<Opened, Error> {
        let Envelope { sequence, record, .. } = self.envelope(&bytes)?;
        if !self.confirmed {
            return Err(Error::NotConfirmed);
        }
        let place = Place { purpose: Purpose::Application, direction: Direction::ToServer, sequence };
        let length = self.keys.open(place, &mut bytes[record.clone()])?;
        self.begin(sequence)?;
        Ok(Opened { sequence, bytes, plain: record.start..record.start + length })
    }

    /// The response to a request that began; none where it would be longer than [`MAX_RESPONSE`], and then an error
    /// is to take its place. Each is sealed once: whoever has the number has begun it.
    pub fn seal(&self, sequence: u64, status: u16, fields: &Fields, body: &[u8]) -> Option<Vec<u8>> {
        let head = Response::head(status, fields, body.len());
        let length = head.len() + body.len() + OVERHEAD;
        let is_short = Envelope::head(self.id(), sequence, length).len() + length <= MAX_RESPONSE;
        is_short.then(|| self.sealed(sequence, &head, body))
    }

    /// An error in its place.
    pub fn seal_error(&self, sequence: u64, code: &str) -> Vec<u8> {
        self.sealed(sequence, &Response::write_error(code), &[])
    }

    fn sealed(&self, sequence: u64, head: &[u8], body: &[u8]) -> Vec<u8> {
        let mut bytes = Envelope::head(self.id(), sequence, head.len() + body.len() + OVERHEAD);
        let from = bytes.len();
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(body);
        let place = Place { purpose: Purpose::Application, direction: Direction::ToClient, sequence };
        self.keys.seal(place, &mut bytes, from);
        bytes
    }

    fn envelope(&self, bytes: &[u8]) -> Result<Envelope, Error> {
        let envelope = Envelope::from_bytes(bytes)?;
        if envelope.session == self.id() { Ok(envelope) } else { Err(Error::SessionUnknown) }
    }

    /// Whether a request may begin, as far as that can be said before it is there: with its number, where that is
    /// known.
    pub fn may_begin(&self, sequence: Option<u64>) -> Result<(), Error> {
        if !self.confirmed {
            return Err(Error::NotConfirmed);
        }
        let Some(sequence) = sequence else { return Ok(()) };
        let behind = self.newest.saturating_sub(sequence);
        // Number 0 is the confirmation's.
        if sequence == 0 || behind >= WINDOW {
            return Err(Error::TooOld(sequence));
        }
        let has_begun = sequence <= self.newest && self.begun & 1 << behind != 0;
        if has_begun { Err(Error::Replay(sequence)) } else { Ok(()) }
    }

    fn begin(&mut self, sequence: u64) -> Result<(), Error> {
        self.may_begin(Some(sequence))?;
        let ahead = sequence.saturating_sub(self.newest);
        if ahead > 0 {
            let shift = u32::try_from(ahead).unwrap_or(u32::MAX);
            self.begun = self.begun.checked_shl(shift).unwrap_or(0);
            self.newest = sequence;
        }
        self.begun |= 1 << (self.newest - sequence);
        Ok(())
    }
}
