//! What an enclave and its parent say to each other: ports, boot plan, control events, NSM messages.
