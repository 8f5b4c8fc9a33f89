//! What a file is, by its first bytes and where those say nothing by its path.

use super::keys;
use super::path::extension;
use super::system::SystemFile;

/// What a content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Elf,
    Pyc,
    Gzip,
    Xz,
    Zstd,
    Zip,
    Tar,
    Cpio,
    Ar,
    Pem,
    Der,
    Json,
    Kernel,
    Class,
    System(SystemFile),
    Text,
    Binary,
}

impl Kind {
    /// The kind of `content`, which lies at `path`.
    pub(super) fn of(path: &str, content: &[u8]) -> Self {
        if let Some(file) = SystemFile::of(path, content) {
            return Self::System(file);
        }
        match content {
            [0x7f, b'E', b'L', b'F', ..] => return Self::Elf,
            [0x1f, 0x8b, 8, ..] => return Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => return Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => return Self::Zstd,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => return Self::Zip,
            [0xca, 0xfe, 0xba, 0xbe, ..] => return Self::Class,
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => return Self::Cpio,
            _ if content.starts_with(b"!<arch>\n") => return Self::Ar,
            _ if content.get(257..262) == Some(b"ustar") => return Self::Tar,
            _ if content.get(0x202..0x206) == Some(b"HdrS") => return Self::Kernel,
            // The magic number of CPython ends so, whatever the version.
            [_, _, b'\r', b'\n', ..] if content.len() >= 16 && extension(path) == "pyc" => return Self::Pyc,
            _ => {}
        }
        match std::str::from_utf8(content) {
            Ok(text) if is_plain(text) => {
                if text.contains("-----BEGIN ") {
                    Self::Pem
                } else if matches!(text.trim_start().as_bytes(), [b'{' | b'[', ..])
                    && text.len() <= MOST_JSON_BYTES
                    && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
                {
                    Self::Json
                } else {
                    Self::Text
                }
            }
            _ if keys::is_certificate(content) => Self::Der,
            _ => Self::Binary,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Elf => "ELF file",
            Self::Pyc => "Python byte code",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Zip => "zip archive",
            Self::Tar => "tar archive",
            Self::Cpio => "cpio archive",
            Self::Ar => "ar archive",
            Self::Pem => "PEM",
            Self::Der => "certificate",
            Self::Json => "JSON",
            Self::Kernel => "Linux kernel image",
            Self::Class => "Java class",
            Self::System(file) => file.name(),
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }

    /// Whether it is another content, compressed.
    pub(super) const fn is_compression(self) -> bool {
        matches!(self, Self::Gzip | Self::Xz | Self::Zstd)
    }
}

/// Whether a text has no control characters that texts do not have.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|b| b < 0x20 && !matches!(b, b'\n' | b'\r' | b'\t' | 0x0c | 0x1b))
}

/// Longer documents are compared as texts: their values take many times the memory.
const MOST_JSON_BYTES: usize = 4 << 20;
