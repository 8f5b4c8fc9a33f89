//! Nitro attestation documents: evidence to policy to verdict.
