//! The messages: what they say, and their CBOR. Keys of maps may come in any order, and there are no others.

use super::cbor::{self, Value};
use super::{Error, VERSION, suite_name, suite_named};
use crate::cbor::Writer;
use crate::http::{Fields, RequestHead};
use crate::session::SessionId;
use crate::suite::Suite;
use std::ops::Range;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// Which suite it has pinned.
    pub suite: Suite,
    /// 32 random bytes, the document's nonce.
    pub nonce: [u8; 32],
    /// Its ephemeral public key, 32 or 1216 bytes.
    pub key: Vec<u8>,
    /// What the session is for: of a page SHA-256 of its origin.
    pub context_hash: [u8; 32],
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionResponse {
    /// The deployment's suite.
    pub suite: Suite,
    /// The session's name.
    pub session: SessionId,
    /// The server's ephemeral public key or what it encapsulated, 32 or 1120 bytes.
    pub key: Vec<u8>,
    /// The attestation document, COSE_Sign1.
    pub document: Vec<u8>,
    /// For how long the session is good.
    pub expires_in_s: u64,
}

/// What is around a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The session's name.
    pub session: SessionId,
    /// The record's number: 0 of a confirmation, else of a request from 1, and of the response to it.
    pub sequence: u64,
    /// Where the record stands in the bytes.
    pub(super) record: Range<usize>,
}

/// What the beginning of an envelope says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// The session's name.
    pub session: SessionId,
    /// The record's number, where it stands before the record.
    pub sequence: Option<u64>,
}

/// A body that stands in bytes that somebody else has.
pub type Body = Range<usize>;

/// A request inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Method, path with its query, and fields, checked as those of version 3; the authority is the field
    /// `host`, and `localhost` where there is none.
    pub head: RequestHead,
    /// Where its body stands.
    pub body: Option<Body>,
}

/// A response inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// What the app said.
    App {
        /// 200 to 599.
        status: u16,
        /// Names and values, in order, duplicates kept.
        fields: Fields,
        /// Where its body stands.
        body: Body,
    },
    /// There is none, and why.
    Error(String),
}

impl SessionRequest {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes);
        to.map(5).text("version").uint(VERSION).text("key_exchange").text(suite_name(self.suite));
        to.text("client_nonce").bytes(&self.nonce).text("client_key_material").bytes(&self.key);
        to.text("context_hash").bytes(&self.context_hash);
        bytes
    }

    /// Reads them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let names = ["version", "key_exchange", "client_nonce", "client_key_material", "context_hash"];
        let said = Said::read("session request", bytes, names)?;
        said.version(0)?;
        Ok(Self {
            suite: said.suite(1)?,
            nonce: said.fixed(2)?,
            key: said.bytes(3)?.to_vec(),
            context_hash: said.fixed(4)?,
        })
    }
}

impl SessionResponse {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes);
        to.map(6).text("version").uint(VERSION).text("key_exchange").text(suite_name(self.suite));
        to.text("session_id").bytes(&self.session.0).text("server_key_material").bytes(&self.key);
        to.text("attestation_document").bytes(&self.document);
        to.text("expires_in_seconds").uint(self.expires_in_s);
        bytes
    }

    /// Reads them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let names = [
            "version",
            "key_exchange",
            "session_id",
            "server_key_material",
            "attestation_document",
            "expires_in_seconds",
        ];
        let said = Said::read("session response", bytes, names)?;
        said.version(0)?;
        Ok(Self {
            suite: said.suite(1)?,
            session: SessionId(said.fixed(2)?),
            key: said.bytes(3)?.to_vec(),
            document: said.bytes(4)?.to_vec(),
            expires_in_s: said.uint(5)?,
        })
    }
}

