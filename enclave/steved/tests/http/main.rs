//! steved on loopback: real sockets, a real app, and clients that are `core/steve`.
#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

mod app;
mod client;
mod ends;
mod evidence;
mod exchanges;
mod places;
mod plain;
mod sessions;
mod socket;
mod socket_limits;
mod sockets;
mod support;
mod upstream;
mod v2;
mod v2_room;
