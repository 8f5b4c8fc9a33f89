//! What several targets share.

use caution_eif::{HeaderOptions, Metadata, Signer, Writer};
use caution_rootfs::Limits;
use std::io::Cursor;

/// A small enclave image.
pub fn image(signer: Option<&Signer>) -> Vec<u8> {
    write_image(signer).expect("parts in order, written to memory")
}

fn write_image(signer: Option<&Signer>) -> Result<Vec<u8>, caution_eif::EifError> {
    let mut writer = Writer::new(Cursor::new(Vec::new()), HeaderOptions::default())?;
    writer.kernel(&b"kernel"[..])?;
    writer.cmdline("reboot=k")?;
    writer.metadata(&Metadata::new("6.12.1"))?;
    writer.ramdisk(&b"EnclaveOS"[..])?;
    writer.ramdisk(&b"application"[..])?;
    if let Some(signer) = signer {
        writer.sign(signer)?;
    }
    Ok(writer.finish()?.0.into_inner())
}

/// A path and two contents from one input: `path NUL length left right`, the left one's length as two bytes.
pub fn pair(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == 0)?;
    let (path, rest) = (&data[..end], &data[end + 1..]);
    let ([high, low], rest) = rest.split_first_chunk()?;
    let (left, right) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
    Some((path, left, right))
}

/// Limits that a bomb reaches at once: what is fuzzed is that they hold, not how long they take.
pub fn limits() -> Limits {
    Limits {
        entries: 1000,
        file_bytes: 1 << 20,
        total_bytes: 4 << 20,
        uncompressed_bytes: 8 << 20,
        metadata_bytes: 1 << 20,
        json_bytes: 64 << 10,
        extension_bytes: 16 << 10,
        archive_members: 64,
        ..Limits::default()
    }
}

/// Sets the checksum of each header of a tar archive; without it nearly every change ends there.
pub fn mend_checksums(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<BLOCK>()) {
        at += BLOCK;
        if header.iter().all(|byte| *byte == 0) {
            continue;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let has_content = !matches!(header[156], b'1'..=b'6');
        let digits = std::str::from_utf8(&header[124..135]).ok();
        let size = digits.and_then(|digits| usize::from_str_radix(digits.trim(), 8).ok()).unwrap_or(0);
        if has_content {
            at = at.saturating_add(size.next_multiple_of(BLOCK));
        }
    }
}

const BLOCK: usize = 512;