impl Envelope {
    /// Reads what is around a record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let said = Said::read("envelope", bytes, ["version", "session_id", "sequence", "ciphertext"])?;
        said.version(0)?;
        let session = SessionId(said.fixed(1)?);
        Ok(Self { session, sequence: u64::from_be_bytes(said.fixed(2)?), record: said.range(3)? })
    }

    /// Reads what the first bytes of an envelope say of its sender; none where they do not say it yet. Nothing is
    /// promised of the rest, which [`Envelope::from_bytes`] reads.
    pub fn beginning(bytes: &[u8]) -> Result<Option<Begun>, Error> {
        let malformed = Error::Malformed("envelope");
        let (mut session, mut sequence) = (None, None);
        for (key, value) in cbor::first_entries(bytes)? {
            let Value::Bytes(value) = value else { continue };
            match key {
                Value::Text("session_id") => session = Some(&bytes[value]),
                Value::Text("sequence") => sequence = Some(&bytes[value]),
                _ => {}
            }
        }
        let Some(session) = session else { return Ok(None) };
        let session = SessionId(session.try_into().map_err(|_| malformed)?);
        let sequence = sequence.map(|it| it.try_into().map(u64::from_be_bytes).map_err(|_| malformed));
        Ok(Some(Begun { session, sequence: sequence.transpose()? }))
    }

    /// Everything up to a record of `length` bytes, which is to be appended.
    pub(super) fn head(session: SessionId, sequence: u64, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 96);
        let mut to = Writer::new(&mut bytes);
        to.map(4).text("version").uint(VERSION).text("session_id").bytes(&session.0);
        to.text("sequence").bytes(&sequence.to_be_bytes()).text("ciphertext").bytes_of(length);
        bytes
    }
}

impl Request {
    /// The bytes of a request; fields must not have a name twice.
    pub fn write(method: &str, path: &str, fields: &Fields, body: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes);
        to.map(4).text("method").text(method).text("path").text(path);
        to.text("headers").map(fields.len() as u64);
        for (name, value) in fields {
            to.text(name).text(&widened(value));
        }
        to.text("body");
        match body {
            Some(body) => to.bytes(body),
            None => to.null(),
        };
        bytes
    }

    /// Reads what [`Request::write`] writes, and refuses what means different things to different readers.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "request";
        let said = Said::read(WHAT, bytes, ["method", "path", "headers", "body"])?;
        let mut head = RequestHead {
            method: said.text(0)?.to_owned(),
            scheme: "https".to_owned(),
            authority: "localhost".to_owned(),
            path: said.text(1)?.to_owned(),
            fields: Fields::new(),
        };
        let Value::Map(entries) = &said.values[2] else { return Err(Error::Malformed(WHAT)) };
        for entry in entries {
            let (Value::Text(name), Value::Text(value)) = entry else { return Err(Error::Malformed(WHAT)) };
            let name = name.to_ascii_lowercase();
            // A map has a name once, in whatever case.
            if head.fields.iter().any(|(other, _)| *other == name) {
                return Err(Error::Malformed(WHAT));
            }
            head.fields.push((name, narrowed(value).ok_or(Error::Malformed(WHAT))?));
        }
        if let Some(at) = head.fields.iter().position(|(name, _)| name == "host") {
            let (_, value) = head.fields.remove(at);
            head.authority = String::from_utf8(value).map_err(|_| Error::Malformed(WHAT))?;
        }
        head.check().map_err(|_| Error::Malformed(WHAT))?;
        let body = if said.values[3] == Value::Null { None } else { Some(said.range(3)?) };
        let length = body.as_ref().map_or(0, ExactSizeIterator::len).to_string();
        let lies =
            |(name, value): &(String, Vec<u8>)| name == "content-length" && *value != length.as_bytes();
        if head.fields.iter().any(lies) { Err(Error::Malformed(WHAT)) } else { Ok(Self { head, body }) }
    }
}

impl Response {
    /// The bytes of a response.
    pub fn write(status: u16, fields: &Fields, body: &[u8]) -> Vec<u8> {
        let mut bytes = Self::head(status, fields, body.len());
        bytes.extend_from_slice(body);
        bytes
    }

