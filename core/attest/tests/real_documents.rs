//! Documents that Nitro hardware signed between 2021 and 2026.

mod common;

use caution_attest::{
    Archived, Blame, CertificateError, Checked, DebugPolicy, Evidence, Expected, Live, Malformed, Position,
    RootError, RootKind, Roots, UnixMillis, Unverified, Verified, VerifyError,
};
use caution_measure::{ImagePcrs, Measurements, Nonce, Pcr, PcrIndex};
use common::outside_vectors;
use serde::Deserialize;
use sha2::{Digest as _, Sha384};
use std::path::Path;

/// A row of `nitro/index.json`, as far as the tests use it.
#[derive(Debug, Deserialize)]
struct Real {
    file: String,
    verify_at_unix_ms: Option<u64>,
    chain_valid_unix: Option<(u64, u64)>,
    debug_mode: Option<bool>,
    module_id: Option<String>,
    #[serde(default)]
    pcrs: std::collections::BTreeMap<String, String>,
    public_key: Option<String>,
    user_data: Option<String>,
    nonce: Option<String>,
}

fn index(vectors: &Path) -> Vec<Real> {
    let text = std::fs::read_to_string(vectors.join("nitro/index.json")).expect("an index stands there");
    serde_json::from_str(&text).expect("the index has the known shape")
}

fn parse(vectors: &Path, file: &str) -> Result<Evidence<Unverified>, Malformed> {
    Evidence::parse(&std::fs::read(vectors.join(file)).expect("the index names files that exist"))
}

/// At a time, whether or not it is a debug enclave's.
fn verify_at(vectors: &Path, row: &Real, at_ms: u64) -> Result<Verified, VerifyError> {
    let archived = Archived { at: Some(UnixMillis(at_ms)), nonce: None };
    parse(vectors, &row.file)?.verify_archived(&Roots::aws(), &archived, &ALLOWING_DEBUG)
}

const ALLOWING_DEBUG: Expected<'static> =
    Expected { profiles: &[], registers: &[], debug: DebugPolicy::Allow };

fn hex(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|b| data_encoding::HEXLOWER.encode(b))
}

fn in_folder<'a>(rows: &'a [Real], folder: &str) -> Vec<&'a Real> {
    rows.iter().filter(|row| row.file.starts_with(folder)).collect()
}

#[test]
fn valid_documents_verify_at_their_own_time_and_show_what_they_hold() {
    let Some(vectors) = outside_vectors() else { return };
    let rows = index(&vectors);
    let valid = in_folder(&rows, "nitro/valid/");
    assert_eq!(valid.len(), 46);
    for row in valid {
        let at = row.verify_at_unix_ms.unwrap();
        let verified = parse(&vectors, &row.file)
            .unwrap()
            .verify_archived(&Roots::aws(), &Archived::default(), &ALLOWING_DEBUG)
            .unwrap_or_else(|e| panic!("{}: {e}", row.file));

        assert_eq!(verified.root(), RootKind::Aws);
        assert_eq!(verified.timestamp(), UnixMillis(at));
        assert_eq!(verified.checked(), Checked::Archived(UnixMillis(at)));
        assert_eq!(Some(verified.module_id()), row.module_id.as_deref());
        assert_eq!(verified.is_debug(), row.debug_mode.unwrap());
        assert_eq!(hex(verified.public_key()), row.public_key);
        assert_eq!(hex(verified.user_data()), row.user_data);
        assert_eq!(hex(verified.nonce()), row.nonce);
        let pcrs: std::collections::BTreeMap<_, _> =
            verified.pcrs().map(|(register, pcr)| (register.get().to_string(), pcr.to_string())).collect();
        assert_eq!(pcrs, row.pcrs);
        assert_eq!(verified.measurements().pcr0.to_string(), row.pcrs["0"]);
        assert_eq!(verified.measurements().pcr2.to_string(), row.pcrs["2"]);

        assert_eq!(verified.chain().len(), 5);
        assert_eq!(verified.chain()[0].sha256, caution_attest::AWS_ROOT_G1_SHA256);
        assert_eq!(verified.chain()[0].common_name, "aws.nitro-enclaves");
        let (from, until) = row.chain_valid_unix.unwrap();
        assert_eq!(verified.chain_valid_until(), UnixMillis::from_seconds(until));
        assert_eq!(verified.chain().iter().map(|c| c.not_before).max(), Some(UnixMillis::from_seconds(from)));
        assert!(verified.leaf_valid_until() >= verified.chain_valid_until());
    }
}

