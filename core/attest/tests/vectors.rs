//! The language-neutral vectors of `specs/vectors/attest`, and `specs/attestation.md` against the code.

use caution_attest::{
    Archived, CertificateError, DebugPolicy, Evidence, Expected, Intermediates, Live, Malformed, Roots,
    UnixMillis, VerifyError,
};
use caution_measure::{ImagePcrs, Measurements, Pcr, PcrIndex};
use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    #[serde(rename = "about")]
    _about: String,
    expect: String,
    call: Call,
    at: Option<u64>,
    nonce: Option<String>,
    max_age_ms: Option<u64>,
    allow_debug: bool,
    profiles: Vec<Measurements>,
    registers: BTreeMap<u8, Pcr>,
    root: String,
    document: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Live,
    Archived,
}

impl Vector {
    fn verdict(&self, known: &mut Intermediates) -> Result<(), VerifyError> {
        let base64 = |text: &str| BASE64.decode(text.as_bytes()).expect("vectors hold standard base64");
        let nonce = self
            .nonce
            .as_ref()
            .map(|hex| HEXLOWER.decode(hex.as_bytes()).expect("vectors hold lower-case hex"));
        let registers: Vec<_> =
            self.registers.iter().map(|(n, pcr)| (register(u64::from(*n)), *pcr)).collect();
        let profiles: Vec<_> =
            self.profiles.iter().map(|&measurements| ImagePcrs { measurements, pcr8: None }).collect();
        let expected = Expected {
            profiles: &profiles,
            registers: &registers,
            debug: if self.allow_debug { DebugPolicy::Allow } else { DebugPolicy::Refuse },
        };
        let roots = Roots::dev_root(&base64(&self.root)).expect("a vector's root is a certificate");
        let evidence = Evidence::parse(&base64(&self.document))?;
        let at = self.at.map(UnixMillis);
        let verified = match self.call {
            Call::Live => {
                let live = Live {
                    now: at.expect("a live question has a time"),
                    nonce: nonce.as_deref().expect("a live question has a challenge"),
                    max_age_ms: self.max_age_ms.expect("a live question has a limit"),
                };
                known.verify(evidence, &roots, &live, &expected)?
            }
            Call::Archived => {
                let archived = Archived { at, nonce: nonce.as_deref() };
                known.verify_archived(evidence, &roots, &archived, &expected)?
            }
        };
        assert!(verified.timestamp().0 > 0 && verified.chain().len() >= 2);
        Ok(())
    }
}

fn register(number: u64) -> PcrIndex {
    PcrIndex::try_from(number).expect("vectors name registers")
}

fn specs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../specs")
}

fn vectors() -> Vec<Vector> {
    let folder = std::fs::read_dir(specs().join("vectors/attest")).expect("the vectors are committed");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("a vector is text");
        let vector: Vector =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(vector.name.as_str()));
        vector
    };
    folder.map(|entry| read(entry.expect("a folder entry").path())).collect()
}

/// Names and blames of the table in `specs/attestation.md`.
fn table() -> BTreeMap<String, String> {
    let text =
        std::fs::read_to_string(specs().join("attestation.md")).expect("the specification is committed");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(name, rest)| {
        let blame = rest.split(" |").next().unwrap_or_default();
        (name.to_owned(), blame.to_owned())
    })
    .collect()
}

#[test]
fn every_vector_has_the_outcome_it_expects() {
    every_vector_comes_out_with(|| Intermediates::new(0));
}

/// What one document made known never decides about another: not its place, not its times, not its root.
#[test]
fn every_vector_has_the_outcome_it_expects_when_all_intermediates_are_known() {
    let mut known = Intermediates::new(1000);
    for vector in vectors() {
        // Those that are refused leave something, too.
        let _ = vector.verdict(&mut known);
    }
    every_vector_comes_out_with(|| known.clone());
}

fn every_vector_comes_out_with(known: impl Fn() -> Intermediates) {
    let blames = table();
    let mut wrong = Vec::new();
    for vector in vectors() {
        let (outcome, said) = match vector.verdict(&mut known()) {
            Ok(()) => ("ok", String::new()),
            Err(refusal) => {
                let blame = blames.get(refusal.name()).map(String::as_str);
                assert_eq!(blame, Some(refusal.kind().to_string().as_str()), "{}", refusal.name());
                (refusal.name(), refusal.to_string())
            }
        };
        if outcome != vector.expect {
            wrong.push(format!("{}: expected {}, got {outcome} ({said})", vector.name, vector.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_refusal_is_specified_and_has_a_vector() {
    let all = [Malformed::NAMES, CertificateError::NAMES, VerifyError::NAMES].concat();
    let names: BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(names.len(), all.len(), "two refusals share a name");

    let specified = table();
    let specified: BTreeSet<&str> = specified.keys().map(String::as_str).collect();
    assert_eq!(specified, names, "specs/attestation.md lists other refusals than the code has");

    let vectors = vectors();
    let shown: BTreeSet<&str> = vectors.iter().map(|v| v.expect.as_str()).filter(|e| *e != "ok").collect();
    assert_eq!(shown, names, "each refusal needs a vector");
    assert!(vectors.iter().filter(|vector| vector.expect == "ok").count() >= 15);
}

#[test]
fn refusals_say_what_was_found() {
    let vectors = vectors();
    let leaf = "the enclave's certificate is refused:";
    for (name, words) in [
        (
            "nonce-prefix",
            format!(
                "the document carries the nonce {}, not ours ({}), so it may be",
                "6e".repeat(32),
                "6e".repeat(31)
            ),
        ),
        (
            "malformed-unprotected-entry",
            "not the empty map (a0): from byte 6 on stands a101382259".to_owned(),
        ),
        (
            "certificate-long-serial",
            format!("{leaf} its serial number is longer than 20 bytes: {}", "01".repeat(21)),
        ),
        (
            "certificate-two-algorithms",
            "1.2.840.10045.4.3.3 where it is signed and 1.2.840.10045.4.3.2 beside the signature".to_owned(),
        ),
        (
            "certificate-unique-identifier",
            format!("{leaf} it has a field that RFC 5280 forbids (a unique identifier, tag 0x82)"),
        ),
        (
            "certificate-sha256",
            format!("{leaf} it is signed with 1.2.840.10045.4.3.2, not with ECDSA and SHA-384"),
        ),
        (
            "certificate-p256-key",
            format!("{leaf} its key is one of 1.2.840.10045.2.1 with 1.2.840.10045.3.1.7, not an elliptic"),
        ),
        (
            "certificate-other-issuer-name",
            format!(
                "{leaf} its issuer is `DEVELOPMENT, not hardware: nobody`, not the subject of the certificate before it, `DEVELOPMENT, not hardware: instance`"
            ),
        ),
    ] {
        let vector = vectors.iter().find(|vector| vector.name == name).expect("the vector is committed");
        let said = vector.verdict(&mut Intermediates::new(0)).unwrap_err().to_string();
        assert!(said.contains(&words), "{name}: {said}");
    }
}
