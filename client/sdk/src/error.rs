//! Everything that can go wrong, and whether the request may have run all the same.

use crate::evidence::EvidenceError;
use crate::policy::PolicyError;
use crate::transport::TransportError;
use caution_steve::http::MessageError;
use caution_steve::websocket::FrameError;
use caution_steve::{HandshakeError, RecordError, SealedError};

/// An error of anybody's.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no response, or no rest of one.
///
/// [`Error::may_have_run`] says whether the application may have acted on the request. Nothing here was retried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none that can be asked.
    #[error("`{url}` is no address of an application: {cause}.")]
    Address {
        /// The address, without what may be a secret in it.
        url: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// The request is none that can be sent.
    #[error("The request cannot be sent.")]
    Request(#[source] RequestError),
    /// The operating system has no random numbers.
    #[error("The operating system gives no random numbers.")]
    Random(#[source] getrandom::Error),
    /// No evidence could be fetched, or no session made, for want of a connection.
    #[error("{authority} cannot be reached.")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// Why.
        #[source]
        cause: TransportError,
    },
    /// The evidence does not hold. Nothing was sent.
    #[error("What {authority} shows as evidence is refused.")]
    Evidence {
        /// Host and port.
        authority: String,
        /// Why.
        #[source]
        cause: Box<EvidenceError>,
    },
    /// The evidence holds, and is not what the policy trusts. Nothing was sent.
    #[error("{authority} is not what is trusted here.")]
    Untrusted {
        /// Host and port.
        authority: String,
        /// Why.
        #[source]
        cause: Box<PolicyError>,
    },
    /// What answers does not hold the attested key, or says what no enclave says. Nothing was sent.
    #[error("{authority} made no session.")]
    Handshake {
        /// Host and port.
        authority: String,
        /// Why.
        #[source]
        cause: HandshakeError,
    },
    /// So many sessions were needed within a minute that somebody plays with us.
    #[error("{authority} needs a new session again and again: {limit} within a minute.")]
    TooManyHandshakes {
        /// Host and port.
        authority: String,
        /// How many are made.
        limit: usize,
    },
    /// There is no answer that the enclave sealed, so nobody knows what became of the request.
    #[error(
        "{authority} gave no answer from inside the enclave. The request may have run, or not: nothing here can tell."
    )]
    Ambiguous {
        /// Host and port.
        authority: String,
        /// What came instead.
        #[source]
        cause: TransportError,
    },
    /// The enclave itself says that it has no response.
    #[error("The enclave has no response: {}.", sealed_words(.0))]
    Sealed(SealedError),
    /// A response began, and broke off or makes no sense.
    #[error("The response broke off. What the application did with the request is not known.")]
    Broken(#[source] ResponseError),
    /// The application answered, and opened no WebSocket.
    #[error("The application opened no WebSocket: it answered HTTP {}.", .0.status())]
    NoWebSocket(Box<http::Response<bytes::Bytes>>),
    /// A WebSocket broke off or makes no sense.
    #[error("The WebSocket broke off. What the application did with what was sent is not known.")]
    Socket(#[source] ResponseError),
    /// A response, or a WebSocket's message, has more bytes than the caller takes.
    #[error("The response, or message, has more than {limit} bytes.")]
    TooLong {
        /// How many are taken.
        limit: usize,
    },
}

/// Why a request is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The method, the path, or a field.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A method, name or value that HTTP does not know.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// Every number was used up.
    #[error("this session's exchanges are used up")]
    Exhausted,
    /// After a close nothing is sent.
    #[error("the WebSocket is closed")]
    Closed,
    /// A close that may not be said.
    #[error(
        "a close has a code of 1000 to 4999 that RFC 6455 lets be sent, and a reason of at most 123 bytes"
    )]
    Close,
}

/// Why a response is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The stream was cut or changed on its way.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The message makes no sense.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// A field that HTTP does not know.
    #[error(transparent)]
    Http(http::Error),
    /// The connection broke.
    #[error("the connection broke")]
    Connection(#[source] BoxError),
    /// The enclave gave up.
    #[error("the enclave gave the exchange up")]
    Reset,
    /// A record that has no place in a response.
    #[error("a record of type {0:#04x} has no place in a response")]
    Kind(u8),
    /// What is no WebSocket frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Parts of messages in no order, or a close that may not be said.
    #[error("the parts of a message, or a close, make no sense")]
    Parts,
    /// Text that is none.
    #[error("a text message is no UTF-8")]
    Text,
    /// A subprotocol that nobody offered.
    #[error("the application chose a subprotocol that was not offered")]
    Protocol,
    /// Whoever sent a long message gave up waiting before its end.
    #[error("a message was begun here, and given up before its end")]
    Unfinished,
    /// A request where a response belongs.
    #[error("a part of a request came in place of a response's")]
    Part,
}

impl Error {
    /// Whether the application may have acted on the request. Where it may, whoever repeats a request that is not
    /// idempotent may have it act twice.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Address { .. }
            | Self::Request(_)
            | Self::Random(_)
            | Self::Unreachable { .. }
            | Self::Evidence { .. }
            | Self::Untrusted { .. }
            | Self::Handshake { .. }
            | Self::TooManyHandshakes { .. } => false,
            Self::Sealed(error) => error.executed,
            Self::Ambiguous { .. }
            | Self::Broken(_)
            | Self::NoWebSocket(_)
            | Self::Socket(_)
            | Self::TooLong { .. } => true,
        }
    }
}

fn sealed_words(error: &SealedError) -> String {
    let ran = if error.executed { "the application may have acted" } else { "the application did not act" };
    let again =
        error.retry_after_s.map_or_else(String::new, |s| format!("; it is worth another try in {s} s"));
    format!("{} ({ran}{again})", error.code.name())
}
