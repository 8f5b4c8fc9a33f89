//! The ports of an enclave on this machine: opened, handed from one supervisor to the next, and who is connected.

pub(crate) mod clients;
pub(crate) mod handover;
pub(crate) mod listeners;
pub(crate) mod publish;
