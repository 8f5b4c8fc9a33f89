//! Every real document and every vector, put to us and to verifiers that others wrote.
//!
//! Where both accept, they read the same. Where one refuses what the other accepts, `agreement/table.rs` says why; a case that it does not
//! explain fails, and so does a row of it that explains nothing.

mod table;

use caution_attest::{Intermediates, UnixMillis};
use data_encoding::BASE64;
use oracle_attest::{Case, Fields, nitro_attest, nsm_utils, ours, real_documents};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn nitro_attest_reads_real_documents_as_we_do() {
    let Some(cases) = real_documents() else { return };
    // It gives whole seconds, and leaves registers out that are zero.
    let as_it_says = |mut fields: Fields| {
        fields.timestamp -= fields.timestamp % 1000;
        fields.pcrs.retain(|_, pcr| pcr.bytes().any(|digit| digit != b'0'));
        fields
    };
    compare("nitro_attest", &cases, &answers(&cases, nitro_attest), as_it_says);
}

#[test]
fn nsm_nitro_enclave_utils_reads_documents_as_we_do() {
    let cases = all_cases();
    compare("nsm-nitro-enclave-utils", &cases, &answers(&cases, nsm_utils), |fields| fields);
}

#[test]
fn pythons_verifier_reads_documents_as_we_do() {
    let cases = all_cases();
    compare("epsilon-attestation-verifier", &cases, &python(&cases), |fields| fields);
}

/// The real documents, when they are there, and the vectors.
fn all_cases() -> Vec<Case> {
    let mut cases = real_documents().unwrap_or_default();
    cases.extend(vectors());
    cases
}

/// The documents of `specs/vectors/attest`; what they are asked there besides (nonce, age, registers) nobody is asked here.
fn vectors() -> Vec<Case> {
    #[derive(Deserialize)]
    struct Vector {
        name: String,
        at: Option<u64>,
        root: String,
        document: String,
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/attest");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let vector: Vector = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let bytes = |text: &str| BASE64.decode(text.as_bytes()).unwrap();
        Case {
            name: vector.name,
            document: bytes(&vector.document),
            root: bytes(&vector.root),
            at: UnixMillis(vector.at.unwrap_or(NOON_MS)),
        }
    };
    paths.into_iter().map(read).collect()
}

fn answers(cases: &[Case], ask: fn(&Case) -> Result<Fields, String>) -> Vec<Result<Fields, String>> {
    cases.iter().map(ask).collect()
}

/// Asks Python's verifier, all documents in one process.
fn python(cases: &[Case]) -> Vec<Result<Fields, String>> {
    let python =
        Path::new(&std::env::var_os("ATTEST_PYTHON").expect("the Makefile sets ATTEST_PYTHON")).to_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peer.py");
    let mut child = Command::new(&python)
        .args(["-B", "-W", "ignore", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; `tools/install test` makes it", python.display()));
    let mut asked = child.stdin.take().unwrap();
    let lines: Vec<String> = cases
        .iter()
        .map(|case| {
            let (document, root) = (BASE64.encode(&case.document), BASE64.encode(&case.root));
            serde_json::json!({ "document": document, "root": root }).to_string() + "\n"
        })
        .collect();
    let writer =
        std::thread::spawn(move || lines.iter().for_each(|line| asked.write_all(line.as_bytes()).unwrap()));
    let said = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let said: Vec<_> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), cases.len(), "one answer a document");
    said
}

fn compare(
    verifier: &str,
    cases: &[Case],
    theirs: &[Result<Fields, String>],
    as_they_say: impl Fn(Fields) -> Fields,
) {
    let mut known = Intermediates::new(1000);
    let (mut both, mut unexplained, mut used) = (0, Vec::new(), BTreeSet::new());
    for (case, theirs) in cases.iter().zip(theirs) {
        let key = match (ours(case, &mut known), theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(as_they_say(ours), *theirs, "{verifier} reads {} otherwise", case.name);
                both += 1;
                continue;
            }
            (Err(_), Err(_)) => continue,
            (Ok(_), Err(_)) => case.name.rsplit('/').next().unwrap_or_default().to_owned(),
            (Err(refusal), Ok(_)) => refusal.to_owned(),
        };
        if table::explains(verifier, &key) {
            used.insert(key);
        } else {
            let said = theirs.as_ref().map_or_else(String::as_str, |_| "accepted");
            unexplained.push(format!("{key}: {} ({said})", case.name));
        }
    }
    assert!(unexplained.is_empty(), "{verifier} and we disagree, unexplained:\n{}", unexplained.join("\n"));
    // Without the real documents some rows have nothing to explain.
    if cases.iter().any(|case| case.name.starts_with("nitro/")) {
        let stale: Vec<_> = table::keys(verifier).filter(|key| !used.contains(*key)).collect();
        assert!(stale.is_empty(), "{verifier} and we agree where the table says we do not: {stale:?}");
        assert!(both >= 40, "{verifier} and we accept only {both}");
    }
}

/// When the vectors' documents are signed, unless they say otherwise: 2026-01-15T12:00:00Z.
const NOON_MS: u64 = 1_768_478_400_000;
