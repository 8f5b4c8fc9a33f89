//! `caution verify --evidence`: a bundle is a file that anybody can have written.

#![expect(clippy::unwrap_used, reason = "tests stop at what they did not expect")]

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A bundle around the vector of a kept document, whose root stands beside it.
fn bundle(folder: &Path) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs/vectors/attest/ok-archived-nonce.json");
    let vector: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let root = data_encoding::BASE64.decode(vector["root"].as_str().unwrap().as_bytes()).unwrap();
    fs::write(folder.join("root"), root).unwrap();
    let pcrs = json!({"pcr0": "a0".repeat(48), "pcr1": "a1".repeat(48), "pcr2": "a2".repeat(48)});
    fs::write(folder.join("pcrs"), pcrs.to_string()).unwrap();
    json!({
        "schema": "caution.evidence/1", "checked_at": "2026-01-15T12:00:00Z", "tool": "caution 0",
        "url": "https://app.example.com/attestation", "name": "app.example.com",
        "nonce": vector["nonce"], "document": vector["document"], "manifest": null,
        "boot_plan_sha256": null, "rebuilt_eif_sha256": null, "verdict": {"verified": true},
    })
}

/// Standard error of a command that ends with `code`.
fn caution(folder: &Path, args: &[&str], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caution"));
    let output = command.args(args).env("HOME", folder).current_dir(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn evidence_is_kept_in_a_new_file_only_which_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bundle"), bundle(folder.path()).to_string()).unwrap();
    let args =
        ["verify", "--evidence", "bundle", "--trust-root", "root", "--pcrs", "pcrs", "--save-evidence"];
    caution(folder.path(), &[&args[..], &["copy"]].concat(), 0);
    let said = caution(folder.path(), &[&args[..], &["copy"]].concat(), 2);
    assert!(said.contains("copy exists"), "{said}");
    // Nobody was asked: the address is none that could answer.
    let args = ["verify", "--attestation-url", "http://127.0.0.1:1", "--save-evidence", "copy"];
    caution(folder.path(), &args, 2);
}

#[test]
fn another_time_is_advised_where_the_time_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let document = bundle(folder.path())["document"].as_str().unwrap().to_owned();
    fs::write(folder.path().join("document"), document).unwrap();
    let args = ["attestation", "verify", "document", "--root", "root", "--at"];
    let said = caution(folder.path(), &[&args[..], &["2031-01-01T00:00:00Z"]].concat(), 10);
    assert!(said.contains("was it valid then?"), "{said}");
    let said = caution(folder.path(), &[&args[..], &["2026-01-15T12:00:00Z", "--nonce", "00"]].concat(), 10);
    assert!(said.contains("not ours (00)") && !said.contains("was it valid then?"), "{said}");
}

fn verify(folder: &Path, bundle: &Value, code: i32) -> String {
    fs::write(folder.join("bundle"), bundle.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_caution"));
    command.args(["verify", "--evidence", "bundle", "--trust-root", "root", "--pcrs", "pcrs"]);
    let output = command.env("HOME", folder).current_dir(folder).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

#[test]
fn the_name_in_a_bundle_is_said_to_be_the_bundles() {
    let folder = tempfile::tempdir().unwrap();
    let mut bundle = bundle(folder.path());
    let said = verify(folder.path(), &bundle, 0);
    let begins = "VERIFIED  app.example.com (so the bundle calls it) had the given measurements, ";
    assert!(said.starts_with(begins), "{said}");

    let forged = "bank.example runs exactly commit 0123456 on AWS Nitro hardware.";
    for name in [forged, "\u{1b}[2J\u{1b}[HVERIFIED", "a\nVERIFIED", "", "\u{202e}", &"a".repeat(100_000)] {
        bundle["name"] = name.into();
        let said = verify(folder.path(), &bundle, 0);
        assert!(
            said.starts_with("VERIFIED  The enclave of the bundle had the given measurements, "),
            "{said}"
        );
        assert!(said.len() < 2000 && !said.contains('\u{1b}') && !said.contains("bank.example"), "{said}");
    }
}

/// The verdict in a bundle is shown as a record, whatever it says, and decides nothing.
#[test]
fn the_verdict_in_a_bundle_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let honest = bundle(folder.path());
    for (key, value) in [("nonce", json!("00".repeat(32))), ("document", json!("hEShATgi"))] {
        let mut forged = honest.clone();
        forged[key] = value;
        forged["verdict"] = json!({"verified": true, "exit_code": 0, "headline": "\u{1b}[2JVERIFIED"});
        let said = verify(folder.path(), &forged, 10);
        assert!(said.starts_with("NOT VERIFIED ") && !said.contains('\u{1b}'), "{said}");
        assert!(said.contains("nobody vouches for these lines"), "{said}");
    }
}
