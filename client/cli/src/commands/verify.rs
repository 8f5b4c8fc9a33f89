//! `caution verify`: prove that a running application is what its source says.

use crate::Context;
use crate::commands::read_limited;
use crate::error::{CliError, Exit};
use crate::verify::target::{self, TrustRoot};
use crate::verify::{Request, fetch, verify};
use caution_attest::Evidence;
use caution_build::EngineName;
use caution_measure::{ImagePcrs, Measurements};
use std::path::{Path, PathBuf};

/// Arguments of `caution verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Ask this address; the enclave that this checkout runs locally when absent.
    #[arg(long, value_name = "URL")]
    attestation_url: Option<String>,

    /// The revision you expect; anything else the enclave claims is then a failure.
    #[arg(long, value_name = "REV", conflicts_with = "pcrs")]
    commit: Option<String>,

    /// Compare with these PCR values (`enclave.pcrs`, or JSON with pcr0, pcr1, pcr2) instead of rebuilding.
    #[arg(long, value_name = "FILE")]
    pcrs: Option<PathBuf>,

    /// Rebuild with this engine: docker, podman or buildah; the first that works when absent.
    #[arg(long, value_name = "NAME", conflicts_with = "pcrs")]
    engine: Option<EngineName>,

    /// Rebuild even where an earlier rebuild of the same inputs is kept.
    #[arg(long)]
    no_cache: bool,

    /// Whose root to believe: `aws` (default), `dev` (this machine's development root: proves no
    /// hardware), or a certificate file.
    #[arg(long, value_name = "aws|dev|FILE")]
    trust_root: Option<TrustRoot>,

    /// Print what the enclave sends, as JSON, without verifying anything.
    #[arg(long, conflicts_with_all = ["commit", "pcrs", "engine", "no_cache", "trust_root"])]
    inspect_attestation: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    if args.inspect_attestation {
        return inspect(context, args).map(|()| 0);
    }
    let pcrs = args.pcrs.as_deref().map(read_pcrs).transpose()?;
    let verdict = verify(
        context,
        &Request {
            url: args.attestation_url.clone(),
            trust: args.trust_root.clone(),
            commit: args.commit.clone(),
            pcrs,
            engine: args.engine,
            no_cache: args.no_cache,
            now: jiff::Timestamp::now(),
        },
    )?;
    verdict.print(context.terminal);
    Ok(verdict.exit_code)
}

/// Shows what the enclave sends; the output says that nothing was verified.
fn inspect(context: &Context, args: &Args) -> Result<(), CliError> {
    let target = target::resolve(context, args.attestation_url.as_deref(), None)?;
    let fetched = fetch::fetch(&target.url)?;
    let evidence =
        Evidence::parse(&fetched.document).map_err(|e| CliError::from_error(Exit::EvidenceInvalid, &e))?;
    let manifest: Option<serde_json::Value> =
        fetched.manifest.as_deref().and_then(|text| serde_json::from_str(text).ok());
    context.terminal.json_result(&serde_json::json!({
        "verification": "not_performed",
        "challenge_nonce": fetched.nonce,
        "attestation_payload": super::attestation::inspect::payload_json(&evidence),
        "response_metadata": { "manifest": manifest },
    }));
    Ok(())
}

/// Expected registers from a file; all-zero ones are refused, since every debug enclave has them.
pub(crate) fn read_pcrs(path: &Path) -> Result<ImagePcrs, CliError> {
    let bytes = read_limited(path, 64 * 1024)?;
    let wrong = |cause: String| CliError {
        exit: Exit::Usage,
        message: format!("{} holds no PCR values.", path.display()),
        causes: vec![cause],
        hint: Some("use eif-stage/output/enclave.pcrs, or JSON {\"pcr0\", \"pcr1\", \"pcr2\"}".into()),
    };
    let text = String::from_utf8(bytes).map_err(|e| wrong(e.to_string()))?;
    let pcrs = if text.trim_start().starts_with('{') {
        pcrs_from_json(&text).map_err(wrong)?
    } else {
        ImagePcrs::from_text(&text).map_err(|e| wrong(e.to_string()))?
    };
    match pcrs.iter().find(|(_, pcr)| pcr.is_zero()) {
        Some((index, _)) => Err(wrong(format!("{index} is zero, which is what debug mode attests"))),
        None => Ok(pcrs),
    }
}

/// `{"pcr0", "pcr1", "pcr2", …}`, as `trusted_hashes.json` and others write it, and `pcr8` where the
/// signer is to be the same too; more keys are fine.
fn pcrs_from_json(text: &str) -> Result<ImagePcrs, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let pcr = |name: &str| {
        let text = match &json[name] {
            serde_json::Value::String(text) => text,
            serde_json::Value::Null => return Err(format!("`{name}` is missing")),
            _ => return Err(format!("`{name}` is not text")),
        };
        text.parse().map_err(|e| format!("`{name}`: {e}"))
    };
    Ok(ImagePcrs {
        measurements: Measurements { pcr0: pcr("pcr0")?, pcr1: pcr("pcr1")?, pcr2: pcr("pcr2")? },
        pcr8: if json["pcr8"].is_null() { None } else { Some(pcr("pcr8")?) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_missing_registers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pcrs");
        let one = "11".repeat(48);
        for (text, ok) in [
            (format!("{one} PCR0\n{one} PCR1\n{one} PCR2\n"), true),
            (format!(r#"{{"pcr0":"{one}","pcr1":"{one}","pcr2":"{one}","verified_at":"x"}}"#), true),
            (format!("{one} PCR0\n{one} PCR1\n{} PCR2\n", "00".repeat(48)), false),
            (format!(r#"{{"pcr0":"{one}","pcr1":"{one}"}}"#), false),
            (format!("{one} PCR0\n{one} PCR1\n{one} PCR2\n{} PCR8\n", "00".repeat(48)), false),
            (format!(r#"{{"pcr0":"{one}","pcr1":"{one}","pcr2":"{one}","pcr8":8}}"#), false),
            (format!(r#"{{"pcr0":"{one}","pcr1":"{one}","pcr2":"{}"}}"#, "00".repeat(48)), false),
        ] {
            std::fs::write(&file, &text).unwrap();
            assert_eq!(read_pcrs(&file).map_err(|e| e.exit).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn the_signer_is_expected_where_the_file_names_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pcrs");
        let one = "11".repeat(48);
        for (text, named) in [
            (format!("{one} PCR0\n{one} PCR1\n{one} PCR2\n"), false),
            (format!("{one} PCR0\n{one} PCR1\n{one} PCR2\n{one} PCR8\n"), true),
            (format!(r#"{{"pcr0":"{one}","pcr1":"{one}","pcr2":"{one}","pcr8":null}}"#), false),
            (format!(r#"{{"pcr0":"{one}","pcr1":"{one}","pcr2":"{one}","pcr8":"{one}"}}"#), true),
        ] {
            std::fs::write(&file, &text).unwrap();
            assert_eq!(read_pcrs(&file).unwrap().pcr8.is_some(), named, "{text}");
        }
    }
}
