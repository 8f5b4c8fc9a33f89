//! Signed images: what is written, what is read, and every refusal.

use caution_eif::{EifError, HeaderOptions, Limits, Metadata, SignatureError, Signer, Writer, Written, read};
use std::io::Cursor;

const KEY: &[u8] = include_bytes!("signer/key.pem");
const KEY_PKCS8: &[u8] = include_bytes!("signer/key.pkcs8.pem");
const CERTIFICATE: &[u8] = include_bytes!("signer/certificate.pem");
const CERTIFICATE_V3: &[u8] = include_bytes!("signer/certificate.v3.pem");
const OTHER_CERTIFICATE: &[u8] = include_bytes!("signer/other.certificate.pem");
/// The extend of `openssl x509 -in certificate.pem -outform der | sha384sum`.
const PCR8: &str =
    "00d40bcae17a355434d44c49710ad3c3ed19a57d9ffbf7c422f4d8a9304ccabf7acf2e71ca23e1fafd1e121ccceb7a8c";
const IN_MEMORY: &str = "parts in order, written to memory";
const CRC: std::ops::Range<usize> = 544..548;

fn signer() -> Signer {
    Signer::from_pem(KEY, CERTIFICATE).expect("key and certificate belong together")
}

fn signed(signer: Option<&Signer>, application: &[u8]) -> (Vec<u8>, Written) {
    let mut writer = Writer::new(Cursor::new(Vec::new()), HeaderOptions::default()).expect(IN_MEMORY);
    writer.kernel(&b"kernel"[..]).expect(IN_MEMORY);
    writer.cmdline("reboot=k").expect(IN_MEMORY);
    writer.metadata(&Metadata::new("6.12.1")).expect(IN_MEMORY);
    writer.ramdisk(&b"EnclaveOS"[..]).expect(IN_MEMORY);
    writer.ramdisk(application).expect(IN_MEMORY);
    if let Some(signer) = signer {
        writer.sign(signer).expect(IN_MEMORY);
    }
    let (file, written) = writer.finish().expect(IN_MEMORY);
    (file.into_inner(), written)
}

/// Whose signature an image carries after `change`; the checksum is set again.
fn after(change: impl FnOnce(&mut Vec<u8>)) -> Result<String, SignatureError> {
    let (mut file, _) = signed(Some(&signer()), b"application");
    change(&mut file);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file[..CRC.start]);
    crc.update(&file[CRC.end..]);
    file[CRC].copy_from_slice(&crc.finalize().to_be_bytes());
    let image = read(file.as_slice(), &Limits::default()).expect("is an image");
    image.signature().map(|found| found.expect("is signed").pcr8.to_string())
}

/// Where the signature section's content begins and ends, and where COSE begins in it.
fn section() -> (usize, usize, usize) {
    let (file, written) = signed(Some(&signer()), b"application");
    let section = written.sections.last().expect("is the last");
    let start = usize::try_from(section.data_offset).expect("fits");
    let name = b"isignature\x98";
    let cose = file.windows(name.len()).position(|window| window == name).expect("is there") + name.len() + 1;
    (start, file.len(), cose)
}

fn position(haystack: &[u8], needle: &[u8]) -> usize {
    haystack.windows(needle.len()).position(|window| window == needle).expect("is there")
}

#[test]
fn a_signature_adds_a_section_and_pcr8_and_changes_no_other_register() {
    let (_, plain) = signed(None, b"application");
    let (file, written) = signed(Some(&signer()), b"application");
    assert_eq!(written.measurements, plain.measurements);
    assert_eq!((written.sections.len(), plain.sections.len()), (6, 5));
    assert_eq!((written.pcr8.unwrap().to_string().as_str(), plain.pcr8), (PCR8, None));
    let image = read(file.as_slice(), &Limits::default()).unwrap();
    assert_eq!(image.sha256, written.sha256);
    assert_eq!(image.signature(), Ok(Some(signer().certificate())));
    assert_eq!(Some(signer().certificate().pcr8), written.pcr8);
}

#[test]
fn the_same_key_gives_the_same_bytes_in_either_form() {
    let (file, _) = signed(Some(&signer()), b"application");
    let pkcs8 = Signer::from_pem(KEY_PKCS8, CERTIFICATE).unwrap();
    assert_eq!(signed(Some(&pkcs8), b"application").0, file);
    // Text around the blocks, and the other line end, as tools and mail leave them.
    let wrapped = [&b"issued to: test\r\n"[..], KEY_PKCS8, b"\nend\n"].concat();
    let wrapped = String::from_utf8(wrapped).unwrap().replace('\n', "\r\n");
    let wrapped = Signer::from_pem(wrapped.as_bytes(), CERTIFICATE).unwrap();
    assert_eq!(signed(Some(&wrapped), b"application").0, file);
}

