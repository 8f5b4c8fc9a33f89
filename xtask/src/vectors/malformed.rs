//! Bytes that are no document. All that can be signed is honestly signed: only the reader can refuse.

use super::Vector;
use super::scene::Scene;
use caution_devnsm::document::{Document, Value};

pub(super) fn vectors(scene: &Scene) -> Vec<Vector> {
    [structure(scene), encodings(scene), lengths(scene), fields(scene), registers(scene)]
        .into_iter()
        .flatten()
        .collect()
}

/// The COSE_Sign1 structure.
fn structure(scene: &Scene) -> Vec<Vector> {
    let payload = scene.payload().to_bytes();
    let honest = scene.sign(payload.clone());
    let with = |document: Document| document.sign(&scene.keys.leaf);
    let cut = |length: usize| honest[..length].to_vec();
    let spliced = |head: &[u8], tail: &[u8]| [head, &honest[1..], tail].concat();
    let unprotected = |value| with(Document { unprotected: value, ..Document::new(payload.clone()) });
    let tagged = |tag| with(Document { tag: Some(tag), ..Document::new(payload.clone()) });
    let case = Vector::new;
    vec![
        case("malformed-empty", "No bytes at all.", "Truncated", vec![]),
        case(
            "malformed-truncated-in-signature",
            "The last byte is missing.",
            "Truncated",
            cut(honest.len() - 1),
        ),
        case("malformed-truncated-in-payload", "It ends inside the payload.", "Truncated", cut(1000)),
        case(
            "malformed-trailing-byte",
            "A byte follows the document.",
            "TrailingBytes",
            spliced(&honest[..1], &[0]),
        ),
        case("malformed-tag-17", "CBOR tag 17 (COSE_Mac0) stands in front.", "Tag", tagged(17)),
        case(
            "malformed-tag-twice",
            "CBOR tag 18 stands in front twice.",
            "UnexpectedType",
            [&[0xd2][..], &tagged(18)].concat(),
        ),
        case(
            "malformed-three-elements",
            "The array has three elements.",
            "CoseLength",
            spliced(&[0x83], &[]),
        ),
        case(
            "malformed-five-elements",
            "The array has five elements.",
            "CoseLength",
            spliced(&[0x85], &[0xf6]),
        ),
        case(
            "malformed-indefinite-cose",
            "The array has no stated length.",
            "IndefiniteLength",
            spliced(&[0x9f], &[0xff]),
        ),
        case(
            "malformed-map-instead-of-array",
            "The structure is a map.",
            "UnexpectedType",
            spliced(&[0xa2], &[]),
        ),
        case(
            "malformed-unprotected-null",
            "The unprotected header is null.",
            "UnprotectedHeader",
            unprotected(Value::Null),
        ),
        case(
            "malformed-unprotected-entry",
            "The unprotected header names an algorithm.",
            "UnprotectedHeader",
            unprotected(Value::Map(vec![(Value::Uint(1), Value::Raw(vec![0x38, 0x22]))])),
        ),
        case(
            "malformed-unprotected-indefinite",
            "The unprotected header is the empty map of indefinite length.",
            "UnprotectedHeader",
            unprotected(Value::IndefiniteMap(vec![])),
        ),
        case(
            "malformed-detached-payload",
            "The payload is null, as if it came another way.",
            "UnexpectedType",
            [&[0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0xf6, 0x58, 0x60][..], &[1; 96]].concat(),
        ),
    ]
}

