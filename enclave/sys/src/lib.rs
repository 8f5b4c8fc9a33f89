//! System calls of EnclaveOS: mounts, vsock, NSM, loopback. The only unsafe code.
//!
//! Everything here is mechanism: one function a system call or a short fixed row of them. What to
//! do and in which order is decided in `enclave/os`.
#![allow(unsafe_code)]

pub mod app_root;
pub mod children;
pub mod clock;
mod confine;
pub mod count;
pub mod entropy;
pub mod helper;
pub mod launch;
pub mod mount;
pub mod network;
pub mod nsm;
pub mod poll;
pub mod power;
pub mod process;
mod seccomp;
pub mod vsock;
