//! A client of applications in enclaves: it verifies first, then encrypts every request into the enclave.
//!
//! ```no_run
//! use caution_sdk::{Client, Policy};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let policy = Policy::verified(&std::fs::read_to_string(".caution/trusted_hashes.json")?)?;
//!     let client = Client::connect("https://app.example.com", policy).await?;
//!     let mut response = client.post("/notes").body("buy bread").send().await?;
//!     println!("{} {}", response.status(), response.text(1 << 20).await?);
//!     Ok(())
//! }
//! ```
//!
//! Whoever runs the host sees sizes and times, and can refuse. It cannot read or change anything, and cannot have anything act
//! twice. There is no mode that trusts everybody: see [`Policy`]. Nothing is ever sent again by itself; [`Error::may_have_run`]
//! says when that would be safe. The protocol: `specs/steve.md`.

/// The programs of this page compile as they stand.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/encrypting-in-rust.md")]
mod page {}

mod address;
mod body;
mod client;
mod clock;
mod error;
mod evidence;
mod names;
mod policy;
mod reader;
mod receipt;
mod release;
mod request;
mod response;
mod session;
mod socket;
mod tofu;
mod transport;

pub use body::Body;
pub use caution_attest::{Blame, RootKind, Roots, UnixMillis, VerifyError};
pub use caution_measure::{ImagePcrs, Measurements, Pcr, PcrIndex};
pub use caution_steve::{HandshakeError, SealedCode, SealedError, Suite};
pub use client::{Client, ClientBuilder};
pub use clock::Clock;
pub use error::{BoxError, Error, RequestError, ResponseError};
pub use evidence::EvidenceError;
pub use http;
pub use policy::{Policy, PolicyError, Trust};
pub use receipt::{ExchangeReceipt, Receipt};
pub use release::{ReleaseError, ReleaseKeys, SignedRelease};
pub use request::RequestBuilder;
pub use response::{Response, ResponseBody};
pub use socket::{Close, Message, WebSocket, WebSocketBuilder, WebSocketReceiver, WebSocketSender};
pub use tofu::{FileStore, Outcome, Record, RecordKey, StoreError, TrustStore};
pub use transport::{Proxy, TransportError};
