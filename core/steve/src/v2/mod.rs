//! Version 2, for clients that have it: a session is one attestation document and two round trips, a request
//! one sealed message and its response another. `specs/steve-v2.md` is its text.
//!
//! | phase | holds | next |
//! |---|---|---|
//! | [`Client`] | the client's ephemeral key | [`Client::finish`] → [`Unverified`] |
//! | [`Unverified`] | the session's keys, and what its document has to say | [`Unverified::verified`] → [`ClientSession`] |
//! | [`Offer`] | the session's keys, and what is to be attested | [`Offer::answer`] → [`ServerSession`] |
//! | [`ServerSession`] | keys, and which requests have begun | itself, once confirmed |

mod cbor;
mod client;
mod keys;
mod message;
mod server;

pub use cbor::{CborError, MAX_DEPTH, MAX_ITEMS};
pub use client::{Client, ClientRandom, ClientSession, Unverified};
pub use keys::Claims;
pub use message::{Begun, Body, Envelope, Request, Response, SessionRequest, SessionResponse};
pub use server::{Offer, Opened, ServerRandom, ServerSession};

use crate::kem::InvalidKey;
use crate::suite::Suite;

/// The longest session response, in bytes.
pub const MAX_SESSION: usize = 65_536;
/// The longest session request and the longest confirmation, in bytes.
pub const MAX_SMALL: usize = 4096;
/// The longest envelope of a request, and the longest content of a response, in bytes.
pub const MAX_MESSAGE: usize = 33_554_432;
/// The longest envelope of a response: content, head and what is around them, in bytes.
pub const MAX_RESPONSE: usize = 33_619_968;
/// How far behind the newest request one may begin; so many may be under way.
pub const WINDOW: u64 = 64;

/// Why a message of version 2 is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No CBOR as it has to be.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// CBOR that says something else.
    #[error("the {0} is malformed")]
    Malformed(&'static str),
    /// For another suite than the deployment's.
    #[error("the session is to be of another suite than the deployment's, {0}")]
    SuiteMismatch(&'static str),
    /// A key that no honest side makes.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// Another session's.
    #[error("the session is unknown")]
    SessionUnknown,
    /// Not sealed with this session's key for this place, or changed on its way.
    #[error("the {0} does not authenticate")]
    NotAuthentic(&'static str),
    /// The client has not shown that it has the session's keys.
    #[error("the session is not confirmed")]
    NotConfirmed,
    /// It was confirmed, or this request began, before.
    #[error("message {0} of this session was taken before")]
    Replay(u64),
    /// A number so old that it cannot be told from a replay.
    #[error("message {0} is older than the {WINDOW} last")]
    TooOld(u64),
}

/// What a suite is called here.
pub const fn suite_name(suite: Suite) -> &'static str {
    match suite {
        Suite::X25519 => "X25519",
        Suite::XWing => "XWING-DRAFT10",
    }
}

fn suite_named(name: &str) -> Option<Suite> {
    Suite::ALL.into_iter().find(|suite| suite_name(*suite) == name)
}

/// In front of the transcript and of what each record authenticates.
const MAGIC: &[u8] = b"STEVE-E2P-V2\0";
/// What evidence calls the protocol.
const PROTOCOL: &str = "STEVE-E2P-V2";
const VERSION: u64 = 2;
