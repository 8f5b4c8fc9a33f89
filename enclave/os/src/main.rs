//! EnclaveOS: PID 1, attestd, port forwarders, control port, in one static binary.

fn main() {}
