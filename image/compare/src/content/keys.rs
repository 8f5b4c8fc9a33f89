//! Certificates and keys. Private keys are never shown, not even in part.

use super::findings::Findings;
use super::text;
use crate::cause::Cause;
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

/// Whether bytes are a certificate in DER.
pub(super) fn is_certificate(content: &[u8]) -> bool {
    content.len() <= MOST_BYTES
        && content.starts_with(&[0x30, 0x82])
        && Certificate::from_der(content).is_ok()
}

/// Compares two certificates in DER.
pub(super) fn compare_der(place: &str, left: &[u8], right: &[u8], findings: &mut Findings) {
    let (Ok(l), Ok(r)) = (Certificate::from_der(left), Certificate::from_der(right)) else {
        findings.unexplained(place, "not two certificates");
        return;
    };
    let (l, r) = (l.tbs_certificate(), r.tbs_certificate());
    // Certificates of others are other certificates: nothing was made anew.
    if l.subject() != r.subject() || l.issuer() != r.issuer() {
        let names = |of: &x509_cert::TbsCertificate| format!("{} by {}", of.subject(), of.issuer());
        findings.unexplained(place, format!("{} → {}", names(l), names(r)));
        return;
    }
    let open = findings.told();
    let key = |spki: &x509_cert::spki::SubjectPublicKeyInfoOwned| {
        spki.to_der().map(|der| fingerprint(&der)).unwrap_or_default()
    };
    let (l_key, r_key) = (key(l.subject_public_key_info()), key(r.subject_public_key_info()));
    if l_key != r_key {
        findings.change_shows(Cause::Randomness, place, &format!("public key {l_key} → {r_key}"));
    }
    let (l_serial, r_serial) = (l.serial_number().as_bytes(), r.serial_number().as_bytes());
    if l_serial != r_serial {
        let evidence = format!("serial number {} → {}", HEXLOWER.encode(l_serial), HEXLOWER.encode(r_serial));
        // Short ones are counted, not drawn.
        if l_serial.len().min(r_serial.len()) >= 8 {
            findings.change_shows(Cause::Randomness, place, &evidence);
        } else {
            findings.unexplained(place, evidence);
        }
    }
    let (l_from, r_from) = (l.validity().not_before, r.validity().not_before);
    if l_from != r_from {
        findings.change_shows(Cause::EmbeddedTime, place, &format!("valid from {l_from} → {r_from}"));
    } else if l.validity().not_after != r.validity().not_after {
        findings.unexplained(
            place,
            format!("valid until {} → {}", l.validity().not_after, r.validity().not_after),
        );
    }
    if findings.told() == open {
        findings.unexplained(place, "the signature or an extension differs");
    }
}

/// Compares two files of PEM blocks.
pub(super) fn compare_pem(left: &[u8], right: &[u8], findings: &mut Findings) {
    let (left_text, right_text) = (String::from_utf8_lossy(left), String::from_utf8_lossy(right));
    let (l, r) = (blocks(&left_text), blocks(&right_text));
    if l.is_empty() || l.len() != r.len() || l.iter().zip(&r).any(|(l, r)| l.label != r.label) {
        findings.unexplained("", format!("{} → {} blocks", l.len(), r.len()));
        return;
    }
    for (index, (l, r)) in l.iter().zip(&r).enumerate() {
        if l.body == r.body {
            continue;
        }
        let place = if index == 0 { l.label.to_owned() } else { format!("{} ({})", l.label, index + 1) };
        if l.label == "CERTIFICATE" && is_certificate(&l.body) && is_certificate(&r.body) {
            compare_der(&place, &l.body, &r.body, findings);
        } else if l.label.ends_with("PUBLIC KEY") {
            // One that somebody trusts is exchanged by hand.
            let (l, r) = (fingerprint(&l.body), fingerprint(&r.body));
            findings.unexplained(&place, format!("another public key, SHA-256 {l} → {r}"));
        } else if l.label.ends_with("PRIVATE KEY") || l.label == "DH PARAMETERS" {
            let what = if l.label.ends_with("PRIVATE KEY") { "another private key" } else { "another key" };
            let evidence = format!("{what}, SHA-256 {} → {}", fingerprint(&l.body), fingerprint(&r.body));
            let fix = Some(
                "make the key when the enclave starts, not while building: who builds the image would know it",
            );
            findings.change(&place, &evidence);
            findings.shows_with_fix(Cause::Randomness, &place, evidence, fix);
        } else {
            findings.unexplained(&place, "its content differs");
        }
    }
    let (l, r) = (outside(&left_text), outside(&right_text));
    if l != r {
        text::compare("", l.as_bytes(), r.as_bytes(), findings);
    }
}

/// A text without its blocks, wherever in a line they stand: in JSON they are one line, in YAML indented.
fn outside(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("-----BEGIN ") {
        kept.push_str(before);
        // What never ends may be a key to its last byte.
        let Some((_, after)) = after.split_once("-----END ") else { return kept };
        rest = after.split_once("-----").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
}

struct Block<'a> {
    label: &'a str,
    body: Vec<u8>,
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((label, after)) = after.split_once("-----") else { break };
        // A label is shown; what is none may be a key.
        let label = if label.len() <= MOST_LABEL_BYTES && !label.contains('\n') { label } else { "block" };
        let Some((body, after)) = after.split_once("-----END ") else { break };
        let body: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let body = BASE64.decode(&body).unwrap_or(body);
        blocks.push(Block { label, body });
        rest = after;
    }
    blocks
}

/// The first eight bytes of the SHA-256: enough to tell keys apart, nothing about them.
pub(super) fn fingerprint(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes)[..8])
}

const MOST_BYTES: usize = 64 << 10;
const MOST_LABEL_BYTES: usize = 40;
