//! Well-formed documents that do not verify: headers, roots, signatures, time, content, policy.

use super::Vector;
use super::scene::{NONCE, NOON, NOON_MS, PCRS, Scene, WINDOW, key};
use caution_devnsm::document::{Certificate, Document, Value};

pub(super) fn vectors(scene: &Scene) -> Vec<Vector> {
    [
        headers(scene),
        roots(scene),
        signatures(scene),
        time(scene),
        content(scene),
        freshness(scene),
        debug(scene),
        registers(scene),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn headers(scene: &Scene) -> Vec<Vector> {
    let payload = scene.payload().to_bytes();
    let protected = |name, about, bytes: &[u8]| {
        let document = Document { protected: bytes.to_vec(), ..Document::new(payload.clone()) };
        Vector::new(name, about, "ProtectedHeader", document.sign(&scene.keys.leaf))
    };
    let length = |name, about, bytes: &[u8]| {
        Vector::new(name, about, "SignatureLength", Document::new(payload.clone()).with_signature(bytes))
    };
    vec![
        protected("header-es256", "The header says ES256, over a signature of ES384.", &[0xa1, 0x01, 0x26]),
        protected("header-empty", "The protected header is empty.", &[]),
        protected(
            "header-key-id",
            "The header also names a key.",
            &[0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x31],
        ),
        protected(
            "header-long-form",
            "The header's algorithm is not in shortest form.",
            &[0xa1, 0x01, 0x39, 0x00, 0x22],
        ),
        length("signature-95-bytes", "The signature has 95 bytes.", &[1; 95]),
        length("signature-97-bytes", "The signature has 97 bytes.", &[1; 97]),
        length("signature-empty", "The signature is empty.", &[]),
        Vector::new(
            "qemu-unsigned",
            "What QEMU's nitro-enclave machine makes: no algorithm, no signature, no certificate, zero bytes for each.",
            "UnsignedQemuDocument",
            qemu(scene),
        ),
    ]
}

/// The shape of a document that QEMU 10.0 made (`hw/virtio/virtio-nsm.c`).
fn qemu(scene: &Scene) -> Vec<u8> {
    let mut payload = scene.payload();
    payload.chain.leaf = vec![0; 64];
    payload.chain.bundle = vec![vec![0; 64]];
    let payload = Value::Map(payload.entries()).to_bytes();
    Document { protected: vec![0xa1, 0x01, 0x20], ..Document::new(payload) }.with_signature(&[0; 64])
}

fn roots(scene: &Scene) -> Vec<Vector> {
    let case = |name, about, document| Vector::new(name, about, "UnknownRoot", document);
    let mut other = Scene::new();
    other.keys.root = key("other root");
    // The same key and name and a later end: another certificate, so another root.
    let mut renewed = Scene::new();
    renewed.window.root.1 += 1;
    let mut rootless = scene.payload();
    rootless.chain.bundle.remove(0);
    let mut reversed = scene.payload();
    reversed.chain.bundle.reverse();
    vec![
        case("root-other", "The chain starts at another root.", other.sign(other.payload().to_bytes())),
        case(
            "root-renewed",
            "The root has the trusted key in another certificate.",
            renewed.sign(renewed.payload().to_bytes()),
        ),
        case("root-left-out", "The bundle starts below the root.", scene.sign(rootless.to_bytes())),
        case("root-last", "The bundle stands in reverse order.", scene.sign(reversed.to_bytes())),
        case(
            "order-other-root-zero-signature",
            "The chain starts at another root, and the signature is zero.",
            Document::new(other.payload().to_bytes()).with_signature(&[0; 96]),
        ),
        Vector {
            root: scene.chain_with(|_, _| {}).bundle.swap_remove(1),
            ..case(
                "root-not-the-one-named",
                "An intermediate is named as the root.",
                scene.sign(scene.payload().to_bytes()),
            )
        },
    ]
}

fn signatures(scene: &Scene) -> Vec<Vector> {
    let payload = scene.payload().to_bytes();
    let honest = scene.sign(payload.clone());
    let signature = &honest[honest.len() - 96..];
    let case = |name, about, document| Vector::new(name, about, "DocumentSignature", document);
    let other = scene.saying(|p| p.nonce = Some(vec![0; 32]));
    let other_signature = &other[other.len() - 96..];
    let swapped = [&signature[48..], &signature[..48]].concat();
    let mut flipped = signature.to_vec();
    flipped[95] ^= 1;
    let document = || Document::new(payload.clone());
    vec![
        case(
            "signature-flipped",
            "One bit of the signature is flipped.",
            document().with_signature(&flipped),
        ),
        case("signature-zero", "The signature is zero.", document().with_signature(&[0; 96])),
        case(
            "signature-of-another",
            "The signature belongs to another document.",
            document().with_signature(other_signature),
        ),
        case(
            "signature-halves-swapped",
            "The signature's halves are swapped.",
            document().with_signature(&swapped),
        ),
        case(
            "signature-by-issuer",
            "The leaf's issuer signed the document.",
            document().sign(&scene.keys.intermediates[2]),
        ),
        case("signature-by-stranger", "A stranger signed the document.", document().sign(&key("stranger"))),
    ]
}

fn time(scene: &Scene) -> Vec<Vector> {
    let honest = || scene.sign(scene.payload().to_bytes());
    let at = |name, about, expect, at| Vector { at: Some(at), ..Vector::new(name, about, expect, honest()) };
    let ending = |place, seconds| {
        scene.certified(move |index, c: &mut Certificate| {
            if index == place {
                c.not_after = seconds;
            }
        })
    };
    let saying = |name, about, timestamp_ms| {
        let document = scene.saying(|p| p.timestamp_ms = timestamp_ms);
        Vector::new(name, about, "TimestampOutsideLeaf", document)
    };
    let mut young_root = Scene::new();
    young_root.window.root = (NOON + 1, NOON + 700_000_000);
    vec![
        at(
            "time-before-chain",
            "Checked a millisecond before the chain is valid.",
            "NotYetValid",
            WINDOW.0 * 1000 - 1,
        ),
        at(
            "time-after-chain",
            "Checked a millisecond after the chain was valid.",
            "Expired",
            WINDOW.1 * 1000 + 1,
        ),
        at("time-in-1970", "Checked by a clock that was never set.", "NotYetValid", 0),
        at("time-in-the-far-future", "Checked at the end of time.", "Expired", u64::MAX >> 11),
        Vector::new(
            "time-expired-authority",
            "An authority expired before the leaf.",
            "Expired",
            ending(2, NOON - 1),
        ),
        Vector {
            root: young_root.root(),
            ..Vector::new(
                "time-root-not-yet-valid",
                "The root is not valid yet.",
                "NotYetValid",
                young_root.sign(young_root.payload().to_bytes()),
            )
        },
        saying("time-signed-before-leaf", "The document is older than its certificate.", WINDOW.0 * 1000 - 1),
        saying(
            "time-signed-after-leaf",
            "The document is younger than its certificate.",
            WINDOW.1 * 1000 + 1,
        ),
        saying("time-in-seconds", "The document's time is in seconds.", NOON),
        at(
            "time-from-the-future",
            "Checked more than five minutes before it was signed.",
            "FromTheFuture",
            NOON_MS - 300_001,
        ),
        Vector {
            at: Some(NOON_MS + 60_001),
            nonce: Some(NONCE.to_vec()),
            max_age_ms: Some(60_000),
            ..Vector::new("time-too-old", "It is a millisecond too old.", "TooOld", honest())
        },
        Vector {
            at: None,
            ..Vector::new(
                "time-own-outside-leaf",
                "Kept, and its own time is before its certificate's.",
                "NotYetValid",
                scene.saying(|p| p.timestamp_ms = WINDOW.0 * 1000 - 1),
            )
        },
    ]
}

fn content(scene: &Scene) -> Vec<Vector> {
    let digest = |name, about, text: &str| {
        Vector::new(name, about, "Digest", scene.field("digest", Value::text(text)))
    };
    let missing = |name, about, register: u64| {
        Vector::new(name, about, "MissingPcr", scene.saying(|p| p.pcrs.retain(|(n, _)| *n != register)))
    };
    vec![
        digest("content-sha256", "The digest is SHA256.", "SHA256"),
        digest("content-digest-lower-case", "The digest is sha384.", "sha384"),
        Vector::new(
            "content-no-module",
            "The module has no name.",
            "EmptyModuleId",
            scene.saying(|p| p.module_id.clear()),
        ),
        missing("content-no-pcr0", "PCR0 is absent.", 0),
        missing("content-no-pcr2", "PCR2 is absent.", 2),
        Vector::new(
            "content-no-registers",
            "There is no register.",
            "MissingPcr",
            scene.saying(|p| p.pcrs.clear()),
        ),
    ]
}

fn freshness(scene: &Scene) -> Vec<Vector> {
    let honest = || scene.sign(scene.payload().to_bytes());
    let nonce = |name, about, expect, nonce: &[u8], document| Vector {
        nonce: Some(nonce.to_vec()),
        ..Vector::new(name, about, expect, document)
    };
    let no_nonce = || scene.saying(|p| p.nonce = None);
    vec![
        nonce("nonce-other", "It carries another challenge.", "NonceMismatch", &[0x6f; 32], honest()),
        nonce("nonce-prefix", "It carries more than the challenge.", "NonceMismatch", &NONCE[..31], honest()),
        nonce("nonce-missing", "It carries no challenge.", "NonceMissing", &NONCE, no_nonce()),
        nonce("nonce-empty-question", "The challenge is empty.", "EmptyNonce", &[], honest()),
        Vector {
            max_age_ms: Some(60_000),
            ..nonce(
                "nonce-other-live",
                "A live answer to another challenge.",
                "NonceMismatch",
                &[0x6f; 32],
                honest(),
            )
        },
    ]
}

fn debug(scene: &Scene) -> Vec<Vector> {
    let partly = |name, about, registers| Vector {
        allow_debug: true,
        ..Vector::new(name, about, "PartlyZero", zeroed(scene, registers))
    };
    vec![
        Vector::new("debug-refused", "A debug enclave.", "DebugMode", zeroed(scene, &[0, 1, 2])),
        partly("debug-partly-zero", "PCR0 is zero and PCR1 and PCR2 are not.", &[0]),
        partly("debug-mostly-zero", "PCR0 and PCR1 are zero and PCR2 is not.", &[0, 1]),
        Vector::new(
            "order-expired-debug",
            "Expired, another challenge and in debug mode: what is wrong first is reported.",
            "Expired",
            scene.saying(|p| {
                for (_, pcr) in &mut p.pcrs {
                    pcr.fill(0);
                }
            }),
        )
        .late(),
    ]
}

/// The honest document but for these registers, which are zero.
fn zeroed(scene: &Scene, registers: &[usize]) -> Vec<u8> {
    scene.saying(|p| {
        for register in registers {
            p.pcrs[*register].1.fill(0);
        }
    })
}

fn registers(scene: &Scene) -> Vec<Vector> {
    let honest = || scene.sign(scene.payload().to_bytes());
    let images = |name, about, profiles: &[[[u8; 48]; 3]]| Vector {
        profiles: profiles.to_vec(),
        ..Vector::new(name, about, "PcrMismatch", honest())
    };
    let zero_expected = |vector| Vector { expect: "ZeroExpectation", ..vector };
    let register = |name, about, register| Vector {
        registers: vec![register],
        ..Vector::new(name, about, "PcrMismatch", honest())
    };
    let of_debug = |vector| Vector { allow_debug: true, document: zeroed(scene, &[0, 1, 2]), ..vector };
    let zero = [[0; 48]; 3];
    vec![
        images("pcr0-other", "PCR0 is another one.", &[[[0xb0; 48], PCRS[1], PCRS[2]]]),
        images("pcr-all-other", "PCR0, PCR1 and PCR2 are others.", &[[[0xb0; 48]; 3]]),
        images(
            "pcr-swapped",
            "PCR1 and PCR2 are expected in each other's place.",
            &[[PCRS[0], PCRS[2], PCRS[1]]],
        ),
        images(
            "pcr-mixed-images",
            "Each register is one of two pinned images, and all are of neither.",
            &[[PCRS[0], [0xb1; 48], [0xb2; 48]], [[0xb0; 48], PCRS[1], PCRS[2]]],
        ),
        zero_expected(images(
            "pcr-zero-second-image",
            "The second of two pinned images has a register that is zero.",
            &[PCRS, [PCRS[0], [0; 48], PCRS[2]]],
        )),
        register("pcr8-zero", "PCR8 is zero, so nobody signed the image.", (8, [0xa8; 48])),
        register("pcr20-absent", "PCR20 is expected and absent.", (20, [0xa8; 48])),
        zero_expected(register("pcr-zero-expected", "PCR4 is expected to be zero.", (4, [0; 48]))),
        zero_expected(of_debug(images(
            "pcr-debug-expected",
            "A debug enclave is what is expected.",
            &[zero],
        ))),
        of_debug(images("pcr-of-debug", "A debug enclave is allowed and its registers are not.", &[PCRS])),
    ]
}

impl Vector {
    /// Asked after the chain's end, with a challenge it does not carry.
    fn late(self) -> Self {
        Self { at: Some(WINDOW.1 * 1000 + 1), nonce: Some(vec![0; 32]), ..self }
    }
}
