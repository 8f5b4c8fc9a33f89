//! What may leave an enclave and come back: packets, frames and names, judged by the boot plan's rules.
//!
//! ```text
//! app ──packet──▶ Filter::outbound ──▶ frame::wrap ──▶ parent
//! app ◀──packet── Filter::inbound ◀── frame::ipv4 ◀── frame::split ◀── parent
//! app ──query──▶ dns::Query ──▶ parent's resolver ──▶ Query::answer_from ──▶ app
//! ```
//! All of it are functions of bytes, rules and a clock that is an argument. Whatever is not understood
//! is refused. The text is `specs/egress.md`.

pub mod dns;
mod filter;
pub mod frame;
mod packet;

pub use filter::{Filter, MAX_FLOWS, prohibited};
pub use packet::Refusal;