/// CBOR that could be written shorter or otherwise.
fn encodings(scene: &Scene) -> Vec<Vector> {
    let payload = scene.payload();
    let raw = |bytes: &[u8]| Value::Raw(bytes.to_vec());
    let bundle: Vec<u8> =
        payload.chain.bundle.iter().flat_map(|der| Value::Bytes(der.clone()).to_bytes()).collect();
    let long_map = [&[0xb8, 9][..], &Value::Map(payload.entries()).to_bytes()[1..]].concat();
    let unending = {
        let mut bytes = payload.to_bytes();
        bytes.pop();
        bytes
    };
    let followed = [payload.to_bytes(), vec![0xf6]].concat();
    vec![
        Vector::new(
            "malformed-long-map-head",
            "The payload's head is longer than need be.",
            "NotShortest",
            scene.sign(long_map),
        ),
        Vector::new(
            "malformed-long-number",
            "PCR0's number is written in two bytes.",
            "NotShortest",
            scene.field("pcrs", raw(&[0xa1, 0x18, 0x00, 0x40])),
        ),
        Vector::new(
            "malformed-long-length",
            "The digest's length is written in two bytes.",
            "NotShortest",
            scene.field("digest", raw(b"\x78\x06SHA384")),
        ),
        Vector::new(
            "malformed-reserved-head",
            "An item starts with a reserved byte.",
            "ReservedHead",
            scene.field("timestamp", raw(&[0x1c])),
        ),
        Vector::new(
            "malformed-indefinite-cabundle",
            "cabundle is an array without stated length.",
            "IndefiniteLength",
            scene.field("cabundle", Value::Raw([&[0x9f][..], &bundle, &[0xff]].concat())),
        ),
        Vector::new(
            "malformed-indefinite-string",
            "user_data comes in chunks.",
            "IndefiniteLength",
            scene.field("user_data", raw(&[0x5f, 0x41, 0x61, 0xff])),
        ),
        Vector::new(
            "malformed-not-utf8",
            "module_id is not UTF-8.",
            "NotUtf8",
            scene.field("module_id", raw(&[0x62, 0xc3, 0x28])),
        ),
        Vector::new(
            "malformed-payload-trailing",
            "A null follows the payload's map.",
            "TrailingBytes",
            scene.sign(followed),
        ),
        Vector::new(
            "malformed-payload-unending",
            "The payload's map has no end.",
            "Truncated",
            scene.sign(unending),
        ),
    ]
}

/// More than a reader takes.
fn lengths(scene: &Scene) -> Vec<Vector> {
    let bundle = |count| {
        let der = scene.root();
        Value::Array((0..count).map(|_| Value::Bytes(der.clone())).collect())
    };
    let long = |name, about, field, length| {
        Vector::new(name, about, "FieldTooLong", scene.field(field, Value::Bytes(vec![7; length])))
    };
    let many =
        |count: u64| Value::Map((0..count).map(|n| (Value::Uint(n), Value::Bytes(vec![0; 48]))).collect());
    let mut protected = Document::new(scene.payload().to_bytes());
    protected.protected = vec![0xa0; 65];
    vec![
        Vector::new(
            "malformed-too-long",
            "16385 bytes, one more than are read.",
            "TooLong",
            vec![0x84; 16385],
        ),
        long("malformed-user-data-1025", "user_data has 1025 bytes.", "user_data", 1025),
        long("malformed-nonce-1025", "nonce has 1025 bytes.", "nonce", 1025),
        long("malformed-public-key-1025", "public_key has 1025 bytes.", "public_key", 1025),
        long("malformed-certificate-1025", "certificate has 1025 bytes.", "certificate", 1025),
        Vector::new(
            "malformed-module-id-257",
            "module_id has 257 bytes.",
            "FieldTooLong",
            scene.field("module_id", Value::text(&"i".repeat(257))),
        ),
        Vector::new(
            "malformed-protected-65",
            "The protected header has 65 bytes.",
            "FieldTooLong",
            protected.sign(&scene.keys.leaf),
        ),
        Vector::new(
            "malformed-signature-257",
            "The signature has 257 bytes.",
            "FieldTooLong",
            Document::new(scene.payload().to_bytes()).with_signature(&[1; 257]),
        ),
        Vector::new(
            "malformed-huge-length",
            "user_data claims 2⁶⁴ - 1 bytes.",
            "FieldTooLong",
            scene.field("user_data", Value::Raw([&[0x5b][..], &[0xff; 8]].concat())),
        ),
        Vector::new(
            "malformed-cabundle-9",
            "cabundle has 9 certificates.",
            "TooManyEntries",
            scene.field("cabundle", bundle(9)),
        ),
        Vector::new(
            "malformed-cabundle-empty",
            "cabundle has no certificate.",
            "EmptyCabundle",
            scene.field("cabundle", bundle(0)),
        ),
        Vector::new(
            "malformed-33-registers",
            "There are 33 registers.",
            "TooManyEntries",
            scene.field("pcrs", many(33)),
        ),
        Vector::new(
            "malformed-17-fields",
            "The payload's map says it has 17 fields.",
            "TooManyEntries",
            scene.sign(vec![0xb1]),
        ),
    ]
}

