//! What goes over the wire, one file for each noun.

pub(crate) mod account;
pub(crate) mod app;
pub(crate) mod audit;
pub(crate) mod console;
pub(crate) mod device;
pub(crate) mod event;
pub(crate) mod job;
pub(crate) mod local;
pub(crate) mod member;
pub(crate) mod page;
pub(crate) mod passkey;
pub(crate) mod release;
pub(crate) mod select;
pub(crate) mod session;
pub(crate) mod status;