    /// Everything up to a body of so many bytes, which is to be appended.
    pub(super) fn head(status: u16, fields: &Fields, body: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut to = Writer::new(&mut bytes);
        to.map(3).text("status").uint(status.into()).text("headers").array(fields.len() as u64);
        for (name, value) in fields {
            to.array(2).text(name).text(&widened(value));
        }
        to.text("body").bytes_of(body);
        bytes
    }

    /// The bytes of an error.
    pub fn write_error(code: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).map(1).text("error").text(code);
        bytes
    }

    /// Reads either.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        const WHAT: &str = "response";
        if let Ok(said) = Said::read(WHAT, bytes, ["error"]) {
            return Ok(Self::Error(said.text(0)?.to_owned()));
        }
        let said = Said::read(WHAT, bytes, ["status", "headers", "body"])?;
        let status = u16::try_from(said.uint(0)?).ok().filter(|status| (200..600).contains(status));
        let Value::Array(lines) = &said.values[1] else { return Err(Error::Malformed(WHAT)) };
        let mut fields = Fields::new();
        for line in lines {
            let Value::Array(line) = line else { return Err(Error::Malformed(WHAT)) };
            let [Value::Text(name), Value::Text(value)] = &line[..] else {
                return Err(Error::Malformed(WHAT));
            };
            fields.push(((*name).to_owned(), narrowed(value).ok_or(Error::Malformed(WHAT))?));
        }
        Ok(Self::App { status: status.ok_or(Error::Malformed(WHAT))?, fields, body: said.range(2)? })
    }
}

/// Values of fields are bytes; as text each byte is the character of its number, as in the Fetch standard.
fn widened(value: &[u8]) -> String {
    value.iter().map(|byte| char::from(*byte)).collect()
}

fn narrowed(value: &str) -> Option<Vec<u8>> {
    value.chars().map(|c| u8::try_from(c).ok()).collect()
}

/// The values of a map with exactly these keys.
struct Said<'a, const N: usize> {
    what: &'static str,
    bytes: &'a [u8],
    values: [Value<'a>; N],
}

impl<'a, const N: usize> Said<'a, N> {
    fn read(what: &'static str, bytes: &'a [u8], names: [&str; N]) -> Result<Self, Error> {
        let malformed = Error::Malformed(what);
        let Value::Map(mut entries) = cbor::read(bytes)? else { return Err(malformed) };
        if entries.len() != N {
            return Err(malformed);
        }
        let mut values = [const { Value::Null }; N];
        for (value, name) in values.iter_mut().zip(names) {
            let at = entries.iter().position(|(key, _)| *key == Value::Text(name)).ok_or(malformed)?;
            *value = entries.swap_remove(at).1;
        }
        Ok(Self { what, bytes, values })
    }

    fn malformed(&self) -> Error {
        Error::Malformed(self.what)
    }

    fn version(&self, at: usize) -> Result<(), Error> {
        if self.uint(at)? == VERSION { Ok(()) } else { Err(self.malformed()) }
    }

    fn suite(&self, at: usize) -> Result<Suite, Error> {
        suite_named(self.text(at)?).ok_or(self.malformed())
    }

    fn uint(&self, at: usize) -> Result<u64, Error> {
        if let Value::Uint(value) = self.values[at] { Ok(value) } else { Err(self.malformed()) }
    }

    fn text(&self, at: usize) -> Result<&'a str, Error> {
        if let Value::Text(text) = self.values[at] { Ok(text) } else { Err(self.malformed()) }
    }

    fn range(&self, at: usize) -> Result<Range<usize>, Error> {
        if let Value::Bytes(range) = &self.values[at] { Ok(range.clone()) } else { Err(self.malformed()) }
    }

    fn bytes(&self, at: usize) -> Result<&'a [u8], Error> {
        Ok(&self.bytes[self.range(at)?])
    }

    fn fixed<const LENGTH: usize>(&self, at: usize) -> Result<[u8; LENGTH], Error> {
        self.bytes(at)?.try_into().map_err(|_| self.malformed())
    }
}