#[test]
fn valid_documents_are_stale_outside_their_window() {
    let Some(vectors) = outside_vectors() else { return };
    let rows = index(&vectors);
    for row in in_folder(&rows, "nitro/valid/") {
        let (from, until) = row.chain_valid_unix.unwrap();
        let at = |ms| verify_at(&vectors, row, ms);
        let late = at(until * 1000 + 1).unwrap_err();
        assert!(
            matches!(late, VerifyError::Expired { until: u, .. } if u == UnixMillis::from_seconds(until)),
            "{}: {late}",
            row.file
        );
        assert_eq!(late.kind(), Blame::Stale);
        let early = at(from * 1000 - 1).unwrap_err();
        assert!(matches!(early, VerifyError::NotYetValid { .. }), "{}: {early}", row.file);
        assert_eq!(early.kind(), Blame::Stale);
    }
}

#[test]
fn debug_documents_are_refused_by_name() {
    let Some(vectors) = outside_vectors() else { return };
    let mut refused = 0;
    for row in in_folder(&index(&vectors), "nitro/valid/") {
        let verdict = parse(&vectors, &row.file).unwrap().verify_archived(
            &Roots::aws(),
            &Archived::default(),
            &Expected::default(),
        );
        if row.debug_mode == Some(true) {
            let refusal = verdict.unwrap_err();
            assert_eq!(refusal, VerifyError::DebugMode);
            assert_eq!(refusal.kind(), Blame::Debug);
            refused += 1;
        } else {
            assert!(verdict.is_ok(), "{}", row.file);
        }
    }
    assert_eq!(refused, 18);
}

#[test]
fn invalid_and_nitrotpm_documents_are_refused_by_name() {
    let Some(vectors) = outside_vectors() else { return };
    let rows = index(&vectors);
    for row in in_folder(&rows, "nitro/nitrotpm/") {
        assert_eq!(parse(&vectors, &row.file).err(), Some(Malformed::NitroTpm));
    }
    let invalid = in_folder(&rows, "nitro/invalid/");
    assert_eq!(invalid.len(), 4);
    for row in invalid {
        let at = row.verify_at_unix_ms.unwrap_or(1_713_379_906_000);
        let refusal = verify_at(&vectors, row, at).unwrap_err();
        let expected = match &row.file[row.file.len() - 13..] {
            "15d4f223.cose" | "7df2cdc0.cose" => refusal == VerifyError::DocumentSignature,
            "4164bfae.cose" => matches!(
                refusal,
                VerifyError::Certificate { position: Position::Leaf, cause: CertificateError::Der { .. } }
            ),
            _ => matches!(refusal, VerifyError::Malformed { cause: Malformed::UnprotectedHeader { .. } }),
        };
        assert!(expected, "{}: {refusal}", row.file);
    }
}

#[test]
fn other_roots_vouch_for_nothing() {
    let Some(vectors) = outside_vectors() else { return };
    let pem = |name: &str| {
        let text = std::fs::read_to_string(vectors.join("nitro/context").join(name)).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        data_encoding::BASE64.decode(body.as_bytes()).unwrap()
    };
    assert!(matches!(
        Roots::from_der(&[&pem("tampered_root_cert.crt")]),
        Err(RootError::Certificate { index: 0, .. })
    ));
    let other = Roots::from_der(&[&pem("unknown_ca.crt")]).unwrap();
    for row in in_folder(&index(&vectors), "nitro/valid/") {
        let evidence = parse(&vectors, &row.file).unwrap();
        let refusal = evidence.verify_archived(&other, &Archived::default(), &ALLOWING_DEBUG).unwrap_err();
        assert_eq!(refusal, VerifyError::UnknownRoot { sha256: caution_attest::AWS_ROOT_G1_SHA256 });
        assert_eq!(refusal.kind(), Blame::Untrusted);
    }
}

#[test]
fn a_live_question_is_asked_of_a_real_document() {
    let Some(vectors) = outside_vectors() else { return };
    let rows = index(&vectors);
    let row = rows.iter().find(|row| row.file.ends_with("8ff485d8.cose")).unwrap();
    let at = row.verify_at_unix_ms.unwrap();
    let nonce: Nonce = row.nonce.as_ref().unwrap().parse().unwrap();
    let base = Live { now: UnixMillis(at), nonce: nonce.as_bytes(), max_age_ms: 0 };
    let ask = |live: Live<'_>| parse(&vectors, &row.file)?.verify(&Roots::aws(), &live, &Expected::default());

    assert_eq!(ask(base).unwrap().checked(), Checked::Live(UnixMillis(at)));
    let other = Live { nonce: &nonce.as_bytes()[..31], ..base };
    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let (expected, found) = (hex(other.nonce), hex(nonce.as_bytes()));
    assert_eq!(ask(other).err(), Some(VerifyError::NonceMismatch { expected, found }));
    assert_eq!(ask(Live { nonce: b"", ..base }).err(), Some(VerifyError::EmptyNonce));
    let later = Live { now: UnixMillis(at + 60_001), max_age_ms: 60_001, ..base };
    assert!(ask(later).is_ok());
    assert_eq!(
        ask(Live { max_age_ms: 60_000, ..later }).err(),
        Some(VerifyError::TooOld { age_ms: 60_001, limit_ms: 60_000 })
    );
}

