//! `caution attestation inspect`: what a document says, with nothing verified.

use super::{hex, pcrs_json, read_document};
use crate::Context;
use crate::error::{CliError, Exit};
use caution_attest::{Evidence, Unverified};
use std::path::PathBuf;

/// Arguments of `caution attestation inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The document: raw bytes, hex or base64; `-` reads standard input.
    file: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let document = read_document(&args.file)?;
    let evidence = Evidence::parse(&document).map_err(|e| CliError::from_error(Exit::EvidenceInvalid, &e))?;
    context.terminal.json_result(&serde_json::json!({
        "verification": "not_performed",
        "attestation_payload": payload_json(&evidence),
    }));
    context
        .terminal
        .note("UNVERIFIED: anybody can write such a document. Check it: caution attestation verify");
    Ok(())
}

/// The payload's fields without its certificates; byte strings in hex.
pub(crate) fn payload_json(evidence: &Evidence<Unverified>) -> serde_json::Value {
    let fields = evidence.unverified_fields();
    serde_json::json!({
        "module_id": fields.module_id,
        "digest": fields.digest,
        "timestamp": fields.timestamp.to_string(),
        "timestamp_ms": fields.timestamp.0,
        "pcrs": pcrs_json(fields.pcrs.iter().map(|(register, pcr)| (*register, pcr))),
        "user_data": hex(fields.user_data.as_deref()),
        "public_key": hex(fields.public_key.as_deref()),
        "nonce": hex(fields.nonce.as_deref()),
    })
}
