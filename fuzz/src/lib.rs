//! What several targets share.

use caution_abi::egress::{EgressRule, Protocol};
use caution_egress::{Filter, dns, frame, prohibited};
use caution_eif::{HeaderOptions, Metadata, Signer, Writer};
use caution_rootfs::Limits;
use std::io::Cursor;
use std::time::Duration;

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

/// One input as what an app sends and as what a host does. What was let out is to a destination of the rules.
pub fn egress_packet(data: &[u8]) {
    let network = "203.0.113.0/24".parse().expect("a network");
    let rule = EgressRule { network, ports: (443, 443), protocol: Protocol::Any };
    let mut filter = Filter::new(vec![rule]);
    if filter.outbound(data, Duration::ZERO).is_ok() {
        assert!(data[16..19] == [203, 0, 113] || data[16..20] == [192, 0, 0, 3]);
    }
    let _ = prohibited(data);
    if let Ok(Some((frame, _))) = frame::split(data) {
        let _ = (frame::host(frame), frame::is_gateways_answer(frame));
        let _ = frame::ipv4(frame).map(|packet| filter.inbound(packet, Duration::ZERO).is_ok());
    }
}

/// One input as an app's question and as a resolver's response. No answer needs TCP.
pub fn egress_name(data: &[u8]) {
    let short = |answer: &[u8]| assert!(answer.len() <= 512);
    if let Some(query) = dns::Query::parse(data) {
        short(&query.server_failure());
        let _ = query.upstream([0, 1]);
    }
    let question = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\x04test\0\0\x01\0\x01";
    let query = dns::Query::parse(question).expect("a question");
    if let Some(answer) = query.answer_from([0, 1], data, |_| true) {
        short(&answer);
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
