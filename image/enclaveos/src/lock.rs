//! The two lock files: what a release is made with.

use crate::files::{self, FileError};
use caution_measure::{HexError, Sha256Digest};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Where the EnclaveOS lock is in a checkout.
pub(crate) const ENCLAVEOS_LOCK: &str = "enclave/enclaveos.lock";
/// Where the kernel lock is in a checkout.
pub(crate) const KERNEL_LOCK: &str = "enclave/kernel/kernel.lock";

/// What `enclave/enclaveos.lock` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnclaveOsLock {
    /// Version text of the release, for people.
    pub version: String,
    /// The measured kernel command line: printable ASCII, at most 1024 bytes.
    pub cmdline: String,
    /// Rust toolchain, three numbers.
    pub rust_toolchain: String,
    /// Target triple of the measured binary.
    pub target: String,
    /// The other tools that the published PCR1 was made with.
    pub reference: ReferenceTools,
}

/// Tools whose version ends up in measured bytes, each as the tool names itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceTools {
    /// First line of `gcc --version`.
    pub gcc: String,
    /// First line of `ld --version`.
    pub binutils: String,
    /// Package and version of the static libc.
    pub libc: String,
    /// Version of `zstd`, which compresses the kernel.
    pub zstd: String,
}

/// What `enclave/kernel/kernel.lock` says: the Debian package that holds the kernel's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelLock {
    /// Package name, `linux-source-<series>`.
    pub package: String,
    /// Package version.
    pub version: String,
    /// SHA-256 of the `.deb`.
    pub sha256: Sha256Digest,
}

/// Why a lock file is not one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not TOML of this shape.
    #[error("{}, line {line}: {}.", path.display(), cause.message())]
    Syntax {
        /// The lock file.
        path: PathBuf,
        /// One-based line number.
        line: usize,
        /// The reader's words.
        cause: Box<toml::de::Error>,
    },
    /// Another format.
    #[error("{} has format {found}, and this version of caution reads format 1.", path.display())]
    Format {
        /// The lock file.
        path: PathBuf,
        /// The format number in the file.
        found: u32,
    },
    /// A value is not what its key needs.
    #[error("{}: `{key}` is `{value}`, but must be {expected}.", path.display())]
    Value {
        /// The lock file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What the key needs.
        expected: &'static str,
    },
    /// The digest is malformed.
    #[error("{}: `sha256` is malformed.", path.display())]
    Digest {
        /// The lock file.
        path: PathBuf,
        /// What is wrong with it.
        source: HexError,
    },
    /// The lock and rust-toolchain.toml name different compilers.
    #[error("{ENCLAVEOS_LOCK} names Rust {locked}, but rust-toolchain.toml names {pinned}.")]
    Toolchain {
        /// Toolchain of the lock.
        locked: String,
        /// Toolchain of rust-toolchain.toml.
        pinned: String,
    },
}

impl LockError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Toolchain { .. } => Some("write the same version into both".into()),
            _ => None,
        }
    }
}

impl EnclaveOsLock {
    /// Reads the lock of a checkout and compares it with the checkout's rust-toolchain.toml.
    pub fn read(source: &Path) -> Result<Self, LockError> {
        let path = source.join(ENCLAVEOS_LOCK);
        let lock = Self::parse(&files::read_text(&path, MAX_BYTES)?, &path)?;
        let path = source.join("rust-toolchain.toml");
        let pinned: RawToolchainFile = parse_toml(&files::read_text(&path, MAX_BYTES)?, &path)?;
        if pinned.toolchain.channel == lock.rust_toolchain {
            Ok(lock)
        } else {
            Err(LockError::Toolchain { locked: lock.rust_toolchain, pinned: pinned.toolchain.channel })
        }
    }

