//! Enclave image files: parse, write, CRC, PCRs, streaming.
