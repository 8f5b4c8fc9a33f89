//! What an enclave and its parent say to each other: ports, boot plan, control events, NSM messages.
//!
//! | module | who speaks | form |
//! |---|---|---|
//! | [`ports`] | – | vsock and TCP port numbers |
//! | [`boot_plan`] | builder → enclave, measured into PCR2 | canonical JSON |
//! | [`cmdline`] | builder → enclave, measured into PCR1 | text |
//! | [`seal`] | builder → enclave, measured into PCR2 | canonical JSON |
//! | [`manifest`] | builder → host → enclave → verifier, *not* measured, bound by `user_data` | canonical JSON |
//! | [`control`] | enclave → host | one JSON object a line |
//! | [`egress`] | builder → enclave, in the boot plan; enclave ↔ host | rules; addresses of the link |
//! | [`e2e`] | builder → enclave, in the boot plan | what encrypts in front of the app |
//! | [`network`] | – | IPv4 networks of the rules |
//! | [`nsm`] | enclave → NSM device or emulator | CBOR |
//! | [`evidence`] | verifier ↔ enclave | JSON over HTTP, and the CBOR inside `user_data` |
//! | [`health`] | enclave → whoever asks | JSON over HTTP |

pub mod boot_plan;
pub mod cmdline;
pub mod control;
pub mod e2e;
pub mod egress;
pub mod evidence;
pub mod health;
pub mod manifest;
pub mod network;
pub mod nsm;
pub mod ports;
pub mod seal;
