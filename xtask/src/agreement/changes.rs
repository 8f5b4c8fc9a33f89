//! What is changed in an honest document: bytes, CBOR items, entries, certificates; signed again where
//! that lets a reader get further.

use super::random::Random;
use crate::vectors::scene::Scene;
use caution_devnsm::document::der::{bit_string, sequence, tlv, unsigned};
use caution_devnsm::document::{Certificate, Document, Extension, Payload, Value, name};
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};

/// Makes documents from an honest one.
pub(super) struct Forge {
    scene: Scene,
    honest: Vec<u8>,
    says: Payload,
    /// The same in bytes.
    payload: Vec<u8>,
    /// Root first, leaf last.
    certificates: Vec<Vec<u8>>,
}

impl Forge {
    pub(super) fn new(scene: Scene) -> Self {
        let says = scene.payload();
        let mut certificates = says.chain.bundle.clone();
        certificates.push(says.chain.leaf.clone());
        let payload = says.to_bytes();
        Self { honest: scene.sign(payload.clone()), says, payload, certificates, scene }
    }

    /// The honest root.
    pub(super) fn root(&self) -> &[u8] {
        &self.certificates[0]
    }

    /// Another document.
    pub(super) fn document(&self, random: &mut Random) -> Vec<u8> {
        match random.below(16) {
            0 => self.honest.clone(),
            1..=3 => meddled(&self.honest, random),
            4..=6 => self.signed(meddled(&self.payload, random)),
            7 | 8 => self.signed(self.other_entries(random)),
            9 => self.other_structure(random),
            10..=12 => self.over(self.certificate_signed_again(random)),
            13 => self.over(self.certificate_only_meddled(random)),
            14 => self.over(self.other_path(random)),
            _ => self.scene.certified({
                let place = 1 + random.below(4);
                move |at, certificate| {
                    if at == place {
                        adjust(certificate, random);
                    }
                }
            }),
        }
    }

    fn signed(&self, payload: Vec<u8>) -> Vec<u8> {
        self.scene.sign(payload)
    }

    /// The honest document over these certificates.
    fn over(&self, mut certificates: Vec<Vec<u8>>) -> Vec<u8> {
        let mut payload = self.says.clone();
        payload.chain.leaf = certificates.pop().unwrap_or_default();
        payload.chain.bundle = certificates;
        self.signed(payload.to_bytes())
    }

    /// Entries of the payload left out, doubled, moved, renamed or with another value.
    fn other_entries(&self, random: &mut Random) -> Vec<u8> {
        let mut entries = self.says.entries();
        for _ in 0..=random.below(2) {
            let (from, to) = (random.below(entries.len()), random.below(entries.len()));
            match random.below(6) {
                0 => drop(entries.remove(from)),
                1 => entries.push(entries[from].clone()),
                2 => entries.swap(from, to),
                3 => {
                    entries[from].0 =
                        random.pick(&[Value::text("x\u{e9}\n'"), Value::text("nonce"), Value::Uint(1)]);
                }
                4 => entries[from].1 = entries[to].1.clone(),
                _ => entries[from].1 = value(random),
            }
            if entries.is_empty() {
                break;
            }
        }
        if random.one_in(2) {
            Value::Map(entries).to_bytes()
        } else {
            Value::IndefiniteMap(entries).to_bytes()
        }
    }

    /// Other headers or another signature.
    fn other_structure(&self, random: &mut Random) -> Vec<u8> {
        let mut document = Document::new(self.payload.clone());
        match random.below(4) {
            0 => document.tag = Some(random.pick(&[17, 18, 55_799])),
            1 => {
                document.protected =
                    random.pick(&[vec![], vec![0xa1, 1, 0x20], vec![0xa0; 65], vec![0xa1, 1, 0x26]]);
            }
            2 => document.unprotected = value(random),
            _ => {
                let length = random.pick(&[0, 64, 95, 96, 96, 96, 97, 257]);
                let byte = random.pick(&[0, 1, 0xff]);
                return document.with_signature(&vec![byte; length]);
            }
        }
        document.sign(&self.scene.keys.leaf)
    }

    /// A certificate whose signed part is meddled with before its issuer signs it.
    fn certificate_signed_again(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut certificates = self.certificates.clone();
        let place = 1 + random.below(certificates.len() - 1);
        let signed = inside(&certificates[place], 0);
        let (_, content) = header(&signed);
        let changed = if random.one_in(2) {
            // Lengths of the outermost element are right again, whatever happened inside.
            tlv(0x30, &[&meddled(&signed[content..], random)])
        } else {
            element_changed(&signed, random)
        };
        certificates[place] = issue(&changed, &inside(&certificates[place], 1), self.issuer(place));
        certificates
    }

    fn certificate_only_meddled(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut certificates = self.certificates.clone();
        let place = random.below(certificates.len());
        certificates[place] = meddled(&certificates[place], random);
        certificates[place].truncate(1100);
        certificates
    }

    /// Certificates left out, doubled or in another order.
    fn other_path(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut certificates = self.certificates.clone();
        let (from, to) = (random.below(5), random.below(5));
        match random.below(3) {
            0 => drop(certificates.remove(from)),
            1 => certificates.insert(from, certificates[to].clone()),
            _ => certificates.swap(from, to),
        }
        certificates
    }

