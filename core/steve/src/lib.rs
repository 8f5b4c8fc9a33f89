//! STEVE, version 3: requests that only an attested enclave can read, as state machines without I/O.
//!
//! Nothing here reads a clock, the network or random numbers: randomness, keys and bytes are
//! arguments, so every session can be replayed. The protocol and its reasons: `specs/steve.md`.
//!
//! ```text
//! evidence ──verified elsewhere──▶ AttestedKey ─▶ ClientHandshake ──hello──▶ EpochKey
//!                                        ClientSession ◀──server hello──  ServerSession
//!                              exchange(): Sealer, Opener ◀──records──▶ exchange(): Pending → Begun
//! ```

mod bundle;
mod cbor;
mod config;
mod error;
mod handshake;
mod hpke;
pub mod http;
mod kdf;
mod kem;
mod record;
mod session;
mod suite;
pub mod v2;
mod varint;
pub mod websocket;
mod window;

pub use bundle::{Bundle, MAX_BUNDLE};
pub use config::{
    EpochClaims, Flags, KeyConfig, KeyConfigError, MAX_KEY_CONFIGS, decode_key_configs, encode_key_configs,
    key_configs_hash,
};
pub use error::{ExchangeError, HandshakeError, RecordError};
pub use handshake::{
    AttestedKey, ClientHandshake, ClientRandom, EpochKey, Grant, MAX_HANDSHAKE, ServerRandom, context_hash,
};
pub use kem::InvalidKey;
pub use record::{Kind, MAX_STREAM_CHUNK, Opener, Record, SealedCode, SealedError, Sealer};
pub use session::{
    Beginning, Begun, ClientSession, EXCHANGE_HEADER, Limits, Pending, ServerSession, Session, SessionId,
};
pub use suite::Suite;
