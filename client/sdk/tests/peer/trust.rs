//! Whom the client speaks to.

use crate::support::{NOW, Peer, image, pinned};
use caution_sdk::{
    Error, EvidenceError, FileStore, Pcr, PcrIndex, Policy, PolicyError, ReleaseError, ReleaseKeys, Roots,
    StoreError, Suite, Trust,
};
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::{EncodePublicKey as _, LineEnding};
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

fn index(number: u64) -> PcrIndex {
    PcrIndex::try_from(number).unwrap()
}

#[test]
fn a_policy_that_checks_nothing_is_none() {
    assert!(matches!(Policy::pinned([]), Err(PolicyError::NoProfiles)));
    assert!(matches!(Policy::pinned([image(0)]), Err(PolicyError::ZeroExpectation(_))));
    assert!(matches!(pinned().and_register(index(4), Pcr::ZERO), Err(PolicyError::ZeroExpectation(_))));
}

#[tokio::test]
async fn what_was_verified_last_is_trusted_and_nothing_else_is_read_from_its_file() {
    let peer = Peer::start(Suite::X25519).await;
    let [pcr0, pcr1, pcr2] = [1, 2, 3].map(|byte| Pcr::new([byte; 48]).to_string());
    let registers = format!(r#""pcr0":"{pcr0}","pcr1":"{pcr1}","pcr2":"{pcr2}""#);
    let rest = r#""verified_at":"2026-11-20T09:12:44Z","e2e":{"key_exchange":"xwing"}"#;
    let policy = Policy::verified(&format!("{{{registers},{rest}}}")).unwrap();
    let client = peer.builder(policy).connect().await.unwrap();
    assert_eq!(client.receipt().await.unwrap().trust, Trust::Pinned);

    let other = Policy::verified(&format!("{{{registers},{rest}}}").replace(&pcr1, &pcr2)).unwrap();
    assert!(matches!(peer.builder(other).connect().await, Err(Error::Evidence { .. })));
    let zero = format!("{{{registers}}}").replace("01", "00");
    assert!(matches!(Policy::verified(&zero), Err(PolicyError::ZeroExpectation(_))));
    for none in [
        "",
        "{}",
        "[]",
        &format!("{{{registers},{registers}}}"),
        &registers,
        &format!("{{{registers},\"pcr8\":1}}"),
    ] {
        assert!(matches!(Policy::verified(none), Err(PolicyError::TrustedHashes(_))), "{none}");
    }
}

/// The program of the page about encryption is the one of this crate's documentation, which is compiled.
#[test]
fn the_program_of_the_page_is_ours() {
    let page = include_str!("../../../../docs/src/end-to-end-encryption.md");
    let ours = include_str!("../../src/lib.rs");
    let (_, program) = ours.split_once("//! ```no_run\n").unwrap();
    let lines = program.lines().take_while(|line| *line != "//! ```");
    let program: String =
        lines.map(|line| line.trim_start_matches("//!").replacen(' ', "", 1) + "\n").collect();
    assert!(page.contains(&format!("```rust\n{program}```")), "{program}");
}

#[tokio::test]
async fn images_are_pinned_whole_and_whose_they_are_besides() {
    let peer = Peer::start(Suite::X25519).await;
    let both = Policy::pinned([image(9), image(1)]).unwrap();
    let client = peer.builder(both).connect().await.unwrap();
    assert_eq!(client.receipt().await.unwrap().trust, Trust::Pinned);

    let other = Policy::pinned([image(9)]).unwrap();
    let elsewhere = pinned().and_register(index(4), Pcr::new([4; 48])).unwrap();
    for policy in [other, elsewhere] {
        let error = peer.builder(policy).connect().await.unwrap_err();
        assert!(matches!(error, Error::Evidence { .. }), "{error}");
    }
    let error = peer.builder(pinned()).evidence_roots(Roots::aws()).connect().await.unwrap_err();
    assert!(matches!(error, Error::Evidence { .. }), "{error}");
    assert_eq!(peer.enclave.handshakes.load(SeqCst), 1, "nothing was sent to what is not trusted");
}

#[tokio::test]
async fn the_first_sight_is_remembered_and_a_change_is_refused_with_both_values() {
    let store = tempfile::tempdir().unwrap();
    let policy = || Policy::tofu(FileStore::new(store.path()));
    let first = Peer::start(Suite::X25519).await;
    let receipt = first.builder(policy()).connect().await.unwrap().receipt().await.unwrap();
    assert_eq!(receipt.trust, Trust::TofuEnrolled);
    let receipt = first.builder(policy()).connect().await.unwrap().receipt().await.unwrap();
    assert_eq!(receipt.trust, Trust::TofuMatched);

    // Another image behind the same address.
    let second = Peer::start_as(Suite::X25519, 9).await;
    let file = std::fs::read_dir(store.path()).unwrap().next().unwrap().unwrap().path();
    let known = std::fs::read_to_string(&file).unwrap();
    let swapped = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(swapped.path()).unwrap();
    let other = Policy::tofu(FileStore::new(swapped.path()));
    second.builder(other).connect().await.unwrap();
    let name = std::fs::read_dir(swapped.path()).unwrap().next().unwrap().unwrap().file_name();
    std::fs::write(store.path().join(name), known).unwrap();
    let error = second.builder(policy()).connect().await.unwrap_err();
    let Error::Untrusted { cause, .. } = &error else { panic!("{error}") };
    let said = cause.to_string();
    assert!(said.contains(&"01".repeat(48)) && said.contains(&"09".repeat(48)), "{said}");
    assert!(said.starts_with("PCR0 was ") && said.contains("2026-01-15T12:00:00Z"), "{said}");
    assert_eq!(second.ran(), 0);
}

/// A first sight is known before anything is sent; where it cannot be kept nothing is sent.
#[tokio::test]
async fn a_store_that_cannot_be_used_trusts_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(Suite::X25519).await;
    let in_a_file = folder.path().join("file");
    std::fs::write(&in_a_file, "").unwrap();
    let error = peer.builder(Policy::tofu(FileStore::new(&in_a_file))).connect().await.unwrap_err();
    let Error::Untrusted { cause, .. } = &error else { panic!("{error}") };
    assert!(matches!(**cause, PolicyError::Store(StoreError::File { .. })), "{cause}");
    assert_eq!(peer.ran(), 0);
}

