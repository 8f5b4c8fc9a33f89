//! The description as it stands on a terminal. Words of the image are escaped: anybody can write one.

use super::{Content, Described, Recognised, Signature, arch_word, signing};
use crate::terminal::shell_word;
use caution_appspec::printable;
use caution_build::human_size;
use caution_eif::{SectionInfo, SectionKind};
use caution_measure::Measurements;
use std::fmt::Write as _;
use std::path::Path;

pub(super) fn text(described: &Described<'_>) -> String {
    let image = &described.image;
    let options = image.header.options;
    let mut text = format!(
        "{}\n  EIF version {} for {} · {} · CRC {:08x} as its bytes give · sha256 {}\n\n",
        printable(&described.file.display().to_string()),
        image.header.version,
        arch_word(options.arch),
        human_size(image.size),
        image.header.crc32,
        image.sha256,
    );
    registers(&mut text, described);
    sections(&mut text, described);
    let _ = write!(
        text,
        "\n  command line  {}\n  metadata      {}\n  by default    {} of memory, {} CPUs\n  signature     {}\n",
        printable(&image.cmdline),
        metadata(image.metadata.as_deref()),
        human_size(options.default_mem),
        options.default_cpus,
        signature(&described.signature),
    );
    unpacking(&mut text, described);
    text
}

fn registers(text: &mut String, described: &Described<'_>) {
    let Measurements { pcr0, pcr1, pcr2 } = described.image.measurements;
    let platform = described.release.as_ref().map_or_else(
        || {
            "kernel, command line, ramdisk 0; of no EnclaveOS release that is known or on this machine"
                .to_owned()
        },
        |Recognised { id, version, kernel_version, is_known }| {
            let whose = if *is_known { "a known release" } else { "a release of this machine" };
            format!("EnclaveOS {version} (kernel {kernel_version}), {whose}, {}…", &id.to_string()[..12])
        },
    );
    let application = if described.is_single_ramdisk() {
        "the empty constant: no second ramdisk"
    } else {
        "ramdisks from 1 on: the application"
    };
    let _ = write!(
        text,
        "  PCR0  {pcr0}  the whole image\n  PCR1  {pcr1}  {platform}\n  PCR2  {pcr2}  {application}\n"
    );
    if let Some(pcr8) = described.signature.pcr8() {
        let _ = writeln!(text, "  PCR8  {pcr8}  the signing certificate");
    }
    if described.is_single_ramdisk() {
        text.push_str(
            "\n  With a single ramdisk PCR1 equals PCR0 and PCR2 is the same for every image: no register\n  \
             tells the application from the system below it.\n",
        );
    }
}

fn sections(text: &mut String, described: &Described<'_>) {
    let _ =
        writeln!(text, "\n  {:<14}{:>12}{:>12}{:>14}  in PCR", "section", "header at", "content at", "bytes");
    let mut ramdisks = 0;
    for (section, registers, content) in described.sections() {
        let name = name(section.kind, &mut ramdisks);
        let registers: Vec<_> = registers.iter().map(u8::to_string).collect();
        let SectionInfo { offset, data_offset, size, .. } = section;
        let covered = if registers.is_empty() { "–".to_owned() } else { registers.join(", ") };
        let content = content.word().unwrap_or_default();
        let line = format!("  {name:<14}{offset:>12}{data_offset:>12}{size:>14}  {covered:<9}{content}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

/// What a section is called, ramdisks with their number.
fn name(kind: SectionKind, ramdisks: &mut usize) -> String {
    if kind == SectionKind::Ramdisk {
        *ramdisks += 1;
        format!("ramdisk {}", *ramdisks - 1)
    } else {
        kind.to_string()
    }
}

/// What people look for in it; the rest is in the `--json` form.
fn metadata(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "none".to_owned() };
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return format!("{} bytes that are not JSON", bytes.len());
    };
    let text = |pointer| json.pointer(pointer).and_then(|value| value.as_str()).unwrap_or("?");
    printable(&format!(
        "{} {} · kernel {} · built by {} {} at {}",
        text("/ImageName"),
        text("/ImageVersion"),
        text("/BuildMetadata/KernelVersion"),
        text("/BuildMetadata/BuildTool"),
        text("/BuildMetadata/BuildToolVersion"),
        text("/BuildMetadata/BuildTime"),
    )) + " (not measured)"
}

fn signature(signature: &Signature) -> String {
    match signature {
        Signature::Absent => "none".to_owned(),
        Signature::Holds(certificate) => format!(
            "over this PCR0, by the certificate of PCR8, valid {} to {}",
            signing::time(certificate.valid_from),
            signing::time(certificate.valid_until),
        ),
        Signature::Refused { why, .. } if signature.holds().is_none() => format!("not checked: {why}"),
        Signature::Refused { why, .. } => format!("PROVES NOTHING: {}", printable(&why.to_string())),
    }
}

/// The commands that unpack each ramdisk, where its form is known.
fn unpacking(text: &mut String, described: &Described<'_>) {
    let ramdisks = described.sections().filter(|(section, ..)| section.kind == SectionKind::Ramdisk);
    for (number, (section, _, content)) in ramdisks.enumerate() {
        if let Some(command) = unpack(described.file, section, content) {
            let _ = write!(text, "\n  To unpack ramdisk {number} here:\n    {command}\n");
        }
    }
}

fn unpack(file: &Path, section: &SectionInfo, content: Content) -> Option<String> {
    let unpacker = content.unpacker()?;
    let (from, size) = (section.data_offset + 1, section.size);
    let file = shell_word(&file.display().to_string());
    Some(format!("tail -c +{from} {file} | head -c {size} | {unpacker} | cpio --no-absolute-filenames -idm"))
}

#[cfg(test)]
mod tests {
    use super::metadata;

    #[test]
    fn metadata_of_any_shape_is_said_and_cannot_steer_the_terminal() {
        assert_eq!(metadata(None), "none");
        assert_eq!(metadata(Some(b"{")), "1 bytes that are not JSON");
        let said = metadata(Some(br#"{"ImageName": "\u001b[2J", "BuildMetadata": []}"#));
        assert!(said.starts_with("\\u{1b}[2J ? · kernel ?"), "{said}");
    }
}
