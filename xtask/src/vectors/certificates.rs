//! Chains with one certificate that is wrong. Everything else, the document's signature included, is
//! honest.

use super::Vector;
use super::scene::{Scene, key, payload_over};
use caution_devnsm::document::der::{bit_string, oid, sequence, tlv};
use caution_devnsm::document::{Certificate, Chain, Extension, key_usage, name};

pub(super) fn vectors(scene: &Scene) -> Vec<Vector> {
    [forms(scene), keys(scene), roles(scene), links(scene)].into_iter().flatten().collect()
}

/// Places in the chain.
const REGION: usize = 1;
const INSTANCE: usize = 3;
const LEAF: usize = 4;

/// Certificates that are not what RFC 5280 describes.
fn forms(scene: &Scene) -> Vec<Vector> {
    let leaf = |name, about, expect, change: fn(&mut Certificate)| {
        Vector::new(name, about, expect, changed(scene, LEAF, change))
    };
    let rewritten = |rewrite: fn(&mut Vec<u8>)| {
        let mut payload = scene.payload();
        rewrite(&mut payload.chain.leaf);
        scene.sign(payload.to_bytes())
    };
    vec![
        Vector::new("certificate-empty", "The leaf certificate is empty.", "Der", rewritten(Vec::clear)),
        Vector::new(
            "certificate-truncated",
            "The leaf's last byte is missing.",
            "Der",
            rewritten(|der| der.truncate(der.len() - 1)),
        ),
        Vector::new(
            "certificate-trailing-byte",
            "A byte follows the leaf.",
            "Der",
            rewritten(|der| der.push(0)),
        ),
        leaf("certificate-issuer-no-name", "The leaf's issuer is no name.", "Der", |c| {
            c.issuer = vec![0x05, 0x00];
        }),
        leaf("certificate-explicit-false", "An extension spells out that it is not critical.", "Der", |c| {
            c.before_extensions = explicit_false();
            c.extensions.clear();
        }),
        leaf("certificate-version-1", "The leaf is of version 1.", "Version", |c| c.version = 0),
        leaf("certificate-version-2", "The leaf is of version 2.", "Version", |c| c.version = 1),
        leaf("certificate-long-serial", "The leaf's serial number has 21 bytes.", "Serial", |c| {
            c.serial = vec![1; 21];
        }),
        leaf("certificate-zero-serial", "The leaf's serial number is zero.", "Der", |c| c.serial = vec![0]),
        leaf(
            "certificate-padded-identifier",
            "An extension's object identifier has a number with a leading zero.",
            "Der",
            |c| c.extensions.push(uncritical(&[0x55, 0x1d, 0x80, 0x7f])),
        ),
        leaf(
            "certificate-huge-identifier",
            "An extension's object identifier has a number of 33 bits.",
            "Der",
            |c| c.extensions.push(uncritical(&[0x55, 0x1d, 0x90, 0x80, 0x80, 0x80, 0x00])),
        ),
        leaf("certificate-unused-bits", "A bit of keyUsage that is unused is set.", "Der", |c| {
            c.extensions[1].value = tlv(0x03, &[&[7, 0x81]]);
        }),
        leaf(
            "certificate-two-algorithms",
            "The leaf names two signature algorithms.",
            "AlgorithmsDiffer",
            |c| {
                c.outer_algorithm = ecdsa_sha256();
            },
        ),
        leaf("certificate-unique-identifier", "The leaf has a subjectUniqueID.", "UniqueIdentifier", |c| {
            c.before_extensions = tlv(0x82, &[&[0, 1]]);
        }),
        leaf(
            "certificate-duplicate-extension",
            "The leaf has two keyUsage extensions.",
            "DuplicateExtension",
            |c| {
                c.extensions.push(Extension::key_usage(key_usage::DIGITAL_SIGNATURE));
            },
        ),
    ]
}

fn keys(scene: &Scene) -> Vec<Vector> {
    let leaf = |name, about, expect, change: fn(&mut Certificate)| {
        Vector::new(name, about, expect, changed(scene, LEAF, change))
    };
    vec![
        leaf("certificate-sha256", "The leaf says it is signed with SHA-256.", "SignatureAlgorithm", |c| {
            c.inner_algorithm = ecdsa_sha256();
            c.outer_algorithm = ecdsa_sha256();
        }),
        leaf("certificate-p256-key", "The leaf's key says it is on P-256.", "KeyAlgorithm", |c| {
            c.key = spki(P256, &[&[4][..], &[1; 64]].concat());
        }),
        leaf("certificate-compressed-key", "The leaf's key is a compressed point.", "KeyPoint", |c| {
            let point = key("enclave").verifying_key().to_sec1_point(true);
            c.key = spki(P384, point.as_bytes());
        }),
        leaf("certificate-key-off-curve", "The leaf's key is not on the curve.", "KeyPoint", |c| {
            c.key = spki(P384, &[&[4][..], &[1; 96]].concat());
        }),
    ]
}

