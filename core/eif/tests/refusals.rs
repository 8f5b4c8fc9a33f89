//! Every named refusal of the reader, and that no input at all makes it panic.

mod common;

use caution_eif::{EifError, Header, Limits, SectionKind, read};
use common::sample;

const OFFSETS: usize = 28;
const SIZES: usize = OFFSETS + 32 * 8;

/// A small image: kernel `k`, command line `c`, metadata `{}`, one ramdisk, and whatever `change` does to it.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Result<caution_eif::Image, EifError> {
    changed_with(&small(&[(1, b"k"), (2, b"c"), (5, b"{}"), (3, b"ramdisk")]), change, &Limits::default())
}

fn changed_with(
    file: &[u8],
    change: impl FnOnce(&mut Vec<u8>),
    limits: &Limits,
) -> Result<caution_eif::Image, EifError> {
    let mut file = file.to_vec();
    change(&mut file);
    if file.len() > Header::SIZE {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&file[..Header::SIZE - 4]);
        crc.update(&file[Header::SIZE..]);
        file[Header::SIZE - 4..Header::SIZE].copy_from_slice(&crc.finalize().to_be_bytes());
    }
    read(file.as_slice(), limits)
}

/// An image of these sections, built by hand; the checksum is set by [`changed_with`].
fn small(sections: &[(u16, &[u8])]) -> Vec<u8> {
    let mut file = vec![0; Header::SIZE];
    file[..8].copy_from_slice(b".eif\0\x04\0\0");
    file[27] = u8::try_from(sections.len()).expect("a handful");
    for (slot, (kind, data)) in sections.iter().enumerate() {
        let offset = (file.len() as u64).to_be_bytes();
        let size = (data.len() as u64).to_be_bytes();
        file[OFFSETS + slot * 8..][..8].copy_from_slice(&offset);
        file[SIZES + slot * 8..][..8].copy_from_slice(&size);
        file.extend_from_slice(&kind.to_be_bytes());
        file.extend_from_slice(&[0, 0]);
        file.extend_from_slice(&size);
        file.extend_from_slice(data);
    }
    file
}

fn sections(list: &[(u16, &[u8])]) -> Result<caution_eif::Image, EifError> {
    changed_with(&small(list), |_| {}, &Limits::default())
}

#[test]
fn the_unchanged_image_is_read() {
    let image = changed(|_| {}).unwrap();
    assert_eq!((image.cmdline.as_str(), image.metadata.as_deref()), ("c", Some(&b"{}"[..])));
    let version_3 = sections(&[(1, b"k"), (2, b"c"), (3, b"r"), (4, b"signature")]).unwrap();
    assert!(version_3.has_signature());
    assert_eq!(changed(|file| file[5] = 3).unwrap().header.version, 3);
}

#[test]
fn header_refusals() {
    assert!(matches!(read(&b""[..], &Limits::default()), Err(EifError::NoHeader { found: 0 })));
    assert!(matches!(changed(|file| file.truncate(547)), Err(EifError::NoHeader { found: 547 })));
    assert!(matches!(changed(|file| file[0] = b'x'), Err(EifError::Magic { found: [b'x', ..] })));
    for version in [0, 2, 5] {
        let found = changed(|file| file[5] = version);
        assert!(matches!(found, Err(EifError::Version { found }) if found == u16::from(version)));
    }
    assert!(matches!(changed(|file| file[7] = 2), Err(EifError::HeaderFlags { found: 2 })));
    assert!(matches!(
        changed(|file| file[25] = 1),
        Err(EifError::NotZero { field: "reserved field", found: 1 })
    ));
    assert!(matches!(changed(|file| file[543] = 1), Err(EifError::NotZero { .. })));
    assert!(matches!(changed(|file| file[OFFSETS + 4 * 8] = 1), Err(EifError::NotZero { .. })));
    assert!(matches!(changed(|file| file[SIZES + 31 * 8] = 1), Err(EifError::NotZero { .. })));
    for count in [0, 2, 33, 255] {
        let found = changed(|file| file[27] = count);
        assert!(matches!(found, Err(EifError::SectionCount { found }) if found == u16::from(count)));
    }
}

#[test]
fn table_refusals() {
    // Overlapping, unordered and far away: whatever is not where the section before ends.
    for offset in [0u64, 548, 549, u64::MAX] {
        let found = changed(|file| file[OFFSETS + 8..][..8].copy_from_slice(&offset.to_be_bytes()));
        assert!(matches!(found, Err(EifError::Offset { index: 1, expected: 561, .. })), "{offset}");
    }
    let huge = |file: &mut Vec<u8>| file[SIZES + 24..][..8].copy_from_slice(&u64::MAX.to_be_bytes());
    assert!(matches!(changed(huge), Err(EifError::TooLarge { .. })));
    let other = |file: &mut Vec<u8>| file[SIZES + 31] = 1;
    assert!(matches!(changed(other), Err(EifError::SizeMismatch { index: 3, announced: 1, own: 7 })));
}

