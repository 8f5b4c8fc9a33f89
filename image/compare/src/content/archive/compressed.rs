//! gzip, xz and zstd: the header, the settings, and the content.

use super::super::findings::Findings;
use super::super::moment::written;
use super::super::{Budget, compare_within};
use super::closed;
use crate::cause::Cause;
use std::io::Read;

/// Compares two compressed files, also of two formats.
pub(in crate::content) fn compare(
    path: &str,
    left: &[u8],
    right: &[u8],
    budget: Budget,
    findings: &mut Findings,
) {
    let (formats, open) = ((format(left), format(right)), findings.open());
    let (l, r) = (GzipHeader::read(left), GzipHeader::read(right));
    if let (Some(l), Some(r)) = (&l, &r) {
        l.compare(r, findings);
    }
    let Some(inside) = budget.inside() else {
        closed("archives lie in archives deeper than is looked", left, right, findings);
        return;
    };
    let l_content = unfold(left, budget.bytes, findings);
    let r_content = unfold(right, budget.bytes, findings);
    let (Some(l_content), Some(r_content)) = (l_content, r_content) else {
        closed("the content is damaged or too large to look at", left, right, findings);
        return;
    };
    if l_content != r_content {
        compare_within(inner_path(path), &l_content, &r_content, inside, findings);
        return;
    }
    let body = |bytes: &[u8], header: &Option<GzipHeader>| -> Vec<u8> {
        bytes.get(header.as_ref().map_or(0, |header| header.length)..).unwrap_or_default().to_vec()
    };
    let settings = |header: &Option<GzipHeader>| header.as_ref().map(|header| (header.flags, header.system));
    if formats.0 != formats.1 || body(left, &l) != body(right, &r) || settings(&l) != settings(&r) {
        let (l_name, r_name) = (named(formats.0, l.as_ref()), named(formats.1, r.as_ref()));
        let evidence = format!(
            "the same {} bytes inside, {l_name}, {} → {r_name}, {} bytes",
            l_content.len(),
            left.len(),
            right.len()
        );
        findings.change("", &evidence);
        findings.shows(Cause::Compression, "", evidence);
        findings.explained_down_to(open);
    }
}

/// The content, or `None` where it is damaged or larger than `limit`.
fn unfold(bytes: &[u8], limit: usize, findings: &mut Findings) -> Option<Vec<u8>> {
    let limit = findings.may_unfold(limit);
    let take = limit as u64 + 1;
    let mut content = Vec::new();
    let read = match format(bytes) {
        "gzip" => flate2::read::MultiGzDecoder::new(bytes).take(take).read_to_end(&mut content),
        "xz" => lzma_rust2::XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB)
            .take(take)
            .read_to_end(&mut content),
        _ => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes).ok()?;
            decoder.take(take).read_to_end(&mut content)
        }
    };
    findings.unfolded(content.len());
    (read.is_ok() && content.len() <= limit).then_some(content)
}

fn format(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x1f, 0x8b, ..] => "gzip",
        [0xfd, ..] => "xz",
        _ => "zstd",
    }
}

fn named(format: &'static str, header: Option<&GzipHeader>) -> String {
    match header.map(|header| header.flags) {
        Some(2) => "gzip, best".to_owned(),
        Some(4) => "gzip, fastest".to_owned(),
        _ => format.to_owned(),
    }
}

/// The name without what the compression added.
pub(super) fn inner_path(path: &str) -> &str {
    [".gz", ".xz", ".zst", ".tgz", ".txz"].iter().find_map(|end| path.strip_suffix(end)).unwrap_or(path)
}

/// What RFC 1952 puts before the content.
struct GzipHeader {
    time: u32,
    /// XFL: which effort the compressor made.
    flags: u8,
    system: u8,
    name: Vec<u8>,
    length: usize,
}

impl GzipHeader {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [0x1f, 0x8b, 8, fields, a, b, c, d, flags, system, ..] = *bytes else { return None };
        let mut length = 10;
        if fields & 4 != 0 {
            let extra = u16::from_le_bytes([*bytes.get(length)?, *bytes.get(length + 1)?]);
            length += 2 + usize::from(extra);
        }
        let mut text = |present: bool| -> Option<Vec<u8>> {
            if !present {
                return Some(Vec::new());
            }
            let rest = bytes.get(length..)?;
            let end = rest.iter().position(|b| *b == 0)?;
            length += end + 1;
            Some(rest[..end].to_vec())
        };
        let name = text(fields & 8 != 0)?;
        text(fields & 16 != 0)?;
        length += if fields & 2 != 0 { 2 } else { 0 };
        Some(Self { time: u32::from_le_bytes([a, b, c, d]), flags, system, name, length })
    }

    fn compare(&self, other: &Self, findings: &mut Findings) {
        if self.time != other.time {
            let time = |time: u32| if time == 0 { "none".to_owned() } else { written(time.into()) };
            let evidence = format!("time {} → {}", time(self.time), time(other.time));
            findings.change("gzip header", &evidence);
            findings.shows_with_fix(
                Cause::EmbeddedTime,
                "gzip header",
                evidence,
                Some("gzip -n, or compress from a pipe"),
            );
        }
        if self.name != other.name {
            let name = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
            findings.unexplained("gzip header", format!("name {} → {}", name(&self.name), name(&other.name)));
        }
    }
}

/// What the dictionary of an xz file may take: as much as `xz -9` needs.
const XZ_MEMORY_KIB: u32 = 80 << 10;
