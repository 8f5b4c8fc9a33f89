//! `caution apps describe`: what an enclave image file is, in one pass over it.

mod content;
mod text;

use super::signing;
use crate::Context;
use crate::error::{CliError, Exit};
use crate::releases;
use caution_eif::{
    Arch, EifError, Image, Limits, SectionInfo, SectionKind, SignatureError, SigningCertificate,
};
use caution_enclaveos::KnownRelease;
use caution_measure::{Pcr, Sha256Digest};
use content::Content;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Arguments of `caution apps describe`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An enclave image file, made by Caution or by any other tool.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let (image, contents) = read(&args.file)?;
    let release = recognised(context, &image.measurements.pcr1).unwrap_or_else(|error| {
        context.terminal.warning(&error.summary(), error.hint.as_deref());
        None
    });
    let signature = Signature::of(&image);
    let described = Described { file: &args.file, image, contents, release, signature };
    if context.terminal.json {
        context.terminal.json_result(&described.to_json());
    } else {
        context.terminal.result(&text::text(&described));
    }
    if let Signature::Refused { why, .. } = &described.signature
        && described.signature.holds() == Some(false)
    {
        context.terminal.warning(&format!("the image's signature proves nothing: {why}"), None);
    }
    if let Signature::Holds(certificate) = &described.signature
        && let Some(when) = signing::not_valid(certificate, jiff::Timestamp::now())
    {
        let message = format!("the signing certificate {when}; Nitro does not start such an image");
        context.terminal.warning(&message, None);
    }
    Ok(())
}

/// An EnclaveOS release, and who says that there is one with its PCR1.
struct Recognised {
    id: Sha256Digest,
    version: String,
    kernel_version: String,
    /// Whether it is on the list of known releases, and not only on this machine.
    is_known: bool,
}

fn recognised(context: &Context, pcr1: &Pcr) -> Result<Option<Recognised>, CliError> {
    if let Some(known) = releases::known(&context.config)?.list.by_pcr1(pcr1) {
        let KnownRelease { id, version, kernel_version, .. } = known.clone();
        return Ok(Some(Recognised { id, version, kernel_version, is_known: true }));
    }
    let here = caution_enclaveos::by_pcr1(&context.config.cache, pcr1)?;
    Ok(here.map(|release| Recognised {
        id: release.id(),
        version: release.info.version,
        kernel_version: release.info.kernel_version,
        is_known: false,
    }))
}

/// An image that was read to its end, and what is known of it besides.
struct Described<'a> {
    file: &'a Path,
    image: Image,
    /// Of each section.
    contents: Vec<Content>,
    /// The release with the same PCR1.
    release: Option<Recognised>,
    signature: Signature,
}

/// What an image's signature section is worth.
enum Signature {
    Absent,
    Holds(SigningCertificate),
    /// It does not hold, or it is of a kind that this program does not check.
    Refused {
        pcr8: Option<Pcr>,
        why: SignatureError,
    },
}

impl Signature {
    fn of(image: &Image) -> Self {
        match image.signature() {
            Ok(None) => Self::Absent,
            Ok(Some(certificate)) => Self::Holds(certificate),
            Err(why) => Self::Refused { pcr8: image.pcr8_unverified().ok().flatten(), why },
        }
    }

    /// Whether it was checked, and what came of it.
    fn holds(&self) -> Option<bool> {
        match self {
            Self::Absent | Self::Refused { why: SignatureError::CertificateKind { .. }, .. } => None,
            Self::Holds(_) => Some(true),
            Self::Refused { .. } => Some(false),
        }
    }

