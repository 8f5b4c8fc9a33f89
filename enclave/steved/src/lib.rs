//! steved: STEVE over HTTP in front of an app, inside its enclave. `specs/steve.md` §9 is its text.
//!
//! ```text
//! connection ─▶ server ─▶ evidence, session ─▶ keys, sessions
//!                    ├──▶ x ─▶ exchange: records ─▶ request ─▶ upstream ─▶ app
//!                    ├──▶ ws ─▶ upgrade ─▶ tunnel: records ─▶ frames ─▶ upstream ─▶ app
//!                    ├──▶ e2p/v2 ─▶ v2: whole messages ─▶ upstream ─▶ app
//!                    └──▶ without encryption: refused, but for what a page begins with
//! ```
//!
//! Nothing here runs by itself: the work of an exchange is polled by the body of its response, so that it
//! ends with the client that wants it, and that of a WebSocket by its connection's task. Time of day, random
//! bytes and evidence come from [`Enclave`].

mod alarm;
mod begin;
mod body;
mod channel;
mod exchange;
mod hello;
mod inbound;
mod keys;
mod outbound;
mod outer;
mod places;
mod plain;
mod request;
mod seated;
mod server;
mod sessions;
mod socket;
mod tunnel;
mod turns;
mod upgrade;
mod upstream;
mod v2;

pub use keys::{Attested, Epoch, Identity};
pub use server::Steved;
pub use upstream::Protocol;

pub use caution_steve::v2::Claims as SessionClaims;

use caution_steve::Suite;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What steved needs of the enclave it runs in.
pub trait Enclave: Send + Sync + 'static {
    /// An attestation document that vouches for an epoch's keys, with a caller's nonce where there is one.
    /// May block. An error of [`io::ErrorKind::Other`] says that there is none this time: it is asked for again
    /// while the last one is good. After any other there is nobody to ask.
    fn attest(&self, epoch: &Epoch, nonce: Option<&[u8; 32]>) -> io::Result<Attested>;
    /// An attestation document whose `user_data` are these claims of a session of version 2, with its client's
    /// nonce. May block. Where there are none, version 2 is not served: its sessions do not begin.
    fn attest_session(&self, claims: &SessionClaims, nonce: &[u8; 32]) -> io::Result<Vec<u8>> {
        let _ = (claims, nonce);
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64;
    /// Fills a buffer with random bytes.
    fn random(&self, buffer: &mut [u8]);
}

/// What a deployment decides, and EnclaveOS measures.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The one suite.
    pub suite: Suite,
    /// Which running enclave this is; evidence names it, too.
    pub instance: [u8; 16],
    /// Where the app listens.
    pub app: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where EnclaveOS answers `/attestation` and health.
    pub platform: SocketAddr,
    /// Origins of pages that may ask, exactly as browsers write them.
    pub origins: Vec<String>,
    /// Requests that are not encrypted reach the app, too.
    pub plaintext_fallback: bool,
    /// Clients that have version 2 are served, too.
    pub steve_v2: bool,
    /// Limits of time and number.
    pub limits: Limits,
}

/// Limits of time and number.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a key is the newest; it is accepted for as long again.
    pub epoch: Duration,
    /// How old the document in the bundle may become.
    pub evidence: Duration,
    /// After how long evidence that was refused is asked for again.
    pub again: Duration,
    /// For how long after the end of the last evidence.
    pub without_evidence: Duration,
    /// How long exchanges of a session may begin.
    pub lifetime: Duration,
    /// After how long without one it ends.
    pub idle: Duration,
    /// How long the last used session must have been idle to give way to a new one.
    pub give_way: Duration,
    /// Sessions at a time.
    pub sessions: usize,
    /// Exchanges of a session at a time.
    pub concurrency: u32,
    /// Connections at a time.
    pub connections: usize,
    /// How long a peer may move nothing of a request that has begun, or take nothing of a response.
    pub stalled: Duration,
    /// How long a hello, a first record, a head or a connection to the app may take, each.
    pub patience: Duration,
    /// How long an exchange may last.
    pub exchange: Duration,
    /// How long a request of version 2 may take, with its response.
    pub request: Duration,
    /// Bytes of requests and responses of version 2 at a time, which are whole in memory.
    pub held: usize,
    /// How long a connection to the app waits for another request of its session: less than apps let it.
    pub upstream_idle: Duration,
    /// Connections to the app that wait at a time.
    pub upstream_kept: usize,
    /// After how long without a word a record without content is sent.
    pub silence: Duration,
}

impl Limits {
    /// Those of `specs/steve.md` §9.
    pub const DEFAULT: Self = Self {
        epoch: Duration::from_mins(10),
        evidence: Duration::from_mins(5),
        again: Duration::from_secs(10),
        without_evidence: Duration::from_mins(1),
        lifetime: Duration::from_mins(30),
        idle: Duration::from_mins(10),
        give_way: Duration::from_mins(1),
        sessions: 65_536,
        concurrency: 256,
        connections: 4096,
        stalled: Duration::from_mins(5),
        patience: Duration::from_secs(10),
        exchange: Duration::from_hours(1),
        request: Duration::from_secs(30),
        held: 128 * 1024 * 1024,
        upstream_idle: Duration::from_secs(1),
        upstream_kept: 64,
        silence: Duration::from_secs(15),
    };
}
