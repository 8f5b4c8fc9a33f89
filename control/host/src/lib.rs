//! Host agent: boots an EIF under QEMU, bridges vsock, publishes ports, keeps state.
