//! What a section looks like by its first bytes: enough to say how to unpack it, and a claim about nothing more.

use caution_eif::SectionKind;

/// The form of a section's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    BzImage,
    Arm64Image,
    Elf,
    Cpio,
    Gzip,
    Zstd,
    Lz4,
    Xz,
    /// The section's kind says it all, or nobody knows.
    Other,
}

impl Content {
    /// The form of a section of this kind that begins with these bytes, a mebibyte of them or all there are.
    pub(super) fn of(kind: SectionKind, beginning: &[u8]) -> Self {
        let forms: &[(usize, &[u8], Self)] = match kind {
            SectionKind::Kernel => KERNELS,
            SectionKind::Ramdisk => RAMDISKS,
            SectionKind::Cmdline | SectionKind::Metadata | SectionKind::Signature => &[],
        };
        let begins =
            |at: usize, magic: &[u8]| beginning.get(at..).is_some_and(|rest| rest.starts_with(magic));
        forms.iter().find(|(at, magic, _)| begins(*at, magic)).map_or(Self::Other, |(_, _, form)| *form)
    }

    /// Its name, where there is one.
    pub(super) const fn word(self) -> Option<&'static str> {
        Some(match self {
            Self::BzImage => "bzImage",
            Self::Arm64Image => "arm64 Image",
            Self::Elf => "ELF",
            Self::Cpio => "cpio",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Xz => "xz",
            Self::Other => return None,
        })
    }

    /// The command that makes a plain archive of a ramdisk in this form.
    pub(super) const fn unpacker(self) -> Option<&'static str> {
        Some(match self {
            Self::Cpio => "cat",
            Self::Gzip => "zcat",
            Self::Zstd => "zstd -dc",
            Self::Lz4 => "lz4 -dc",
            Self::Xz => "xz -dc",
            Self::BzImage | Self::Arm64Image | Self::Elf | Self::Other => return None,
        })
    }
}

/// Linux' `Documentation/arch/x86/boot.rst` and `Documentation/arch/arm64/booting.rst`.
const KERNELS: &[(usize, &[u8], Content)] = &[
    (0x202, b"HdrS", Content::BzImage),
    (56, b"ARM\x64", Content::Arm64Image),
    (0, b"\x7fELF", Content::Elf),
];

/// Linux' `lib/decompress.c`, and cpio's newc form.
const RAMDISKS: &[(usize, &[u8], Content)] = &[
    (0, b"\x1f\x8b", Content::Gzip),
    (0, b"070701", Content::Cpio),
    (0, b"\x28\xb5\x2f\xfd", Content::Zstd),
    (0, b"\x02\x21\x4c\x18", Content::Lz4),
    (0, b"\xfd7zXZ\0", Content::Xz),
];