#[test]
fn section_refusals() {
    assert!(matches!(changed(|file| file[549] = 6), Err(EifError::SectionType { index: 0, found: 6 })));
    assert!(matches!(changed(|file| file[549] = 0), Err(EifError::SectionType { index: 0, found: 0 })));
    assert!(matches!(changed(|file| file[551] = 1), Err(EifError::SectionFlags { index: 0, found: 1 })));
    assert!(matches!(sections(&[(1, b""), (2, b"c"), (3, b"r")]), Err(EifError::EmptyKernel)));
    assert!(matches!(sections(&[(1, b"k"), (2, b"c"), (5, b"{}")]), Err(EifError::NoRamdisk)));
    let text = |bytes: &'static [u8]| sections(&[(1, b"k"), (2, bytes), (3, b"r")]);
    assert!(matches!(text(b"a\xff"), Err(EifError::CmdlineText { position: 1, byte: 0xff })));
    assert!(matches!(text(b"ab\0"), Err(EifError::CmdlineText { position: 2, byte: 0 })));
    let order = |list: &[u16]| {
        let list: Vec<(u16, &[u8])> = list.iter().map(|kind| (*kind, &b"x"[..])).collect();
        assert!(matches!(sections(&list), Err(EifError::Order { .. })), "{list:?}");
    };
    order(&[2, 1, 3]);
    order(&[3, 1, 2]);
    order(&[1, 1, 2, 3]);
    order(&[1, 2, 2, 3]);
    order(&[1, 2, 3, 5]);
    order(&[1, 2, 5, 5, 3]);
    order(&[1, 2, 4, 3]);
    order(&[1, 2, 3, 4, 3]);
    order(&[1, 2, 3, 4, 4]);
}

#[test]
fn limits_are_named() {
    let file = small(&[(1, b"kernel"), (2, b"cc"), (5, b"{}"), (3, b"ramdisk"), (4, b"ss")]);
    let limited = |limits: Limits| changed_with(&file, |_| {}, &limits);
    let base = Limits::default();
    assert!(limited(base).is_ok());
    let found = limited(Limits { total: file.len() as u64 - 1, ..base });
    assert!(matches!(found, Err(EifError::TooLarge { .. })));
    assert!(limited(Limits { total: file.len() as u64, ..base }).is_ok());
    for (limits, wanted) in [
        (Limits { cmdline: 1, ..base }, SectionKind::Cmdline),
        (Limits { metadata: 1, ..base }, SectionKind::Metadata),
        (Limits { signature: 1, ..base }, SectionKind::Signature),
    ] {
        let found = limited(limits);
        assert!(
            matches!(found, Err(EifError::SectionTooLarge { kind, found: 2, limit: 1, .. }) if kind == wanted)
        );
    }
}

#[test]
fn checksum_and_length() {
    let (file, _) = sample();
    let limits = Limits::default();
    let mut bad = file.clone();
    bad[1_000_000] ^= 1;
    assert!(matches!(read(bad.as_slice(), &limits), Err(EifError::Crc { .. })));
    let followed = [file.as_slice(), b"\0"].concat();
    assert!(matches!(read(followed.as_slice(), &limits), Err(EifError::TrailingBytes { .. })));
    let cut = &file[..file.len() - 20];
    let found = read(cut, &limits);
    assert!(matches!(found, Err(EifError::Truncated { index: 4, kind: SectionKind::Ramdisk, missing: 20 })));
    let cut = &file[..Header::SIZE + 5];
    assert!(matches!(read(cut, &limits), Err(EifError::TruncatedHeader { index: 0 })));
}

#[test]
fn no_cut_and_no_flipped_bit_is_accepted() {
    let file = small(&[(1, b"k"), (2, b"c"), (5, b"{}"), (3, b"ramdisk")]);
    let mut file = file;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&file[..Header::SIZE - 4]);
    crc.update(&file[Header::SIZE..]);
    file[Header::SIZE - 4..Header::SIZE].copy_from_slice(&crc.finalize().to_be_bytes());
    let limits = Limits::default();
    read(file.as_slice(), &limits).unwrap();
    for end in 0..file.len() {
        assert!(read(&file[..end], &limits).is_err(), "cut at {end}");
    }
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut bad = file.clone();
            bad[at] ^= 1 << bit;
            assert!(read(bad.as_slice(), &limits).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn messages_are_sentences_with_the_values() {
    let message = changed(|file| file[5] = 9).unwrap_err().to_string();
    assert_eq!(
        message,
        "enclave image format version 9 is not supported (this program reads versions 3 and 4)"
    );
    let message = changed(|file| file[0] = 0).unwrap_err().to_string();
    assert_eq!(
        message,
        "not an enclave image: it begins with the bytes [00, 65, 69, 66] and not with `.eif`"
    );
}
