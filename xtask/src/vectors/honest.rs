//! Documents that verify: every freedom a verifier must leave.

use super::Vector;
use super::scene::{NONCE, NOON_MS, PCRS, Scene, WINDOW};
use caution_devnsm::document::{Document, Extension, Keys, Value, key_usage};

pub(super) fn vectors(scene: &Scene) -> Vec<Vector> {
    [encodings(scene), contents(scene), chains(scene), questions(scene)].into_iter().flatten().collect()
}

fn encodings(scene: &Scene) -> Vec<Vector> {
    let payload = scene.payload();
    let definite = Value::Map(payload.entries()).to_bytes();
    let tagged = Document { tag: Some(18), ..Document::new(payload.to_bytes()) };
    let pcrs = payload.pcrs.iter().map(|(n, pcr)| (Value::Uint(*n), Value::Bytes(pcr.clone())));
    vec![
        ok(
            "ok-indefinite-map",
            "The payload as modules write it since 2025.",
            scene.sign(payload.to_bytes()),
        ),
        ok("ok-definite-map", "The payload as modules wrote it until 2025.", scene.sign(definite)),
        ok("ok-tagged", "CBOR tag 18 stands in front.", tagged.sign(&scene.keys.leaf)),
        ok(
            "ok-indefinite-pcrs",
            "The map of registers has an indefinite length.",
            scene.field("pcrs", Value::IndefiniteMap(pcrs.collect())),
        ),
        ok(
            "ok-other-field-order",
            "The payload's fields stand in reverse order.",
            scene.entries(|e| e.reverse()),
        ),
        ok(
            "ok-optional-fields-absent",
            "public_key, user_data and nonce are absent instead of null.",
            scene.entries(|entries| entries.truncate(6)),
        ),
    ]
}

fn contents(scene: &Scene) -> Vec<Vector> {
    vec![
        ok(
            "ok-empty-caller-fields",
            "public_key, user_data and nonce are empty.",
            scene.saying(|p| {
                p.public_key = Some(vec![]);
                p.user_data = Some(vec![]);
                p.nonce = Some(vec![]);
            }),
        ),
        ok(
            "ok-longest-caller-fields",
            "public_key, user_data and nonce have 1024 bytes each.",
            scene.saying(|p| {
                p.public_key = Some(vec![1; 1024]);
                p.user_data = Some(vec![2; 1024]);
                p.nonce = Some(vec![3; 1024]);
            }),
        ),
        ok(
            "ok-32-registers",
            "All 32 registers are there, as in documents since 2026.",
            scene.saying(|p| p.pcrs.extend((16..32).map(|n| (n, vec![0; 48])))),
        ),
        ok("ok-3-registers", "Only PCR0, PCR1 and PCR2 are there.", scene.saying(|p| p.pcrs.truncate(3))),
    ]
}

fn chains(scene: &Scene) -> Vec<Vector> {
    let critical = |critical| {
        move |place: usize, certificate: &mut caution_devnsm::document::Certificate| {
            if place == 4 {
                // An object identifier under "example" that nobody knows.
                let oid = vec![0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xe6, 0x25, 0x01];
                certificate.extensions.push(Extension { oid, critical, value: vec![0x05, 0x00] });
            }
        }
    };
    let short = Scene {
        keys: Keys {
            intermediates: vec![scene.keys.intermediates[0].clone()],
            root: scene.keys.root.clone(),
            leaf: scene.keys.leaf.clone(),
        },
        ..*scene
    };
    vec![
        ok(
            "ok-unknown-extension-not-critical",
            "The leaf has an unknown extension that is not critical.",
            scene.certified(critical(false)),
        ),
        ok(
            "ok-one-intermediate",
            "One authority between root and leaf.",
            short.sign(short.payload().to_bytes()),
        ),
        ok(
            "ok-leaf-without-basic-constraints",
            "The leaf has no basicConstraints, which means no authority.",
            scene.certified(|place, c| {
                if place == 4 {
                    c.extensions = vec![Extension::key_usage(key_usage::DIGITAL_SIGNATURE)];
                }
            }),
        ),
    ]
}

fn questions(scene: &Scene) -> Vec<Vector> {
    let honest = || scene.sign(scene.payload().to_bytes());
    let debug = || {
        scene.saying(|p| {
            for (_, pcr) in &mut p.pcrs {
                pcr.fill(0);
            }
        })
    };
    let at = |name, about, at| Vector { at: Some(at), ..ok(name, about, honest()) };
    let other = [[0xb0; 48]; 3];
    vec![
        Vector { at: None, ..ok("ok-at-its-own-time", "Kept, and checked at its own time.", honest()) },
        at("ok-at-first-moment-of-skew", "Checked five minutes before it was signed.", NOON_MS - 300_000),
        at("ok-at-last-moment", "Checked in the chain's last millisecond.", WINDOW.1 * 1000),
        Vector {
            nonce: Some(NONCE.to_vec()),
            max_age_ms: Some(0),
            ..ok("ok-live", "It carries the challenge and was signed this very millisecond.", honest())
        },
        Vector {
            nonce: Some(NONCE.to_vec()),
            ..ok("ok-archived-nonce", "It was kept, and so was the challenge that it carries.", honest())
        },
        Vector {
            at: Some(NOON_MS + 60_000),
            nonce: Some(NONCE.to_vec()),
            max_age_ms: Some(60_000),
            ..ok("ok-oldest", "It is exactly as old as may be.", honest())
        },
        Vector {
            profiles: vec![other, PCRS],
            ..ok("ok-one-of-two-images", "It is the second of two pinned images.", honest())
        },
        Vector {
            profiles: vec![PCRS],
            registers: vec![(8, [0xa8; 48]), (0, PCRS[0])],
            ..ok(
                "ok-expected-registers",
                "PCR0, PCR1, PCR2 and PCR8 are as expected.",
                scene.saying(|p| p.pcrs[8].1.fill(0xa8)),
            )
        },
        Vector {
            allow_debug: true,
            ..ok("ok-debug-allowed", "A debug enclave, where the policy allows one.", debug())
        },
    ]
}

fn ok(name: &'static str, about: &'static str, document: Vec<u8>) -> Vector {
    Vector::new(name, about, "ok", document)
}
