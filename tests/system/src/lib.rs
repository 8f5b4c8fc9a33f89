//! Whole-system tests on real QEMU, git and engines.