/// A release of the image that runs, signed by one key of one.
fn release(folder: &Path, version: u64, not_after_ms: u64, pcr0: u8) -> Policy {
    let key = SigningKey::from_slice(&[7; 48]).unwrap();
    let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    let [pcr0, pcr1, pcr2] = [pcr0, 2, 3].map(|byte| Pcr::new([byte; 48]));
    let file = format!(
        r#"{{"schema":"caution.app-release/1","app":"notes","version":{version},"not_after_ms":{not_after_ms},
           "profiles":[{{"pcr0":"{pcr0}","pcr1":"{pcr1}","pcr2":"{pcr2}"}}]}}"#
    );
    let signature: Signature = key.sign(file.as_bytes());
    let keys = ReleaseKeys::new("notes", [pem.as_str()], 1, folder.join("seen.json")).unwrap();
    Policy::signed(keys.open(file.as_bytes(), &[signature.to_der().as_bytes()]).unwrap())
}

#[tokio::test]
async fn a_signed_release_counts_and_never_an_older_one_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let peer = Peer::start(Suite::X25519).await;
    let connect = async |version, not_after_ms, pcr0| {
        let client = peer.builder(release(folder.path(), version, not_after_ms, pcr0)).connect().await?;
        Ok::<_, Error>(client.receipt().await?.trust)
    };
    for version in [2, 2, 3] {
        assert_eq!(connect(version, NOW, 1).await.unwrap(), Trust::Signed { version });
    }
    let refused = async |version, not_after_ms| match connect(version, not_after_ms, 1).await.unwrap_err() {
        Error::Untrusted { cause, .. } => match *cause {
            PolicyError::Release(cause) => cause,
            other => panic!("{other}"),
        },
        error => panic!("{error}"),
    };
    assert!(matches!(refused(2, NOW).await, ReleaseError::Rollback { seen: 3, offered: 2 }));
    assert!(matches!(refused(3, NOW + 1).await, ReleaseError::Rewritten { version: 3, .. }));
    assert!(matches!(refused(4, NOW - 1).await, ReleaseError::Expired { .. }));
    // What does not run is no newest version.
    assert!(matches!(connect(5, NOW, 9).await, Err(Error::Evidence { .. })));
    assert_eq!(connect(3, NOW, 1).await.unwrap(), Trust::Signed { version: 3 });
    assert_eq!(peer.ran(), 0);
}

#[tokio::test]
async fn the_suite_is_chosen_and_never_negotiated() {
    let peer = Peer::start(Suite::X25519).await;
    let error = peer.builder(pinned()).suite(Suite::XWing).connect().await.unwrap_err();
    let Error::Evidence { cause, .. } = &error else { panic!("{error}") };
    assert_eq!(cause.to_string(), "the enclave's suite is x25519, and xwing is expected");
}

#[tokio::test]
async fn requests_without_encryption_are_a_reason_to_refuse() {
    let peer = Peer::start(Suite::X25519).await;
    peer.claim(|claims| claims.flags.plaintext_fallback = true);
    let error = peer.builder(pinned()).connect().await.unwrap_err();
    let Error::Evidence { cause, .. } = &error else { panic!("{error}") };
    assert!(matches!(**cause, EvidenceError::PlaintextFallback));
    let client = peer.builder(pinned()).allow_plaintext_fallback().connect().await.unwrap();
    assert!(client.receipt().await.unwrap().plaintext_fallback);
}
