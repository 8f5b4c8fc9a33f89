//! What the other side may say and must not be believed: manifests, nonces, old evidence.

use super::verify::with_manifest;
use super::{HELLO, Running, check};
use caution_abi::evidence::{Request, UserData};
use caution_measure::Sha256Digest;
use caution_system_tests::http;
use data_encoding::BASE64;
use std::path::Path;

/// The verdict on what a server of this URL says, seen from the honest checkout.
fn verdict_on(running: &Running, url: &str, code: i32) -> serde_json::Value {
    let args = ["verify", "--json", "--trust-root", "dev", "--attestation-url", url];
    running.machine.caution(&HELLO.repository.root, &args).expect(code).json()
}

#[test]
fn a_manifest_that_lies_about_the_command_is_caught() {
    let hello = &*HELLO;
    let lying = with_manifest(&hello.manifest, |m| m.run_command.push("--harmless".into()));
    let running = Running::start(&hello.repository.root, &hello.eif, lying.path(), &[]);
    let ran = running.machine.caution(&hello.repository.root, &["verify"]).expect(13);
    assert!(ran.stdout.contains("--harmless"), "{}", ran.stdout);
}

#[test]
fn a_commit_that_does_not_exist_here_is_caught() {
    let hello = &*HELLO;
    let absent = "does not exist in this checkout";
    let no_id = "is not the id of a commit";
    for (commit, words) in [
        ("0123456789abcdef0123456789abcdef01234567", absent),
        ("HEAD", no_id),
        ("--help", no_id),
        ("main", no_id),
    ] {
        let lying =
            with_manifest(&hello.manifest, |m| m.app_source.as_mut().unwrap().commit = commit.to_owned());
        let running = Running::start(&hello.repository.root, &hello.eif, lying.path(), &[]);
        let ran = running.machine.caution(&hello.repository.root, &["verify"]).expect(13);
        assert!(ran.stdout.contains(words), "{commit}: {}", ran.stdout);
    }
}

#[test]
fn another_commit_than_the_expected_one_is_caught() {
    let hello = &*HELLO;
    let running = Running::honest();
    let clone = hello.repository.clone_of();
    clone.edit("README.md", "\n", "\n\n");
    let url = running.attestation_url();
    let args = ["verify", "--json", "--commit", "HEAD", "--attestation-url", &url];
    let verdict = running.machine.caution(&clone.root, &args).expect(13).json();
    assert!(check(&verdict, "source")["lines"].to_string().contains(&hello.repository.head()));
}

#[test]
fn what_is_changed_on_the_way_is_caught() {
    let running = Running::honest();
    let port = running.attestation_port;

    // Somebody answers with a document for another nonce.
    let replay = http::serve(move |_| {
        let other = serde_json::to_vec(&Request::new(&caution_measure::Nonce::new([7; 32]))).unwrap();
        http::request(port, "POST", "/attestation", &other).unwrap().1
    });
    let verdict = verdict_on(&running, &format!("http://127.0.0.1:{replay}/attestation"), 10);
    assert!(check(&verdict, "evidence")["detail"].to_string().contains("nonce"), "{verdict:#}");

    // Somebody changes the manifest after the enclave vouched for it, or takes it away.
    for field in ["metadata", "*"] {
        let proxy = http::serve(move |body| {
            let answer = http::request(port, "POST", "/attestation", body).unwrap().1;
            let mut json: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            match field {
                "*" => json["manifest"] = serde_json::Value::Null,
                field => json["manifest"][field] = "changed".into(),
            }
            serde_json::to_vec(&json).unwrap()
        });
        let verdict = verdict_on(&running, &format!("http://127.0.0.1:{proxy}/attestation"), 13);
        assert_eq!(verdict["failure"], "source_mismatch");
    }

    // Garbage, an empty answer, a web page.
    for garbage in ["", "<html>", r#"{"document":"AAAA"}"#, r#"{"document":5}"#] {
        let server = http::serve(move |_| garbage.as_bytes().to_vec());
        let url = format!("http://127.0.0.1:{server}/attestation");
        let args = ["verify", "--attestation-url", &url];
        running.machine.caution(&HELLO.repository.root, &args).expect(10);
    }
}

#[test]
fn evidence_whose_chain_has_expired_is_refused() {
    let running = Running::honest();
    let manifest = std::fs::read_to_string(&HELLO.manifest).unwrap();
    let manifest = manifest.trim().to_owned();
    let user_data = UserData { manifest_sha256: Some(Sha256Digest::of(manifest.as_bytes())) }.to_bytes();
    let measurements = serde_json::json!({
        "pcr0": HELLO.built["pcr0"], "pcr1": HELLO.built["pcr1"], "pcr2": HELLO.built["pcr2"],
    });
    let measurements = serde_json::from_value(measurements).unwrap();
    let root = caution_devnsm::DevRoot::load_or_create(&running.machine.state().join("devroot")).unwrap();
    // The same development root, the right measurements, the fresh nonce; signed long ago.
    let server = http::serve(move |body| {
        let nonce = Request::parse(body).unwrap();
        let document = caution_devnsm::expired_document(&root, &measurements, nonce.as_bytes(), &user_data);
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        serde_json::to_vec(&serde_json::json!({ "document": BASE64.encode(&document), "manifest": manifest }))
            .unwrap()
    });
    let verdict = verdict_on(&running, &format!("http://127.0.0.1:{server}/attestation"), 10);
    let detail = check(&verdict, "evidence")["detail"].to_string();
    assert!(detail.contains(" expired at "), "{detail}");
}

#[test]
fn nobody_there_has_its_own_exit_code() {
    let port = caution_system_tests::command::free_port();
    let url = format!("http://127.0.0.1:{port}/attestation");
    let machine = caution_system_tests::command::Machine::new();
    machine.caution(Path::new("/"), &["verify", "--attestation-url", &url]).expect(15);
    machine.caution(Path::new("/"), &["verify", "--attestation-url", "ftp://x"]).expect(2);
    machine.caution(&HELLO.repository.root, &["verify"]).expect(15);
}
