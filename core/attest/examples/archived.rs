//! Was this document authentic when it was made, and which image is it about?
//!
//!     cargo run --example archived -- FILE
//!
//! Reads a Nitro attestation document (raw bytes) and checks it at its own time against the AWS root.

use caution_attest::{Archived, Evidence, Expected, Roots, VerifyError};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: archived FILE");
        return ExitCode::from(2);
    };
    let document = match std::fs::read(&path) {
        Ok(document) => document,
        Err(cause) => {
            eprintln!("{path} cannot be read: {cause}");
            return ExitCode::from(2);
        }
    };
    match report(&document) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        // The name is stable: specs/attestation.md lists them all.
        Err(refusal) => {
            eprintln!("refused ({}, {}): {refusal}", refusal.kind(), refusal.name());
            ExitCode::FAILURE
        }
    }
}

fn report(document: &[u8]) -> Result<String, VerifyError> {
    let evidence = Evidence::parse(document)?;
    let verified = evidence.verify_archived(&Roots::aws(), &Archived::default(), &Expected::default())?;
    Ok(format!(
        "{} was authentic at {}\nPCR0 {}",
        verified.module_id(),
        verified.checked().at(),
        verified.measurements().pcr0
    ))
}