#[test]
fn registers_of_a_real_document_are_compared() {
    let Some(vectors) = outside_vectors() else { return };
    let rows = index(&vectors);
    let row = rows.iter().find(|row| row.file.ends_with("8ff485d8.cose")).unwrap();
    let ask = |expected: Expected<'_>| {
        parse(&vectors, &row.file)?.verify_archived(&Roots::aws(), &Archived::default(), &expected)
    };
    let image = |measurements| ImagePcrs { measurements, pcr8: None };

    let right = ask(Expected::default()).unwrap().measurements();
    let wrong = Measurements { pcr1: Pcr::new([1; 48]), pcr2: Pcr::new([2; 48]), ..right };
    let nearly = Measurements { pcr2: Pcr::new([2; 48]), ..right };
    assert!(ask(Expected { profiles: &[image(wrong), image(right)], ..Expected::default() }).is_ok());
    for (profiles, differing) in [
        (&[image(wrong)][..], &[(1, wrong.pcr1, Some(right.pcr1)), (2, wrong.pcr2, Some(right.pcr2))][..]),
        (&[image(wrong), image(nearly)], &[(2, nearly.pcr2, Some(right.pcr2))]),
    ] {
        let refusal = ask(Expected { profiles, ..Expected::default() }).unwrap_err();
        assert_eq!(refusal.to_string().contains("none of the 2 pinned images"), profiles.len() == 2);
        let VerifyError::PcrMismatch { registers, .. } = refusal else { panic!("another refusal") };
        let registers: Vec<_> = registers.iter().map(|m| (m.register.get(), m.expected, m.actual)).collect();
        assert_eq!(registers, differing);
    }

    let pcr31 = PcrIndex::try_from(31).unwrap();
    let refusal = ask(Expected { registers: &[(pcr31, Pcr::EMPTY)], ..Expected::default() }).unwrap_err();
    assert_eq!(refusal.to_string(), format!("PCR31 is absent, expected {}", Pcr::EMPTY));
    assert_eq!(refusal.kind(), Blame::Mismatch);
    let besides = Expected {
        profiles: &[image(wrong), image(right)],
        registers: &[(pcr31, Pcr::EMPTY)],
        ..Expected::default()
    };
    assert_eq!(ask(besides).err(), Some(refusal), "it is one of the images");
    let zero = Expected { registers: &[(pcr31, Pcr::ZERO)], ..Expected::default() };
    assert_eq!(ask(zero).err(), Some(VerifyError::ZeroExpectation { register: pcr31 }));
}

/// The formula that `specs/attestation.md` gives for PCR3 and PCR4.
#[test]
fn pcr4_is_of_the_parent_instance() {
    let Some(vectors) = outside_vectors() else { return };
    let pcr4 = PcrIndex::try_from(4).unwrap();
    for row in in_folder(&index(&vectors), "nitro/valid/") {
        let at = row.verify_at_unix_ms.unwrap();
        let verified = verify_at(&vectors, row, at).unwrap();
        let (instance, _) = verified.module_id().rsplit_once("-enc").unwrap();
        let expected = Sha384::new().chain_update([0; 48]).chain_update(instance).finalize();
        assert_eq!(verified.pcr(pcr4).unwrap().as_bytes()[..], expected[..], "{}", row.file);
    }
}

/// Our reader of certificates and the `x509-cert` crate read the same from real chains.
#[test]
fn certificates_read_as_another_reader_reads_them() {
    use x509_cert::der::Decode as _;
    let Some(vectors) = outside_vectors() else { return };
    for row in in_folder(&index(&vectors), "nitro/valid/") {
        let evidence = parse(&vectors, &row.file).unwrap();
        let fields = evidence.unverified_fields().clone();
        let verified =
            evidence.verify_archived(&Roots::aws(), &Archived::default(), &ALLOWING_DEBUG).unwrap();
        for (der, summary) in fields.cabundle.iter().chain([&fields.certificate]).zip(verified.chain()) {
            let other = x509_cert::Certificate::from_der(der).unwrap();
            let tbs = other.tbs_certificate();
            let millis =
                |time: x509_cert::time::Time| UnixMillis::from_seconds(time.to_unix_duration().as_secs());
            assert_eq!(summary.not_before, millis(tbs.validity().not_before));
            assert_eq!(summary.not_after, millis(tbs.validity().not_after));
            assert!(tbs.subject().to_string().contains(&format!("CN={}", summary.common_name)));
        }
    }
}
