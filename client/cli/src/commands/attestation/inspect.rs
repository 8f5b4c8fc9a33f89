//! `caution attestation inspect`: what a document says, with nothing verified.

use super::read_document;
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

/// The payload's fields; byte strings in hex, certificates as SHA-256 of their DER.
pub(crate) fn payload_json(evidence: &Evidence<Unverified>) -> serde_json::Value {
    let fields = evidence.unverified_fields();
    let hex = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|b| data_encoding::HEXLOWER.encode(b));
    let pcrs: serde_json::Map<String, serde_json::Value> =
        fields.pcrs.iter().map(|(index, pcr)| (index.get().to_string(), pcr.to_string().into())).collect();
    serde_json::json!({
        "module_id": fields.module_id,
        "digest": fields.digest,
        "timestamp": fields.timestamp.to_string(),
        "timestamp_ms": fields.timestamp.0,
        "pcrs": pcrs,
        "user_data": hex(&fields.user_data),
        "public_key": hex(&fields.public_key),
        "nonce": hex(&fields.nonce),
    })
}