/// Certificates not entitled to their place.
fn roles(scene: &Scene) -> Vec<Vector> {
    let case = |name, about, expect, place, change: fn(&mut Certificate)| {
        Vector::new(name, about, expect, changed(scene, place, change))
    };
    vec![
        case(
            "certificate-unknown-critical-leaf",
            "The leaf has an unknown critical extension.",
            "UnknownCriticalExtension",
            LEAF,
            |c| {
                c.extensions.push(name_constraints());
            },
        ),
        case(
            "certificate-unknown-critical-authority",
            "An authority has critical name constraints.",
            "UnknownCriticalExtension",
            REGION,
            |c| c.extensions.push(name_constraints()),
        ),
        case("certificate-authority-is-none", "The leaf's issuer is no authority.", "NotCa", INSTANCE, |c| {
            c.extensions[0] = Extension::basic_constraints(false, None);
        }),
        case(
            "certificate-no-basic-constraints",
            "The leaf's issuer has no basicConstraints.",
            "NotCa",
            INSTANCE,
            |c| {
                c.extensions.remove(0);
            },
        ),
        case(
            "certificate-no-cert-sign",
            "An authority may not sign certificates.",
            "NoCertSign",
            REGION,
            |c| {
                c.extensions[1] = Extension::key_usage(key_usage::DIGITAL_SIGNATURE | key_usage::CRL_SIGN);
            },
        ),
        case(
            "certificate-authority-no-key-usage",
            "An authority has no keyUsage.",
            "NoCertSign",
            REGION,
            |c| {
                c.extensions.remove(1);
            },
        ),
        case(
            "certificate-path-length",
            "An authority allows one below it and has two.",
            "PathLength",
            REGION,
            |c| {
                c.extensions[0] = Extension::basic_constraints(true, Some(1));
            },
        ),
        case("certificate-leaf-is-authority", "The leaf is an authority.", "LeafIsCa", LEAF, |c| {
            c.extensions[0] = Extension::basic_constraints(true, None);
        }),
        case(
            "certificate-leaf-no-signature-usage",
            "The leaf may only sign certificates.",
            "NoDigitalSignature",
            LEAF,
            |c| {
                c.extensions[1] = Extension::key_usage(key_usage::KEY_CERT_SIGN);
            },
        ),
        case("certificate-leaf-no-key-usage", "The leaf has no keyUsage.", "NoDigitalSignature", LEAF, |c| {
            c.extensions.remove(1);
        }),
    ]
}

/// Certificates that do not hang together.
fn links(scene: &Scene) -> Vec<Vector> {
    let over = |chain: Chain| scene.sign(payload_over(chain).to_bytes());
    let honest = || scene.chain_with(|_, _| {});
    let mut swapped = honest();
    swapped.bundle.swap(1, 2);
    let mut shortened = honest();
    shortened.bundle.remove(2);
    // A stranger's chain has the same names and other keys: names alone link nothing.
    let mut strangers = Scene::new();
    strangers.keys.intermediates[2] = key("stranger");
    let mut forged = honest();
    forged.leaf = strangers.chain_with(|_, _| {}).leaf;
    let mut flipped = honest();
    if let Some(last) = flipped.bundle[1].last_mut() {
        *last ^= 1;
    }
    vec![
        Vector::new(
            "certificate-other-issuer-name",
            "The leaf names another issuer.",
            "IssuerName",
            changed(scene, LEAF, |c| c.issuer = name("DEVELOPMENT, not hardware: nobody")),
        ),
        Vector::new(
            "certificate-order",
            "Two authorities stand in each other's place.",
            "PathLength",
            over(swapped),
        ),
        Vector::new("certificate-gap", "One authority is left out.", "IssuerName", over(shortened)),
        Vector::new("certificate-forged-leaf", "A stranger signed the leaf.", "Signature", over(forged)),
        Vector::new(
            "certificate-flipped-signature",
            "One bit of an authority's signature is flipped.",
            "Signature",
            over(flipped),
        ),
    ]
}

fn changed(scene: &Scene, at: usize, change: fn(&mut Certificate)) -> Vec<u8> {
    scene.certified(|place, certificate| {
        if place == at {
            change(certificate);
        }
    })
}

/// `extensions [3]` with a keyUsage whose `critical FALSE` is spelt out, which DER forbids.
fn explicit_false() -> Vec<u8> {
    let usage = Extension::key_usage(key_usage::DIGITAL_SIGNATURE);
    let extension = sequence(&[&oid(&usage.oid), &[0x01, 0x01, 0x00], &tlv(0x04, &[&usage.value])]);
    tlv(0xa3, &[&sequence(&[&extension])])
}

fn name_constraints() -> Extension {
    Extension { oid: vec![0x55, 0x1d, 0x1e], critical: true, value: sequence(&[]) }
}

fn uncritical(oid: &[u8]) -> Extension {
    Extension { oid: oid.to_vec(), critical: false, value: sequence(&[]) }
}

fn ecdsa_sha256() -> Vec<u8> {
    sequence(&[&oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02])])
}

fn spki(curve: &[u8], point: &[u8]) -> Vec<u8> {
    let ec = oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    sequence(&[&sequence(&[&ec, &oid(curve)]), &bit_string(point)])
}

const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