#[test]
fn certificates_with_extensions_and_late_ends_are_read() {
    let known = Signer::from_pem(KEY, CERTIFICATE_V3).unwrap().certificate();
    // 2026-11-21T12:09:48Z and 2126-10-28T12:09:48Z: UTCTime and GeneralizedTime.
    assert_eq!((known.valid_from, known.valid_until), (1_795_262_988, 4_948_862_988));
    assert_ne!(known.pcr8, signer().certificate().pcr8);
}

#[test]
fn keys_and_certificates_that_cannot_sign_are_refused_by_name() {
    let refused = |key: &[u8], certificate: &[u8]| Signer::from_pem(key, certificate).unwrap_err();
    for encrypted in
        [&include_bytes!("signer/key.encrypted.pem")[..], include_bytes!("signer/key.encrypted.sec1.pem")]
    {
        assert_eq!(refused(encrypted, CERTIFICATE), SignatureError::KeyEncrypted);
    }
    for (key, found) in [
        (&include_bytes!("signer/p256.key.pem")[..], "1.2.840.10045.3.1.7"),
        (include_bytes!("signer/ed25519.key.pem"), "1.3.101.112"),
    ] {
        assert_eq!(refused(key, CERTIFICATE), SignatureError::KeyKind { found: found.to_owned() });
    }
    let p256 = include_bytes!("signer/p256.certificate.pem");
    let found = "1.2.840.10045.3.1.7".to_owned();
    assert_eq!(refused(KEY, p256), SignatureError::CertificateKind { found });
    assert_eq!(refused(KEY, OTHER_CERTIFICATE), SignatureError::OtherKey);
    let chain = [CERTIFICATE, OTHER_CERTIFICATE].concat();
    assert_eq!(refused(KEY, &chain), SignatureError::SeveralCertificates { found: 2 });
    assert_eq!(refused(&[KEY, KEY_PKCS8].concat(), CERTIFICATE), SignatureError::SeveralKeys);
    assert_eq!(refused(b"", CERTIFICATE), SignatureError::NoKey);
    assert_eq!(refused(KEY, b""), SignatureError::NoCertificate);
    assert_eq!(refused(KEY, KEY_PKCS8), SignatureError::NoCertificate);
    assert_eq!(
        refused(CERTIFICATE, CERTIFICATE),
        SignatureError::KeyLabel { found: "CERTIFICATE".to_owned() }
    );
    for text in [
        &KEY_PKCS8[..KEY_PKCS8.len() - 5],
        &b"\xff"[..],
        b"-----BEGIN X-----\n-----END Y-----\n",
        b"-----BEGIN X-----\n!\n-----END X-----\n",
        b"-----END X-----\n",
    ] {
        assert_eq!(refused(text, CERTIFICATE), SignatureError::Pem { file: "key" });
        assert_eq!(refused(KEY, text), SignatureError::Pem { file: "certificate" });
    }
    let nothing = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    for label in ["PRIVATE KEY", "EC PRIVATE KEY"] {
        let found = refused(nothing(label).as_bytes(), CERTIFICATE);
        assert!(matches!(found, SignatureError::Der { file: "key", .. }), "{found}");
    }
    let found = refused(KEY, nothing("CERTIFICATE").as_bytes());
    assert!(matches!(found, SignatureError::Der { file: "certificate", .. }), "{found}");
    let long = vec![b'x'; 12 * 1024 + 1];
    let too_long = |file| SignatureError::TooLong { file, found: 12_289, limit: 12_288 };
    assert_eq!(refused(&long, CERTIFICATE), too_long("key"));
    assert_eq!(refused(KEY, &long), too_long("certificate"));
    // SEQUENCE { 1, OCTET STRING {0}, [0] secp384r1 }
    let zero = "-----BEGIN EC PRIVATE KEY-----\nMA8CAQEEAQCgBwYFK4EEACI=\n-----END EC PRIVATE KEY-----\n";
    assert_eq!(refused(zero.as_bytes(), CERTIFICATE), SignatureError::KeyNumber { length: 1 });
}

#[test]
fn no_key_is_printed() {
    let shown = format!("{:?}", signer());
    assert!(
        shown.starts_with("Signer { certificate: SigningCertificate") && shown.ends_with(".. }"),
        "{shown}"
    );
}

#[test]
fn a_changed_image_is_not_the_signed_one() {
    assert_eq!(after(|_| {}), Ok(PCR8.to_owned()));
    let found = after(|file| {
        let at = position(file, b"application");
        file[at] = b'A';
    });
    let pcr0 = signed(None, b"Application").1.measurements.pcr0;
    assert_eq!(found, Err(SignatureError::OtherImage { pcr0 }));
}

