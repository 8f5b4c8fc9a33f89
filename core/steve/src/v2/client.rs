//! The client's side.

use super::keys::{Claims, Direction, Keys, OVERHEAD, Place, Purpose, Transcript};
use super::message::{Envelope, Request, Response, SessionRequest, SessionResponse};
use super::{Error, suite_name};
use crate::http::Fields;
use crate::kdf::Secret;
use crate::kem::{InvalidKey, SecretKey, agree, x25519, x25519_public};
use crate::session::SessionId;
use crate::suite::Suite;
use zeroize::Zeroizing;

/// The client's randomness for one session.
pub struct ClientRandom {
    /// The seed of its ephemeral key.
    pub key: Zeroizing<[u8; 32]>,
    /// `client_nonce`.
    pub nonce: [u8; 32],
}

enum Ephemeral {
    X25519(aws_lc_rs::agreement::PrivateKey),
    XWing(SecretKey),
}

/// A client that has asked for a session.
pub struct Client {
    secret: Ephemeral,
    request: SessionRequest,
}

impl Client {
    /// Makes the request.
    pub fn start(suite: Suite, context_hash: [u8; 32], random: &ClientRandom) -> (Self, Vec<u8>) {
        let (secret, key) = match suite {
            Suite::X25519 => {
                let secret = x25519(&random.key);
                let public = x25519_public(&secret).to_vec();
                (Ephemeral::X25519(secret), public)
            }
            Suite::XWing => {
                let secret = SecretKey::from_seed(suite, &random.key);
                let public = secret.public().to_vec();
                (Ephemeral::XWing(secret), public)
            }
        };
        let request = SessionRequest { suite, nonce: random.nonce, key, context_hash };
        let bytes = request.to_bytes();
        (Self { secret, request }, bytes)
    }

    /// Reads the answer. Its document has to be verified before anything else.
    pub fn finish(self, response: &[u8]) -> Result<Unverified, Error> {
        let SessionResponse { suite, session, key, document, expires_in_s } =
            SessionResponse::from_bytes(response)?;
        let asked = self.request.suite;
        if suite != asked {
            return Err(Error::SuiteMismatch(suite_name(asked)));
        }
        let shared: Secret = match &self.secret {
            Ephemeral::X25519(_) if key.len() != 32 => return Err(InvalidKey("public key").into()),
            Ephemeral::X25519(secret) => agree(secret, &key, "public key")?,
            Ephemeral::XWing(secret) => secret.decapsulate(&key)?,
        };
        let transcript = Transcript {
            suite,
            client_nonce: &self.request.nonce,
            client_key: &self.request.key,
            server_key: &key,
            session,
            context_hash: &self.request.context_hash,
        };
        let (keys, claims) = transcript.keys(&shared);
        Ok(Unverified { nonce: self.request.nonce, keys, claims, document, expires_in_s })
    }
}

/// A session whose document nobody has verified.
pub struct Unverified {
    /// The nonce that the document has to have.
    pub nonce: [u8; 32],
    /// The document.
    pub document: Vec<u8>,
    /// For how long the session is good.
    pub expires_in_s: u64,
    keys: Keys,
    claims: Claims,
}

impl Unverified {
    /// The session, where the `user_data` of the verified document are its own: whoever was attested has its keys.
    pub fn verified(self, user_data: &[u8]) -> Result<ClientSession, Error> {
        if !self.claims.are(user_data) {
            return Err(Error::NotAuthentic("attestation document"));
        }
        Ok(ClientSession { keys: self.keys, next: 0 })
    }
}

/// A session of a client. Nothing is to be sent before the server has confirmed it.
pub struct ClientSession {
    keys: Keys,
    /// 0 until it is confirmed.
    next: u64,
}

impl ClientSession {
    /// Its name.
    pub fn id(&self) -> SessionId {
        self.keys.session
    }

    /// The digest of the handshake.
    pub fn transcript_hash(&self) -> [u8; 32] {
        self.keys.transcript_hash()
    }

    /// Our confirmation.
    pub fn confirmation(&self) -> Vec<u8> {
        let record = self.keys.confirmation(Direction::ToServer);
        let mut bytes = Envelope::head(self.id(), 0, record.len());
        bytes.extend_from_slice(&record);
        bytes
    }

    /// The server's.
    pub fn confirmed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let envelope = Envelope::from_bytes(bytes)?;
        if envelope.session != self.id() || envelope.sequence != 0 {
            return Err(Error::Malformed("confirmation"));
        }
        self.keys.check_confirmation(Direction::ToClient, &bytes[envelope.record])?;
        self.next = self.next.max(1);
        Ok(())
    }

    /// A request with a number of its own; none before the server has confirmed the session.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        fields: &Fields,
        body: Option<&[u8]>,
    ) -> Result<(u64, Vec<u8>), Error> {
        let sequence = self.next;
        if sequence == 0 {
            return Err(Error::NotConfirmed);
        }
        self.next += 1;
        let plain = Request::write(method, path, fields, body);
        let mut bytes = Envelope::head(self.id(), sequence, plain.len() + OVERHEAD);
        let from = bytes.len();
        bytes.extend_from_slice(&plain);
        let place = Place { purpose: Purpose::Application, direction: Direction::ToServer, sequence };
        self.keys.seal(place, &mut bytes, from);
        Ok((sequence, bytes))
    }

    /// The response to the request of this number, and its body.
    pub fn response(&self, sequence: u64, mut bytes: Vec<u8>) -> Result<(Response, Vec<u8>), Error> {
        let envelope = Envelope::from_bytes(&bytes)?;
        if envelope.session != self.id() || envelope.sequence != sequence {
            return Err(Error::Malformed("response"));
        }
        let place = Place { purpose: Purpose::Application, direction: Direction::ToClient, sequence };
        let length = self.keys.open(place, &mut bytes[envelope.record.clone()])?;
        let plain = &bytes[envelope.record][..length];
        let response = Response::from_bytes(plain)?;
        let body = match &response {
            Response::App { body, .. } => plain[body.clone()].to_vec(),
            Response::Error(_) => Vec::new(),
        };
        Ok((response, body))
    }
}