    /// Reads the text of a lock. `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LockError> {
        let raw: RawEnclaveOsLock = parse_toml(text, path)?;
        check_format(raw.format, path)?;
        let check = |key, value: &str, expected, holds: bool| {
            let value = value.to_owned();
            if holds { Ok(()) } else { Err(LockError::Value { path: path.to_owned(), key, value, expected }) }
        };
        let is_word = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+".contains(&b))
        };
        check(
            "version",
            &raw.version,
            "1 to 64 letters, digits, dots, dashes or plus signs",
            is_word(&raw.version),
        )?;
        // The kernel keeps 2048 bytes, and QEMU and Nitro add one argument a device.
        let is_cmdline = (1..=1024).contains(&raw.cmdline.len())
            && raw.cmdline.bytes().all(|b| (b' '..=b'~').contains(&b))
            && raw.cmdline.trim() == raw.cmdline;
        check(
            "cmdline",
            &raw.cmdline,
            "1 to 1024 printable ASCII characters without outer spaces",
            is_cmdline,
        )?;
        let is_release = raw.rust.toolchain.split('.').count() == 3
            && raw.rust.toolchain.split('.').all(|part| part.parse::<u16>().is_ok());
        check(
            "rust.toolchain",
            &raw.rust.toolchain,
            "a whole version such as 1.95.0: a channel moves",
            is_release,
        )?;
        check(
            "rust.target",
            &raw.rust.target,
            "x86_64-unknown-linux-gnu or x86_64-unknown-linux-musl",
            TARGETS.contains(&raw.rust.target.as_str()),
        )?;
        Ok(Self {
            version: raw.version,
            cmdline: raw.cmdline,
            rust_toolchain: raw.rust.toolchain,
            target: raw.rust.target,
            reference: raw.reference,
        })
    }
}

impl KernelLock {
    /// Reads the lock of a checkout.
    pub fn read(source: &Path) -> Result<Self, LockError> {
        let path = source.join(KERNEL_LOCK);
        Self::parse(&files::read_text(&path, MAX_BYTES)?, &path)
    }

    /// Reads the text of a lock. `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, LockError> {
        let raw: RawKernelLock = parse_toml(text, path)?;
        check_format(raw.format, path)?;
        if !is_kernel_package(&raw.package) {
            return Err(LockError::Value {
                path: path.to_owned(),
                key: "package",
                value: raw.package,
                expected: "`linux-source-` and a series, as in linux-source-6.12",
            });
        }
        if !is_debian_version(&raw.version) {
            return Err(LockError::Value {
                path: path.to_owned(),
                key: "version",
                value: raw.version,
                expected: "a Debian package version",
            });
        }
        let sha256 =
            raw.sha256.parse().map_err(|source| LockError::Digest { path: path.to_owned(), source })?;
        Ok(Self { package: raw.package, version: raw.version, sha256 })
    }

    /// The text of the lock file, comments included.
    pub fn to_text(&self) -> String {
        let Self { package, version, sha256 } = self;
        format!(
            "{KERNEL_LOCK_HEAD}format = 1\npackage = \"{package}\"\nversion = \"{version}\"\nsha256 = \"{sha256}\"\n"
        )
    }
}

