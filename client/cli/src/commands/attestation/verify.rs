//! `caution attestation verify`: is this document genuine, at a given time?

use super::{hex, pcrs_json, read_document};
use crate::Context;
use crate::commands::unix_millis;
use crate::commands::verify::read_pcrs;
use crate::error::{CliError, Exit};
use crate::terminal::Look;
use crate::verify::target::roots_from_file;
use crate::verify::verdict::Root;
use caution_appspec::printable;
use caution_attest::{Archived, Blame, Evidence, Expected, RootKind, Roots, Verified, VerifyError};
use caution_measure::ImagePcrs;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Arguments of `caution attestation verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The document: raw bytes, hex or base64; `-` reads standard input.
    file: PathBuf,

    /// The time at which its certificates must be valid, RFC 3339; now when absent.
    #[arg(long, value_name = "RFC3339")]
    at: Option<jiff::Timestamp>,

    /// The nonce it must answer, in hex.
    #[arg(long, value_name = "HEX", value_parser = parse_nonce)]
    nonce: Option<NonceBytes>,

    /// The PCR values it must show.
    #[arg(long, value_name = "FILE")]
    pcrs: Option<PathBuf>,

    /// The root certificate to believe, PEM or DER; the AWS Nitro root when absent.
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// A nonce of any length: other programs choose other lengths than Caution's 32 bytes.
#[derive(Debug, Clone)]
struct NonceBytes(Vec<u8>);

fn parse_nonce(text: &str) -> Result<NonceBytes, String> {
    match data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()) {
        Ok(bytes) if !bytes.is_empty() => Ok(NonceBytes(bytes)),
        _ => Err("not an even number of hex digits".into()),
    }
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let expected = args.pcrs.as_deref().map(read_pcrs).transpose()?;
    let roots = match &args.root {
        Some(path) => roots_from_file(path)?,
        None => Roots::aws(),
    };
    let document = read_document(&args.file)?;
    let archived = Archived {
        at: Some(unix_millis(args.at.unwrap_or_else(jiff::Timestamp::now))),
        nonce: args.nonce.as_ref().map(|nonce| nonce.0.as_slice()),
    };
    let image = Expected { profiles: expected.as_slice(), ..Expected::default() };
    let evidence = Evidence::parse(&document).map_err(|e| refusal(&e.into(), None))?;
    let signed_at = evidence.unverified_fields().timestamp.to_string();
    let verified =
        evidence.verify_archived(&roots, &archived, &image).map_err(|e| refusal(&e, Some(&signed_at)))?;
    if context.terminal.json {
        context.terminal.json_result(&to_json(args, &verified, expected.as_ref()));
    } else {
        let word = context.terminal.paint(Look::Good, "AUTHENTIC");
        context.terminal.result(&to_text(args, &verified, expected.as_ref(), &word));
    }
    Ok(())
}

/// A refusal with its exit code, and the way out where there is one.
fn refusal(error: &VerifyError, signed_at: Option<&str>) -> CliError {
    let exit = match error.kind() {
        Blame::Debug => Exit::DebugMode,
        Blame::Mismatch => Exit::MeasurementMismatch,
        Blame::Misuse => Exit::Usage,
        _ => Exit::EvidenceInvalid,
    };
    let mut shown = CliError::from_error(exit, error);
    // Another nonce is no matter of time.
    if matches!(error, VerifyError::Expired { .. } | VerifyError::NotYetValid { .. })
        && let Some(time) = signed_at
    {
        shown = shown.hint(format!(
            "the document says it was made at {time}; was it valid then?  caution attestation verify --at {time} …"
        ));
    }
    shown
}

fn root_words(root: RootKind) -> &'static str {
    match root {
        RootKind::Aws => "AWS Nitro hardware (chain to Root-G1)",
        RootKind::Dev => "a development root, not hardware",
        RootKind::Other => "the root you named",
    }
}

fn to_text(args: &Args, verified: &Verified, expected: Option<&ImagePcrs>, word: &str) -> String {
    let mut text = format!("{word}  signed by {}\n\n", root_words(verified.root()));
    let _ = writeln!(text, "  made at      {}", verified.timestamp());
    let _ = writeln!(text, "  leaf until   {}", verified.leaf_valid_until());
    let _ = writeln!(text, "  module       {}", printable(verified.module_id()));
    let nonce = if args.nonce.is_some() { "answers yours" } else { "not checked (--nonce HEX)" };
    let _ = writeln!(text, "  nonce        {nonce}");
    let identity = match expected.map(|pcrs| pcrs.pcr8) {
        Some(None) => "PCR0–2 are the ones in the given file",
        Some(Some(_)) => "PCR0–2 and PCR8 are the ones in the given file",
        None => "not checked: genuine, but nothing says which program this is (--pcrs FILE)",
    };
    let _ = writeln!(text, "  identity     {identity}\n");
    for (index, pcr) in verified.pcrs().filter(|(_, pcr)| !pcr.is_zero()) {
        let _ = writeln!(text, "  {:<6} {pcr}", index.to_string());
    }
    text
}

fn to_json(args: &Args, verified: &Verified, expected: Option<&ImagePcrs>) -> serde_json::Value {
    serde_json::json!({
        "authentic": true,
        "root": Root::from(verified.root()),
        "nonce_checked": args.nonce.is_some(),
        "pcrs_checked": expected.is_some(),
        "module_id": verified.module_id(),
        "timestamp": verified.timestamp().to_string(),
        "timestamp_ms": verified.timestamp().0,
        "leaf_valid_until": verified.leaf_valid_until().to_string(),
        "pcrs": pcrs_json(verified.pcrs()),
        "user_data": hex(verified.user_data()),
        "public_key": hex(verified.public_key()),
        "nonce": hex(verified.nonce()),
    })
}
