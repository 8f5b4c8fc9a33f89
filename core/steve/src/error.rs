//! Refusals. Each has a stable name, which both implementations and the vectors share.

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A message with another length than its suite's, or another first byte than 1.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// The hello names a key that this enclave does not have (any more).
    #[error("the hello names key {0}, which is not one of this enclave's")]
    KeyUnknown(u8),
    /// The hello names other algorithms than the deployment's.
    #[error("the hello is for another suite than the deployment's, {0}")]
    SuiteMismatch(&'static str),
    /// A public key or encapsulation no honest side makes.
    #[error(transparent)]
    Key(#[from] crate::kem::InvalidKey),
    /// Not sealed for this key, or changed on its way.
    #[error("the {0} does not authenticate")]
    NotAuthentic(&'static str),
    /// The server does not hold the attested key: it could not confirm.
    #[error("the server's confirmation is wrong: it does not hold the attested key")]
    Confirmation,
    /// Another instance answered than the attested one.
    #[error("another instance answered than the attested one")]
    Instance,
    /// A hello that was taken before.
    #[error("this hello was taken before")]
    Replayed,
    /// So many hellos were taken with this key that no more can be told from replays.
    #[error("the key has taken {0} hellos, its limit")]
    KeyExhausted(usize),
    /// The client speaks to another deployment.
    #[error("the hello was made for another authority or application")]
    Context,
    /// A limit of the other side that none may set.
    #[error("{what} is {value}, outside {least} to {most}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// What the other side says.
        value: u64,
        /// The least that is allowed.
        least: u64,
        /// The most.
        most: u64,
    },
}

/// Why a stream of records ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A length in more bytes than it needs, or in more than four.
    #[error("a chunk's length is not in its shortest form of at most four bytes")]
    Length,
    /// A chunk longer than agreed.
    #[error("a chunk has {length} bytes (at most {most})")]
    TooLong {
        /// Its length.
        length: usize,
        /// The longest that was agreed.
        most: usize,
    },
    /// Not sealed with this exchange's key at this place, or changed on its way.
    #[error("a chunk does not authenticate")]
    NotAuthentic,
    /// Authentic, but without a type or with one nobody knows.
    #[error("a chunk is of type {0:#04x}, which is none")]
    Type(u8),
    /// The stream ended before its final chunk.
    #[error("the stream ended before its final chunk: it was cut")]
    Truncated,
    /// An error record that is no error.
    #[error("a sealed error is malformed")]
    MalformedError,
    /// Chunks after the final one.
    #[error("the stream goes on after its end")]
    AfterEnd,
}

/// Why the server does not begin an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// An exchange's header has 25 bytes, the first of which is 1.
    #[error("the exchange's header is malformed")]
    Malformed,
    /// The header names another session, or one that has ended.
    #[error("the session is unknown")]
    SessionUnknown,
    /// An exchange with this number has begun before.
    #[error("exchange {0} has begun before")]
    Replay(u64),
    /// A number so old that it cannot be told from a replay.
    #[error("exchange {0} is older than the {width} last", width = crate::window::WIDTH)]
    TooOld(u64),
    /// The first chunk is wrong.
    #[error(transparent)]
    Record(#[from] RecordError),
}
