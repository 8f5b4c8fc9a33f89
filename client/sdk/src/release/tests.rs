use super::*;
use p384::ecdsa::SigningKey;
use p384::ecdsa::signature::Signer as _;
use p384::pkcs8::{EncodePublicKey as _, LineEnding};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 48]).unwrap()
}

fn pem(seed: u8) -> String {
    key(seed).verifying_key().to_public_key_pem(LineEnding::LF).unwrap()
}

fn sign(seed: u8, bytes: &[u8]) -> Vec<u8> {
    let signature: Signature = key(seed).sign(bytes);
    signature.to_der().as_bytes().to_vec()
}

fn file(app: &str, version: u64) -> Vec<u8> {
    let pcr = "11".repeat(48);
    format!(
        r#"{{"schema":"caution.app-release/1","app":"{app}","version":{version},"not_after_ms":2000,
           "profiles":[{{"pcr0":"{pcr}","pcr1":"{pcr}","pcr2":"{pcr}"}}]}}"#
    )
    .into_bytes()
}

fn keys(dir: &std::path::Path, threshold: usize) -> ReleaseKeys {
    let pems = [pem(1), pem(2), pem(3)];
    ReleaseKeys::new("notes", pems.iter().map(String::as_str), threshold, dir.join("seen.json")).unwrap()
}

#[test]
fn enough_keys_must_sign_and_one_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, bytes) = (keys(dir.path(), 2), file("notes", 1));
    let [first, second, stranger] = [1, 2, 9].map(|seed| sign(seed, &bytes));
    assert_eq!(keys.open(&bytes, &[&first, &second]).unwrap().version(), 1);
    for signatures in [&[&first[..], &first, &stranger, b"none"][..], &[]] {
        assert!(matches!(keys.open(&bytes, signatures), Err(ReleaseError::Signatures { threshold: 2, .. })));
    }
    let changed = file("notes", 2);
    assert!(matches!(
        keys.open(&changed, &[&first, &second]),
        Err(ReleaseError::Signatures { found: 0, .. })
    ));
    let others = file("other", 1);
    let signatures = [1, 2].map(|seed| sign(seed, &others));
    let refused = keys.open(&others, &[&signatures[0], &signatures[1]]);
    assert!(matches!(refused, Err(ReleaseError::App { .. })));
}

#[test]
fn keys_that_are_none_or_too_few_are_refused() {
    let new = |pems: &[String], threshold| {
        ReleaseKeys::new("notes", pems.iter().map(String::as_str), threshold, "x").map(drop)
    };
    assert!(matches!(new(&[pem(1), "no key".into()], 1), Err(ReleaseError::Key(2))));
    assert!(matches!(new(&[pem(1), pem(1)], 2), Err(ReleaseError::DuplicateKey(2))));
    for (count, threshold) in [(0, 0), (0, 1), (1, 0), (1, 2)] {
        let refused = new(&vec![pem(1); count], threshold);
        assert!(matches!(refused, Err(ReleaseError::Threshold { .. })), "{threshold} of {count}");
    }
}

#[test]
fn an_older_release_does_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let open = |version: u64, blank: &str| {
        let bytes = [&file("notes", version)[..], blank.as_bytes()].concat();
        keys(dir.path(), 1).open(&bytes, &[&sign(1, &bytes)]).unwrap()
    };
    let now = UnixMillis(1000);
    open(2, "").admit(now).unwrap();
    open(2, "").admit(now).unwrap();
    assert!(matches!(open(1, "").admit(now), Err(ReleaseError::Rollback { seen: 2, offered: 1 })));
    assert!(matches!(open(2, " ").admit(now), Err(ReleaseError::Rewritten { version: 2, .. })));
    assert!(matches!(open(3, "").admit(UnixMillis(2001)), Err(ReleaseError::Expired { .. })));
    open(2, "").admit(now).unwrap();
    open(3, "").admit(UnixMillis(2000)).unwrap();
    assert!(matches!(open(2, "").admit(now), Err(ReleaseError::Rollback { seen: 3, offered: 2 })));
    for broken in
        ["", "{}", r#"{"schema":"caution.app-release-seen/1","app":"other","version":9,"sha256":"00"}"#]
    {
        std::fs::write(dir.path().join("seen.json"), broken).unwrap();
        let refused = open(4, "").admit(now);
        assert!(matches!(refused, Err(ReleaseError::Store(StoreError::Unreadable { .. }))), "{broken}");
    }
}
