//! PCRs, measurements, digests and nonces: the values everything else compares.