/// Whether a name is one of Debian's kernel source packages; nothing else is ever given to apt.
pub(crate) fn is_kernel_package(name: &str) -> bool {
    name.strip_prefix("linux-source-").is_some_and(|series| {
        (1..=16).contains(&series.len())
            && series.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && series.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// Whether a text can be a Debian version (Debian policy §5.6.12), so that it is safe as an argument.
pub(crate) fn is_debian_version(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+-~:".contains(&b))
}

fn parse_toml<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, LockError> {
    toml::from_str(text).map_err(|cause| {
        let before = cause.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        LockError::Syntax { path: path.to_owned(), line, cause: Box::new(cause) }
    })
}

fn check_format(found: u32, path: &Path) -> Result<(), LockError> {
    if found == 1 { Ok(()) } else { Err(LockError::Format { path: path.to_owned(), found }) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEnclaveOsLock {
    format: u32,
    version: String,
    cmdline: String,
    rust: RawRust,
    reference: ReferenceTools,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRust {
    toolchain: String,
    target: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKernelLock {
    format: u32,
    package: String,
    version: String,
    sha256: String,
}

/// rustup's file has more keys; only the channel matters here.
#[derive(Deserialize)]
struct RawToolchainFile {
    toolchain: RawChannel,
}

#[derive(Deserialize)]
struct RawChannel {
    channel: String,
}

const MAX_BYTES: u64 = 64 * 1024;
const TARGETS: [&str; 2] = ["x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"];
const KERNEL_LOCK_HEAD: &str = "\
# The kernel source that EnclaveOS is built from: a package of Debian's archive, pinned by its bytes.
# `caution enclaveos lock` writes this file anew with the version that the archive offers today;
# PCR1 changes with it.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    fn enclaveos(change: impl Fn(String) -> String) -> Result<EnclaveOsLock, LockError> {
        let text = std::fs::read_to_string(repository().join(ENCLAVEOS_LOCK)).unwrap();
        EnclaveOsLock::parse(&change(text), Path::new("lock"))
    }

    fn kernel(change: impl Fn(String) -> String) -> Result<KernelLock, LockError> {
        let text = std::fs::read_to_string(repository().join(KERNEL_LOCK)).unwrap();
        KernelLock::parse(&change(text), Path::new("lock"))
    }

    #[test]
    fn the_locks_of_this_repository_are_valid() {
        let lock = EnclaveOsLock::read(repository()).unwrap();
        assert!(lock.cmdline.contains("reboot=k panic=1 pci=off nomodules"));
        let lock = KernelLock::read(repository()).unwrap();
        assert!(lock.package.starts_with("linux-source-"));
    }

    #[test]
    fn a_written_kernel_lock_is_read_back_and_this_one_was_written_by_us() {
        let text = std::fs::read_to_string(repository().join(KERNEL_LOCK)).unwrap();
        assert_eq!(KernelLock::parse(&text, Path::new("lock")).unwrap().to_text(), text);
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = kernel(|text| text.replace("package =", "packge =")).unwrap_err();
        assert!(matches!(error, LockError::Syntax { line: 5, .. }), "{error}");
        assert!(error.to_string().contains("`packge`"), "{error}");
        let error = enclaveos(|text| format!("{text}clang = \"x\"\n")).unwrap_err();
        assert!(matches!(error, LockError::Syntax { .. }), "{error}");
    }

    #[test]
    fn another_format_is_refused() {
        let error = kernel(|text| text.replace("format = 1", "format = 2")).unwrap_err();
        assert!(matches!(error, LockError::Format { found: 2, .. }), "{error}");
    }

    #[test]
    fn values_are_checked() {
        for (from, to, key) in [
            ("linux-source-6.12", "--purge", "package"),
            ("linux-source-6.12", "linux-source-", "package"),
            ("6.12.117-1~deb12u1", "6.12.117 1", "version"),
            ("6.12.117-1~deb12u1", "", "version"),
        ] {
            let error = kernel(|text| text.replace(from, to)).unwrap_err();
            assert!(matches!(&error, LockError::Value { key: k, .. } if *k == key), "{to}: {error}");
        }
        for (from, to, key) in [
            ("1.95.0", "stable", "rust.toolchain"),
            ("\"x86_64-unknown-linux-gnu\"", "\"aarch64-unknown-linux-gnu\"", "rust.target"),
            ("reboot=k", " reboot=k", "cmdline"),
            ("reboot=k", "reboot=é", "cmdline"),
            ("reboot=k", "a\\nb", "cmdline"),
            ("version = \"0", "version = \"/0", "version"),
        ] {
            let error = enclaveos(|text| text.replace(from, to)).unwrap_err();
            assert!(matches!(&error, LockError::Value { key: k, .. } if *k == key), "{to}: {error}");
        }
        let error = kernel(|text| text.replace("sha256 = \"e", "sha256 = \"x")).unwrap_err();
        assert!(matches!(error, LockError::Digest { .. }), "{error}");
    }

    #[test]
    fn two_compilers_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("enclave")).unwrap();
        std::fs::copy(repository().join(ENCLAVEOS_LOCK), dir.path().join(ENCLAVEOS_LOCK)).unwrap();
        std::fs::write(dir.path().join("rust-toolchain.toml"), "[toolchain]\nchannel = \"1.90.0\"\n")
            .unwrap();
        let error = EnclaveOsLock::read(dir.path()).unwrap_err();
        assert!(matches!(error, LockError::Toolchain { .. }), "{error}");
    }
}
