//! `caution verify`: prove that a running application is what its source says.

use crate::Context;
use crate::commands::apps::build::LimitArgs;
use crate::error::{CliError, Exit};
use crate::files::read_limited;
use crate::verify::origin::Wish;
use crate::verify::target::{self, TrustRoot};
use crate::verify::watch::{Watch, Webhook, watch};
use crate::verify::{Request, check_new, fetch, verify};
use caution_appspec::excerpt;
use caution_attest::Evidence;
use caution_build::EngineName;
use caution_build::git::{RemoteError, SourceUrl};
use caution_measure::{ImagePcrs, Measurements, Pcr, PcrIndex};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments of `caution verify`.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Ask this address; the enclave that this checkout runs locally when absent.
    #[arg(long, value_name = "URL")]
    attestation_url: Option<String>,

    /// Fetch the source from this git repository (https or ssh), with the credentials that git has, or from
    /// this tar archive (https). When absent: the checkout around the current folder, and without one the
    /// addresses that the enclave names.
    #[arg(long, value_name = "URL", conflicts_with = "pcrs")]
    app_source_url: Option<String>,

    /// Take the source from this tar archive of a commit, plain or gzip, as `git archive` and forges make it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pcrs", "app_source_url", "reference"])]
    from_tarball: Option<PathBuf>,

    /// The revision you expect; anything else the enclave claims is then a failure. Of a source that is
    /// fetched: a full commit id, or a branch or tag there.
    #[arg(long, value_name = "REV", conflicts_with = "pcrs")]
    commit: Option<String>,

    /// The branch or tag that has to be, or to have in its history, the commit that runs.
    #[arg(long = "ref", value_name = "NAME", conflicts_with = "pcrs")]
    reference: Option<String>,

    /// The most that is fetched, in MiB.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1_048_576), conflicts_with = "pcrs")]
    max_source: u64,

    /// Compare with these PCR values instead of rebuilding: `enclave.pcrs`, `trusted_hashes.json`, or what
    /// nitro-cli and eif_build print. Given several times, one of the images must run.
    #[arg(long, value_name = "FILE")]
    pcrs: Vec<PathBuf>,

    /// Expect this value of a further register: 3 is the parent's IAM role, 4 the parent instance, 8 the image's
    /// signer.
    #[arg(long = "pcr", value_name = "N=HEX", value_parser = parse_register)]
    registers: Vec<(PcrIndex, Pcr)>,

    /// Believe in the EnclaveOS release with this PCR1, though it is not known and was not built here.
    #[arg(long = "allow-enclaveos", value_name = "PCR1", value_parser = parse_release, conflicts_with = "pcrs")]
    allowed_releases: Vec<Pcr>,

    /// Check evidence that was kept, without asking anybody: a bundle of `.caution/evidence/`.
    #[arg(long, value_name = "FILE", conflicts_with = "attestation_url")]
    evidence: Option<PathBuf>,

    /// The time at which kept evidence must have been valid, RFC 3339; its own when absent.
    #[arg(long, value_name = "RFC3339", requires = "evidence")]
    at: Option<jiff::Timestamp>,

    /// Keep authentic evidence in this new file too, whatever the verdict.
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    save_evidence: Option<PathBuf>,

    /// Rebuild with this engine: docker, podman or buildah; the first that works when absent.
    #[arg(long, value_name = "NAME", conflicts_with = "pcrs")]
    engine: Option<EngineName>,

    /// Rebuild without a network for any step of the Containerfile, whatever it says itself; base images are fetched
    /// before.
    #[arg(long, conflicts_with = "pcrs")]
    no_network: bool,

    /// Rebuild even where an earlier rebuild of the same inputs is kept.
    #[arg(long)]
    no_cache: bool,

    /// Whose root to believe: `aws` (default), `dev` (this machine's development root: proves no
    /// hardware), or a certificate file.
    #[arg(long, value_name = "aws|dev|FILE")]
    trust_root: Option<TrustRoot>,

    /// Verify again and again, this many seconds apart, until interrupted.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "60",
          value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "evidence")]
    watch: Option<u32>,

    /// End the watch when the outcome changes, with the exit code of the new one.
    #[arg(long, requires = "watch")]
    exit_on_change: bool,

    /// Post changes here, as JSON, signed with --webhook-key.
    #[arg(long, value_name = "URL", requires_all = ["watch", "webhook_key"])]
    webhook: Option<String>,

    /// The file that holds the key of X-Caution-Signature (HMAC-SHA-256).
    #[arg(long, value_name = "FILE", requires = "webhook")]
    webhook_key: Option<PathBuf>,

    #[command(flatten)]
    limits: LimitArgs,

    /// Print what the enclave sends, as JSON, without verifying anything.
    #[arg(long, conflicts_with_all = ["app_source_url", "from_tarball", "commit", "reference", "max_source", "pcrs", "registers", "allowed_releases", "evidence", "save_evidence", "watch", "engine", "no_cache", "no_network", "settings", "trust_root"])]
    inspect_attestation: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    if args.inspect_attestation {
        return inspect(context, args).map(|()| 0);
    }
    let pcrs = args.pcrs.iter().map(|path| read_pcrs(path)).collect::<Result<_, _>>()?;
    let request = Request {
        url: args.attestation_url.clone(),
        trust: args.trust_root.clone(),
        source: Wish {
            url: args.app_source_url.as_deref().map(source_url).transpose()?,
            tarball: args.from_tarball.clone(),
            commit: args.commit.clone(),
            reference: args.reference.clone(),
            max_bytes: args.max_source << 20,
            follows_claims: args.evidence.is_none(),
        },
        pcrs,
        registers: args.registers.clone(),
        allowed_releases: args.allowed_releases.clone(),
        evidence: args.evidence.clone(),
        at: args.at,
        engine: args.engine,
        no_cache: args.no_cache,
        no_network: args.no_network,
        limits: args.limits.limits(),
        now: jiff::Timestamp::now(),
    };
    if let Some(seconds) = args.watch {
        let webhook = match (&args.webhook, &args.webhook_key) {
            (Some(url), Some(key)) => Some(Webhook::new(url, key)?),
            _ => None,
        };
        let every = Duration::from_secs(seconds.into());
        return watch(context, request, &Watch { every, exit_on_change: args.exit_on_change, webhook });
    }
    args.save_evidence.as_deref().map_or(Ok(()), check_new)?;
    let mut outcome = verify(context, &request)?;
    outcome.keep(context);
    if let Some(path) = &args.save_evidence {
        outcome.keep_as(path)?;
    }
    outcome.verdict.print(context.terminal);
    Ok(outcome.verdict.exit_code)
}