fn fields(scene: &Scene) -> Vec<Vector> {
    let without =
        |field: &str| scene.entries(|entries| entries.retain(|(key, _)| *key != Value::text(field)));
    let with = |name: &str, value: Value| scene.entries(|entries| entries.push((Value::text(name), value)));
    let missing = |name, about, field| Vector::new(name, about, "MissingField", without(field));
    let typed =
        |name, about, field, value| Vector::new(name, about, "UnexpectedType", scene.field(field, value));
    vec![
        missing("malformed-no-module-id", "module_id is missing.", "module_id"),
        missing("malformed-no-digest", "digest is missing.", "digest"),
        missing("malformed-no-timestamp", "timestamp is missing.", "timestamp"),
        missing("malformed-no-pcrs", "pcrs is missing.", "pcrs"),
        missing("malformed-no-certificate", "certificate is missing.", "certificate"),
        missing("malformed-no-cabundle", "cabundle is missing.", "cabundle"),
        Vector::new(
            "malformed-duplicate-nonce",
            "nonce stands there twice.",
            "DuplicateField",
            with("nonce", Value::Null),
        ),
        Vector::new(
            "malformed-duplicate-pcrs",
            "pcrs stands there twice, with equal values.",
            "DuplicateField",
            with("pcrs", scene.payload().entries().swap_remove(3).1),
        ),
        Vector::new(
            "malformed-unknown-field",
            "There is a field `pcr`.",
            "UnknownField",
            with("pcr", Value::Null),
        ),
        Vector::new(
            "malformed-nitrotpm",
            "The registers are those of a NitroTPM.",
            "NitroTpm",
            scene.entries(|entries| entries[3].0 = Value::text("nitrotpm_pcrs")),
        ),
        typed(
            "malformed-field-name-type",
            "A field's name is a number.",
            "nonce",
            Value::Raw(vec![0xf6, 0x01, 0xf6]),
        ),
        typed(
            "malformed-module-id-type",
            "module_id is a byte string.",
            "module_id",
            Value::Bytes(b"i-0".to_vec()),
        ),
        typed("malformed-timestamp-negative", "timestamp is negative.", "timestamp", Value::Raw(vec![0x20])),
        typed(
            "malformed-timestamp-float",
            "timestamp is a floating-point number.",
            "timestamp",
            Value::Raw(vec![0xfb, 0x42, 0x79, 0xbc, 0x1a, 0xc2, 0x20, 0x00, 0x00]),
        ),
        typed("malformed-pcrs-array", "pcrs is an array.", "pcrs", Value::Array(vec![])),
        typed("malformed-cabundle-null", "cabundle is null.", "cabundle", Value::Null),
        typed(
            "malformed-certificate-text",
            "certificate is a text string.",
            "certificate",
            Value::text("cert"),
        ),
        typed(
            "malformed-nonce-undefined",
            "nonce is undefined instead of null.",
            "nonce",
            Value::Raw(vec![0xf7]),
        ),
    ]
}

fn registers(scene: &Scene) -> Vec<Vector> {
    let pcr = |number: u64, length: usize| (number, vec![0xa0; length]);
    let with = |entry: (u64, Vec<u8>)| scene.saying(|payload| payload.pcrs.push(entry));
    vec![
        Vector::new("malformed-pcr-32", "There is a PCR32.", "PcrIndex", with(pcr(32, 48))),
        Vector::new(
            "malformed-pcr-256",
            "There is a PCR256, which is no PCR0.",
            "PcrIndex",
            with(pcr(256, 48)),
        ),
        Vector::new("malformed-duplicate-pcr0", "PCR0 stands there twice.", "DuplicatePcr", with(pcr(0, 48))),
        Vector::new("malformed-pcr-32-bytes", "PCR16 has 32 bytes.", "PcrLength", with(pcr(16, 32))),
        Vector::new("malformed-pcr-64-bytes", "PCR16 has 64 bytes.", "PcrLength", with(pcr(16, 64))),
        Vector::new("malformed-pcr-empty", "PCR16 is empty.", "PcrLength", with(pcr(16, 0))),
    ]
}
