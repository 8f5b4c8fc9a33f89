//! The ingress with a real Caddy, and apps on Unix sockets.

#![expect(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

mod certificates;
mod limits;
mod protocols;
mod routes;
mod support;