/// The address of `--app-source-url`.
fn source_url(text: &str) -> Result<SourceUrl, CliError> {
    text.parse().map_err(|error: RemoteError| CliError::from(error).with_exit(Exit::Usage))
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
        hint: Some(
            "use eif-stage/output/enclave.pcrs, trusted_hashes.json, or what nitro-cli or eif_build printed"
                .into(),
        ),
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

/// `4=<96 hex digits>`. Zero is what a register shows that nothing was measured into.
pub(crate) fn parse_register(text: &str) -> Result<(PcrIndex, Pcr), String> {
    let (number, value) = text.split_once('=').ok_or("expected N=HEX, as in 4=6e32…")?;
    let number: u64 = number.parse().map_err(|_| format!("`{number}` is not a register's number"))?;
    let index = PcrIndex::try_from(number).map_err(|e| e.to_string())?;
    let value: Pcr = value.parse().map_err(|e: caution_measure::HexError| e.to_string())?;
    if value.is_zero() {
        return Err(format!("{index} is zero where nothing was measured into it, so zero proves nothing"));
    }
    Ok((index, value))
}

/// A release's PCR1, 96 hex digits. Zero is what every debug enclave attests.
fn parse_release(text: &str) -> Result<Pcr, String> {
    let pcr1: Pcr = text.parse().map_err(|e: caution_measure::HexError| e.to_string())?;
    if pcr1.is_zero() {
        Err("PCR1 is zero in debug mode only, and no release has it".into())
    } else {
        Ok(pcr1)
    }
}

/// `{"pcr0", "pcr1", "pcr2", …}`, as `trusted_hashes.json` has it, or `{"Measurements": {"PCR0", …}}`, as nitro-cli
/// and `eif_build` print it; and PCR8 where the signer is to be the same too. More keys are fine, other than a second value
/// for one of these registers, which would be passed over.
fn pcrs_from_json(text: &str) -> Result<ImagePcrs, String> {
    let outer: Members = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let inner = outer.0.get("Measurements").map(|value| value.get()).filter(|text| text.starts_with('{'));
    let inner: Option<Members> =
        inner.map(serde_json::from_str).transpose().map_err(|e| format!("`Measurements`: {e}"))?;
    let (members, prefix) = inner.as_ref().map_or((&outer, "pcr"), |inner| (inner, "PCR"));
    let compared = [0, 1, 2, 8].map(|number| format!("{prefix}{number}"));
    let is_one = |name: &str| compared.iter().any(|register| register.eq_ignore_ascii_case(name));
    let outside = if inner.is_some() { &outer.0 } else { &BTreeMap::new() };
    let mut odd = members.0.keys().filter(|name| !compared.contains(name)).chain(outside.keys());
    if let Some(name) = odd.find(|name| is_one(name)) {
        return Err(format!("`{name}` would be passed over beside `{prefix}0`"));
    }
    let pcr = |name: &str| match members.0.get(name).map(|value| value.get()) {
        None | Some("null") => Err(format!("`{name}` is missing")),
        Some(value) => serde_json::from_str::<String>(value)
            .map_err(|_| format!("`{name}` is not text"))?
            .parse::<Pcr>()
            .map_err(|e| format!("`{name}`: {e}")),
    };
    let [pcr0, pcr1, pcr2, pcr8] = &compared;
    let has_signer = members.0.get(pcr8).is_some_and(|value| value.get() != "null");
    Ok(ImagePcrs {
        measurements: Measurements { pcr0: pcr(pcr0)?, pcr1: pcr(pcr1)?, pcr2: pcr(pcr2)? },
        pcr8: has_signer.then(|| pcr(pcr8)).transpose()?,
    })
}

/// A JSON object whose names stand once each. Of two values `serde_json::Value` keeps the last, and people read the first.
struct Members(BTreeMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("`{}` stands twice", excerpt(&name, 60))));
                    }
                    members.insert(name, value);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
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
            (
                format!(
                    r#"{{"Measurements":{{"HashAlgorithm":"Sha384 {{ ... }}","PCR0":"{one}","PCR1":"{one}","PCR2":"{one}"}}}}"#
                ),
                true,
            ),
            (format!(r#"{{"Measurements":{{"PCR0":"{one}","PCR1":"{one}"}},"pcr2":"{one}"}}"#), false),
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
    fn no_register_stands_twice_or_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pcrs");
        let (one, two) = ("11".repeat(48), "22".repeat(48));
        let flat = format!(r#""pcr0":"{one}","pcr1":"{one}","pcr2":"{one}""#);
        let nested = format!(r#""Measurements":{{{}}}"#, flat.to_uppercase());
        for (text, said) in [
            (format!(r#"{{{flat},"pcr2":"{two}"}}"#), "`pcr2` stands twice"),
            (format!(r#"{{{flat},"PCR8":"{two}"}}"#), "`PCR8` would be passed over"),
            (format!("{{{flat},{nested}}}"), "`pcr0` would be passed over"),
            (format!(r#"{{{nested},"PCR2":"{two}"}}"#), "`PCR2` would be passed over"),
            (format!("{{{nested},{nested}}}"), "`Measurements` stands twice"),
            (format!(r#"{{"Measurements":{{{}}}}}"#, flat.replace('p', "P")), "`Pcr0` would be passed over"),
            (format!("{{{flat}}} {{}}"), "trailing characters"),
        ] {
            std::fs::write(&file, &text).unwrap();
            let causes = read_pcrs(&file).unwrap_err().causes;
            assert!(causes[0].contains(said), "{causes:?}, expected {said}");
        }
        for text in
            [format!(r#"{{{flat},"Measurements":null,"pcr3":"{two}"}}"#), format!("{{{nested},\"x\":1}}")]
        {
            std::fs::write(&file, &text).unwrap();
            assert_eq!(read_pcrs(&file).unwrap().measurements.pcr2.to_string(), one);
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
