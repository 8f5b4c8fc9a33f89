//! AppSpec plus image configuration to boot plan and manifest; builder and verifier call the same function.
