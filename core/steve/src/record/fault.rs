//! Errors that only the enclave can have said.

use crate::cbor::{self, Message, NotThisShape, Writer};
use crate::error::RecordError;
use minicbor::Decoder;

/// What a server says inside the tunnel when it has no response. A client may believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedError {
    /// What happened.
    pub code: SealedCode,
    /// Whether the app may have acted on the request.
    pub executed: bool,
    /// After how many seconds it is worth another try.
    pub retry_after_s: Option<u32>,
}

/// What happened to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SealedCode {
    /// The app does not take connections.
    UpstreamUnavailable,
    /// It did not answer in time.
    UpstreamTimeout,
    /// Its response was cut.
    UpstreamTruncated,
    /// Too many exchanges of this session at a time.
    Busy,
    /// The request's head is no request.
    HeadInvalid,
    /// The request is longer than the deployment takes.
    TooLarge,
    /// The exchange was given up.
    Reset,
}

impl SealedCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::UpstreamUnavailable,
        Self::UpstreamTimeout,
        Self::UpstreamTruncated,
        Self::Busy,
        Self::HeadInvalid,
        Self::TooLarge,
        Self::Reset,
    ];

    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamTruncated => "upstream_truncated",
            Self::Busy => "busy",
            Self::HeadInvalid => "head_invalid",
            Self::TooLarge => "too_large",
            Self::Reset => "reset",
        }
    }
}

impl SealedError {
    /// The content of a record of kind [`Kind::Error`].
    pub fn to_bytes(&self) -> Vec<u8> {
        Message::to_bytes(self)
    }

    /// Reads such content.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        Message::from_bytes(bytes).map_err(|_| RecordError::MalformedError)
    }
}

impl Message for SealedError {
    fn write(&self, to: &mut Writer<'_>) {
        to.map(if self.retry_after_s.is_some() { 3 } else { 2 });
        to.uint(1).text(self.code.name()).uint(2).bool(self.executed);
        if let Some(seconds) = self.retry_after_s {
            to.uint(3).uint(seconds.into());
        }
    }

    fn read(from: &mut Decoder<'_>) -> Result<Self, NotThisShape> {
        let entries = from.map()?;
        cbor::key(from, 1)?;
        let name = from.str()?;
        let code = SealedCode::ALL.into_iter().find(|code| code.name() == name).ok_or(NotThisShape)?;
        cbor::key(from, 2)?;
        let executed = from.bool()?;
        let retry_after_s = match entries {
            Some(2) => None,
            Some(3) => {
                cbor::key(from, 3)?;
                Some(from.u32()?)
            }
            _ => return Err(NotThisShape),
        };
        Ok(Self { code, executed, retry_after_s })
    }
}