    fn pcr8(&self) -> Option<Pcr> {
        match self {
            Self::Absent => None,
            Self::Holds(certificate) => Some(certificate.pcr8),
            Self::Refused { pcr8, .. } => *pcr8,
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let (why, certificate) = match self {
            Self::Absent => return serde_json::Value::Null,
            Self::Holds(certificate) => (None, Some(certificate)),
            Self::Refused { why, .. } => (Some(why.to_string()), None),
        };
        let time = |seconds| signing::time(seconds).to_string();
        serde_json::json!({
            "holds": self.holds(),
            "why": why,
            "valid_from": certificate.map(|known| time(known.valid_from)),
            "valid_until": certificate.map(|known| time(known.valid_until)),
        })
    }
}

/// The image in a file, and what its sections look like.
fn read(path: &Path) -> Result<(Image, Vec<Content>), CliError> {
    let mut contents = Contents::default();
    let file = File::open(path).map_err(|error| CliError::io("The image cannot be read", path, &error))?;
    let image = caution_eif::read_with(file, &Limits::default(), |section, piece| {
        contents.see(section, piece);
        Ok(())
    })
    .map_err(|error| unreadable(path, &error))?;
    let contents = image.sections.iter().map(|section| contents.of(section)).collect();
    Ok((image, contents))
}

fn unreadable(path: &Path, error: &EifError) -> CliError {
    let because = CliError::from_error(Exit::Other, error);
    let mut causes = vec![error.to_string()];
    causes.extend(because.causes);
    let message = format!("{} is no sound enclave image.", path.display());
    CliError { message, causes, ..because }
}

/// What each section begins with; pieces arrive in file order.
#[derive(Default)]
struct Contents(Vec<(u64, Content)>);

impl Contents {
    fn see(&mut self, section: &SectionInfo, piece: &[u8]) {
        if self.0.last().is_none_or(|(offset, _)| *offset != section.offset) {
            self.0.push((section.offset, Content::of(section.kind, piece)));
        }
    }

    /// A section without any piece is empty.
    fn of(&self, section: &SectionInfo) -> Content {
        let seen = self.0.iter().find(|(offset, _)| *offset == section.offset);
        seen.map_or_else(|| Content::of(section.kind, &[]), |(_, content)| *content)
    }
}

impl Described<'_> {
    /// Each section: where it is, the registers that measure it, what it looks like.
    fn sections(&self) -> impl Iterator<Item = (&SectionInfo, &'static [u8], Content)> {
        let measured = self.image.measured_sections();
        measured.zip(&self.contents).map(|((section, registers), content)| (section, registers, *content))
    }

    /// Whether no register names an application apart from its operating system.
    fn is_single_ramdisk(&self) -> bool {
        self.image.sections_of(SectionKind::Ramdisk).count() == 1
    }

    /// The `--json` form, documented in `docs/src/commands.md`.
    fn to_json(&self) -> serde_json::Value {
        let image = &self.image;
        let metadata: Option<serde_json::Value> =
            image.metadata.as_deref().and_then(|bytes| serde_json::from_slice(bytes).ok());
        let sections: Vec<_> = self
            .sections()
            .map(|(section, pcrs, content)| {
                serde_json::json!({
                    "kind": kind_word(section.kind),
                    "offset": section.offset,
                    "content_offset": section.data_offset,
                    "size": section.size,
                    "content": content.word(),
                    "pcrs": pcrs,
                })
            })
            .collect();
        serde_json::json!({
            "file": self.file.to_string_lossy(),
            "size": image.size,
            "sha256": image.sha256,
            "version": image.header.version,
            "arch": arch_word(image.header.options.arch),
            "default_memory": image.header.options.default_mem,
            "default_cpus": image.header.options.default_cpus,
            "crc32": format!("{:08x}", image.header.crc32),
            "pcr0": image.measurements.pcr0,
            "pcr1": image.measurements.pcr1,
            "pcr2": image.measurements.pcr2,
            "pcr8": self.signature.pcr8(),
            "single_ramdisk": self.is_single_ramdisk(),
            "enclaveos": self.release.as_ref().map(|release| serde_json::json!({
                "id": release.id,
                "version": release.version,
                "kernel_version": release.kernel_version,
                "known": release.is_known,
            })),
            "cmdline": image.cmdline,
            "metadata": metadata,
            "signature": self.signature.to_json(),
            "sections": sections,
        })
    }
}

const fn arch_word(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64",
        Arch::Aarch64 => "aarch64",
    }
}

const fn kind_word(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Kernel => "kernel",
        SectionKind::Cmdline => "cmdline",
        SectionKind::Ramdisk => "ramdisk",
        SectionKind::Signature => "signature",
        SectionKind::Metadata => "metadata",
    }
}

#[cfg(test)]
mod tests;