#[test]
fn no_flipped_bit_of_a_signature_is_accepted() {
    let (start, _, cose) = section();
    let (file, _) = signed(Some(&signer()), b"application");
    let mut image = read(file.as_slice(), &Limits::default()).unwrap();
    let whole = file[start..].to_vec();
    for at in cose - start..whole.len() {
        for bit in 0..8 {
            let mut content = whole.clone();
            content[at] ^= 1 << bit;
            image.signature_unverified = Some(content);
            assert!(image.signature().is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn changed_sections_are_refused_by_name() {
    let (start, end, cose) = section();
    // The list, the map, the first key, the first number written longer, something behind the end.
    for at in [start, start + 1, start + 3] {
        assert_eq!(after(|file| file[at] ^= 1), Err(SignatureError::Section), "{at}");
    }
    let resized = |file: &mut Vec<u8>, change: fn(&mut Vec<u8>, usize, usize), (from, to): (usize, usize)| {
        change(file, from, to);
        let size = (file.len() - from) as u64;
        file[from - 8..from].copy_from_slice(&size.to_be_bytes());
        let slot = 284 + 5 * 8;
        file[slot..slot + 8].copy_from_slice(&size.to_be_bytes());
    };
    let changes: [fn(&mut Vec<u8>, usize, usize); 4] = [
        |file, _, _| file.push(0),
        |file, from, _| file.truncate(from),
        |file, _, to| file.truncate(to - 1),
        |file, from, _| file.insert(from, 0xd2),
    ];
    for change in changes {
        assert_eq!(after(|file| resized(file, change, (start, end))), Err(SignatureError::Section));
    }
    // COSE's own parts: each of its bytes but the smallest is two in the section.
    let at = |file: &[u8], byte: &[u8]| cose + position(&file[cose..], byte);
    let array_of_five = after(|file| file[cose + 1] = 0x85);
    assert_eq!(array_of_five, Err(SignatureError::Cose));
    let es512 = after(|file| {
        let at = at(file, &[0x18, 0xa1, 0x01, 0x18, 0x38, 0x18, 0x22]) + 6;
        file[at] = 0x23;
    });
    assert_eq!(es512, Err(SignatureError::Algorithm { found: vec![0xa1, 0x01, 0x38, 0x23] }));
    let last = after(|file| {
        let last = file.len() - 1;
        file[last] ^= 1;
    });
    assert!(matches!(last, Err(SignatureError::Signature | SignatureError::Section)), "{last:?}");
}

#[test]
fn another_certificate_in_the_place_of_the_signers_is_refused() {
    // As long as the other, so that nothing but the certificate changes.
    let (file, _) = signed(Some(&Signer::from_pem(KEY, CERTIFICATE_V3).unwrap()), b"application");
    let image = read(file.as_slice(), &Limits::default()).unwrap();
    let content = image.signature_unverified.clone().unwrap();
    let numbers = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().flat_map(|b| if *b < 24 { vec![*b] } else { vec![0x18, *b] }).collect()
    };
    let length = |bytes: &[u8]| [&[0x99][..], &u16::try_from(bytes.len()).unwrap().to_be_bytes()].concat();
    let mine = [length(CERTIFICATE_V3), numbers(CERTIFICATE_V3)].concat();
    let theirs = [length(OTHER_CERTIFICATE), numbers(OTHER_CERTIFICATE)].concat();
    let at = position(&content, &mine);
    let swapped = [&content[..at], &theirs, &content[at + mine.len()..]].concat();
    let mut other = image;
    other.signature_unverified = Some(swapped);
    assert_eq!(other.signature(), Err(SignatureError::Signature));
}

#[test]
fn nothing_follows_a_signature_and_nothing_is_signed_without_a_ramdisk() {
    let mut writer = Writer::new(Cursor::new(Vec::new()), HeaderOptions::default()).unwrap();
    writer.kernel(&b"kernel"[..]).unwrap();
    writer.cmdline("c").unwrap();
    writer.metadata(&Metadata::default()).unwrap();
    assert!(matches!(writer.sign(&signer()), Err(EifError::WriteOrder { expected: "a ramdisk", .. })));
    writer.ramdisk(&b"r"[..]).unwrap();
    writer.sign(&signer()).unwrap();
    assert!(matches!(writer.ramdisk(&b"r"[..]), Err(EifError::WriteOrder { .. })));
    assert!(matches!(writer.sign(&signer()), Err(EifError::WriteOrder { .. })));
    writer.finish().unwrap();
}