    /// The key that signed the certificate at this place.
    fn issuer(&self, place: usize) -> &SigningKey {
        let keys = &self.scene.keys;
        place.checked_sub(2).map_or(&keys.root, |index| &keys.intermediates[index])
    }
}

/// A certificate around this signed part.
fn issue(signed: &[u8], algorithm: &[u8], issuer: &SigningKey) -> Vec<u8> {
    let signature: Signature = issuer.sign(signed);
    let (r, s) = signature.split_bytes();
    sequence(&[signed, algorithm, &bit_string(&sequence(&[&unsigned(&r), &unsigned(&s)]))])
}

/// A few bytes flipped, set, put in, left out, doubled or cut off.
pub(super) fn meddled(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(2) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(8)).min(bytes.len());
        match random.below(8) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.byte(),
            3 => bytes[at] = random.pick(HEADS),
            4 => bytes.insert(at, random.pick(HEADS)),
            5 => drop(bytes.drain(at..end)),
            6 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ if random.one_in(8) => bytes.truncate(at),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
    bytes
}

/// One element somewhere inside changed, with the lengths of all around it right again.
fn element_changed(der: &[u8], random: &mut Random) -> Vec<u8> {
    let (end, content) = header(der);
    if der[0] & 0x20 == 0 || random.one_in(6) {
        let inner = match random.below(4) {
            0 => vec![],
            1 => vec![random.byte()],
            _ => meddled(&der[content..end], random),
        };
        return tlv(if random.one_in(4) { random.pick(TAGS) } else { der[0] }, &[&inner]);
    }
    let mut elements = Vec::new();
    let mut rest = &der[content..end];
    while !rest.is_empty() {
        let (end, _) = header(rest);
        elements.push(rest[..end].to_vec());
        rest = &rest[end..];
    }
    if elements.is_empty() {
        return tlv(der[0], &[&[0x05, 0x00]]);
    }
    let at = random.below(elements.len());
    match random.below(12) {
        0 => drop(elements.remove(at)),
        1 => elements.insert(at, elements[at].clone()),
        2 => elements.swap(at, 0),
        _ => elements[at] = element_changed(&elements[at], random),
    }
    tlv(der[0], &elements.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The element at this place inside an honest one.
fn inside(der: &[u8], place: usize) -> Vec<u8> {
    let (end, content) = header(der);
    let mut rest = &der[content..end];
    for _ in 0..place {
        rest = &rest[header(rest).0..];
    }
    rest[..header(rest).0].to_vec()
}

/// Where an honest element ends and where its content starts.
fn header(der: &[u8]) -> (usize, usize) {
    match der[1] {
        length @ 0..=0x7f => (2 + usize::from(length), 2),
        0x81 => (3 + usize::from(der[2]), 3),
        _ => (4 + (usize::from(der[2]) << 8) + usize::from(der[3]), 4),
    }
}

/// A certificate that says something else.
fn adjust(certificate: &mut Certificate, random: &mut Random) {
    match random.below(9) {
        0 => certificate.version = random.byte() % 4,
        1 => certificate.serial = vec![random.byte(); random.below(23)],
        2 => certificate.not_after = random.pick(&[0, 2_524_607_999, 2_524_608_000, 253_402_300_799]),
        3 => certificate.not_before = certificate.not_after + 1,
        4 => certificate.issuer = name("somebody"),
        5 => certificate.extensions.push(Extension {
            oid: vec![0x55, 0x1d, random.byte() % 0x24],
            critical: random.one_in(2),
            value: vec![0x05, 0x00],
        }),
        6 => {
            certificate.extensions[0] =
                Extension::basic_constraints(random.one_in(2), Some(random.byte() % 3));
        }
        7 => certificate.extensions[1] = Extension::key_usage(random.byte()),
        _ => certificate.extensions.rotate_left(1),
    }
}

/// An item of some type.
fn value(random: &mut Random) -> Value {
    let byte = random.byte();
    random.pick(&[
        Value::Null,
        Value::Uint(u64::from(byte)),
        Value::Uint(u64::MAX),
        Value::Bytes(vec![byte; usize::from(byte) * 6]),
        Value::text("SHA384"),
        Value::text(""),
        Value::Array(vec![Value::Bytes(vec![byte; 9])]),
        Value::Map(vec![(Value::Uint(u64::from(byte % 40)), Value::Bytes(vec![byte; 48]))]),
        Value::Map(vec![]),
        Value::IndefiniteMap(vec![]),
        Value::Raw(vec![0xf7]),
        Value::Raw(vec![0x62, 0xef, 0xbb]),
    ])
}

/// First bytes of CBOR items and DER elements, and bytes that are none.
const HEADS: &[u8] = &[
    0x00, 0x17, 0x18, 0x19, 0x1b, 0x1c, 0x1f, 0x20, 0x40, 0x58, 0x59, 0x5b, 0x5f, 0x60, 0x78, 0x80, 0x84,
    0x9f, 0xa0, 0xa3, 0xb8, 0xbf, 0xc0, 0xd2, 0xf6, 0xf7, 0xff, 0x30, 0x31, 0x06, 0x81, 0x82,
];
const TAGS: &[u8] = &[
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0a, 0x0c, 0x13, 0x17, 0x18, 0x1c, 0x24, 0x30, 0x31, 0x5f, 0x80,
    0xa0, 0xa3, 0xbf,
];
