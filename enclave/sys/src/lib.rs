//! System calls of EnclaveOS: mounts, vsock, NSM, loopback. The only unsafe code.
