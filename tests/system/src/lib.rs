//! Whole-system tests on real QEMU, git and engines: what their cases share.
//!
//! The program under test is the release build that `CAUTION_BIN` names (`make test` sets it).

pub mod command;
pub mod docker;
pub mod git_server;
pub mod http;
pub mod nitro_machine;
pub mod repository;
