//! A session's keys, and the exchanges that run under it.

use crate::error::{ExchangeError, HandshakeError, RecordError};
use crate::handshake::VERSION;
use crate::kdf::{Secret, extract, hkdf};
use crate::record::{Block, Opener, Record, Sealer};
use crate::suite::Suite;
use crate::window::{WIDTH, Window};
use std::ops::RangeInclusive;

/// Names a session on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

/// What one session allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest content of a record, in bytes, [`Limits::MAX_CHUNK`].
    pub max_chunk: u32,
    /// The most exchanges at a time.
    pub concurrency: u32,
    /// How far behind the newest exchange one may begin.
    pub window: u32,
}

impl Limits {
    /// What `max_chunk` may be.
    pub const MAX_CHUNK: RangeInclusive<u64> = 16_384..=65_536;
    /// What a server grants where nothing else is configured.
    pub const DEFAULT: Self = Self { max_chunk: 65_536, concurrency: 256, window: 4096 };

    pub(crate) fn check(
        what: &'static str,
        value: u64,
        allowed: RangeInclusive<u64>,
    ) -> Result<(), HandshakeError> {
        if allowed.contains(&value) {
            Ok(())
        } else {
            Err(HandshakeError::Limit { what, value, least: *allowed.start(), most: *allowed.end() })
        }
    }

    /// What a server says, checked by the client that offered `offered` bytes.
    pub(crate) fn checked(self, offered: u32) -> Result<(), HandshakeError> {
        Self::check("max_chunk", self.max_chunk.into(), *Self::MAX_CHUNK.start()..=offered.into())?;
        Self::check("concurrency", self.concurrency.into(), 1..=65_536)?;
        Self::check("window", self.window.into(), WIDTH..=WIDTH)
    }
}

/// What follows from the master secret.
pub(crate) struct Schedule {
    th: [u8; 32],
    /// Extracted already, as is the server's: each exchange expands both.
    client: Secret,
    server: Secret,
    confirm: Secret,
    exporter: Secret,
}

impl Schedule {
    /// `K(l)` for every label `l`.
    pub(crate) fn new(th: [u8; 32], master: &Secret) -> Self {
        let key = |label: &[u8]| hkdf::<32>(&th, &master[..], &[b"steve3 ", label]);
        let extracted = |label| extract(&th, &[&key(label)[..]]);
        Self {
            client: extracted(b"c2s"),
            server: extracted(b"s2c"),
            confirm: key(b"confirm"),
            exporter: key(b"exporter"),
            th,
        }
    }

    pub(crate) fn confirmation(&self) -> &[u8; 32] {
        &self.confirm
    }
}

/// Bytes in front of a request: `1 || session_id || x`.
pub const EXCHANGE_HEADER: usize = 25;

/// What both sides know of a session.
pub struct Session {
    id: SessionId,
    suite: Suite,
    schedule: Schedule,
    limits: Limits,
    lifetime_s: u32,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        suite: Suite,
        schedule: Schedule,
        limits: Limits,
        lifetime_s: u32,
    ) -> Self {
        Self { id, suite, schedule, limits, lifetime_s }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// What the server allows.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// For how many seconds after the handshake exchanges may begin.
    pub fn lifetime_s(&self) -> u32 {
        self.lifetime_s
    }

    /// The digest of the handshake: names this session in receipts.
    pub fn transcript_hash(&self) -> [u8; 32] {
        self.schedule.th
    }

    /// A secret of this session for another protocol's use.
    pub fn exporter(&self, label: &[u8], context: &[u8]) -> Secret {
        hkdf(&self.schedule.th, &self.schedule.exporter[..], &[label, b"\0", context])
    }

    /// The keys of both directions of an exchange: from the client, and from the server.
    fn blocks(&self, x: u64) -> [Block; 2] {
        [&self.schedule.client, &self.schedule.server]
            .map(|direction| Block::new(self.schedule.th, direction, &[b"steve3 x", &x.to_be_bytes()]))
    }
}

/// A session of a client whose server has confirmed that it holds the attested key.
pub struct ClientSession {
    session: Session,
    next: u64,
}

impl ClientSession {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, next: 1 }
    }

    /// What both sides know of it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Begins an exchange: its header, what seals the request, what opens the response.
    ///
    /// None after 2⁶⁴ − 1 exchanges.
    pub fn exchange(&mut self) -> Option<(Vec<u8>, Sealer, Opener)> {
        let x = self.next;
        self.next = x.checked_add(1)?;
        let header = [&[VERSION][..], &self.session.id.0, &x.to_be_bytes()].concat();
        let [request, response] = self.session.blocks(x);
        let max_chunk = self.session.limits.max_chunk;
        Some((header, Sealer::new(request, max_chunk), Opener::new(response, max_chunk)))
    }
}

/// A session of a server.
pub struct ServerSession {
    session: Session,
    window: Window,
}

impl ServerSession {
    pub(crate) fn new(session: Session) -> Self {
        Self { session, window: Window::new() }
    }

    /// What both sides know of it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session that an exchange's header names.
    pub fn named_by(header: &[u8; EXCHANGE_HEADER]) -> Result<SessionId, ExchangeError> {
        let (&[version], rest) = header.split_first_chunk::<1>().ok_or(ExchangeError::Malformed)?;
        if version != VERSION {
            return Err(ExchangeError::Malformed);
        }
        let (id, _) = rest.split_first_chunk::<16>().ok_or(ExchangeError::Malformed)?;
        Ok(SessionId(*id))
    }

    /// Reads an exchange's header. Nothing has begun: the first chunk must authenticate.
    pub fn exchange(&self, header: &[u8; EXCHANGE_HEADER]) -> Result<Pending, ExchangeError> {
        if Self::named_by(header)? != self.session.id {
            return Err(ExchangeError::SessionUnknown);
        }
        let x = u64::from_be_bytes(*header.last_chunk().expect("a header has 25 bytes"));
        let [request, response] = self.session.blocks(x);
        let max_chunk = self.session.limits.max_chunk;
        Ok(Pending { x, opener: Opener::new(request, max_chunk), sealer: Sealer::new(response, max_chunk) })
    }
}

/// An exchange whose first chunk has not authenticated yet: nobody may act on it.
pub struct Pending {
    x: u64,
    opener: Opener,
    sealer: Sealer,
}

/// An exchange that has begun, with the first record of its request.
pub struct Begun {
    /// The first record.
    pub first: Record,
    /// Opens the rest of the request.
    pub opener: Opener,
    /// Seals the response.
    pub sealer: Sealer,
}

/// What came of the bytes so far.
pub enum Beginning {
    /// The first chunk is not complete.
    Pending(Pending),
    /// It is, it authenticates, and this exchange's number is new.
    Begun(Begun),
}

impl Pending {
    /// Takes bytes of the request. `end` says that none follow.
    ///
    /// The number is taken from the window only by a chunk that authenticates, so nobody else can use
    /// numbers up; and it is taken before this returns, so no request begins twice.
    pub fn feed(
        mut self,
        session: &mut ServerSession,
        bytes: &[u8],
        end: bool,
    ) -> Result<Beginning, ExchangeError> {
        self.opener.feed(bytes)?;
        let mut first = self.opener.next_record()?;
        if first.is_none() && end {
            first = Some(self.opener.end()?.ok_or(RecordError::Truncated)?);
        }
        match first {
            None => Ok(Beginning::Pending(self)),
            Some(first) => {
                session.window.begin(self.x)?;
                Ok(Beginning::Begun(Begun { first, opener: self.opener, sealer: self.sealer }))
            }
        }
    }
}
