//! Images made by the AWS builder, with what its own tools say about them.

use caution_eif::{EifError, Limits, SectionKind, SignatureError, read};
use caution_measure::{Measurements, Pcr};
use std::path::PathBuf;

/// The folder of outside vectors, or `None` with a loud line.
fn vectors() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where the outside vectors lie is said by the environment")]
    let named = std::env::var_os("CAUTION_VECTORS").map(PathBuf::from);
    let folder = named
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"))
        .join("eif");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("NOT TESTED: no outside vectors in {} (set CAUTION_VECTORS)", folder.display());
    None
}

#[test]
fn images_of_the_aws_builder_measure_as_its_own_tools_say() {
    let Some(folder) = vectors() else { return };
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let mut accepted = 0;
    for (name, expected) in index.as_object().unwrap() {
        // The list also names files that are not handed out.
        if name.starts_with("broken/") || !folder.join(name).exists() {
            continue;
        }
        let file = std::fs::read(folder.join(name)).unwrap();
        let image =
            read(file.as_slice(), &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let pcr =
            |register: &str| -> Pcr { expected["tool_pcrs"][register].as_str().unwrap().parse().unwrap() };
        let wanted = Measurements { pcr0: pcr("PCR0"), pcr1: pcr("PCR1"), pcr2: pcr("PCR2") };
        assert_eq!(image.measurements, wanted, "{name}");
        assert_eq!(image.sha256.to_string(), expected["sha256"].as_str().unwrap(), "{name}");
        assert_eq!(image.size, expected["size"].as_u64().unwrap(), "{name}");
        assert_eq!(image.has_signature(), name.starts_with("signed"), "{name}");
        let pcr8_unverified = image.pcr8_unverified().unwrap().map(|pcr8| pcr8.to_string());
        assert_eq!(pcr8_unverified.as_deref(), expected["tool_pcrs"]["PCR8"].as_str(), "{name}");
        let pcr8 = image.signature().map(|found| found.map(|certificate| certificate.pcr8.to_string()));
        if name.contains("p256") {
            assert!(matches!(pcr8, Err(SignatureError::CertificateKind { .. })), "{name}: {pcr8:?}");
        } else {
            let expected = expected["pcrs"]["PCR8"].as_str().map(str::to_owned);
            assert_eq!(pcr8, Ok(expected), "{name}");
        }
        assert_eq!(image.sections.len() as u64, expected["num_sections"].as_u64().unwrap(), "{name}");
        assert_eq!(image.sections_of(SectionKind::Metadata).count(), 1, "{name}");
        accepted += 1;
    }
    assert!(accepted >= 6, "{accepted}");
}

#[test]
fn broken_images_are_refused_for_the_listed_reason() {
    let Some(folder) = vectors() else { return };
    let found = |name: &str| {
        let file = std::fs::read(folder.join("broken").join(name)).unwrap();
        read(file.as_slice(), &Limits::default()).unwrap_err()
    };
    assert!(matches!(found("bad-crc.eif"), EifError::Crc { .. }));
    assert!(matches!(found("tampered-ramdisk1-crc-not-fixed.eif"), EifError::Crc { .. }));
    assert!(matches!(found("bad-magic.eif"), EifError::Magic { .. }));
    assert!(matches!(found("truncated.eif"), EifError::Truncated { .. }));
}
