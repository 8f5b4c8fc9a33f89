//! Which tools are on this machine: their versions end up in measured bytes.

use crate::lock::{ENCLAVEOS_LOCK, EnclaveOsLock, ReferenceTools};
use crate::tools::{Environment, Run, Tool, ToolError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The tools a release was made with, each as it names itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// First line of `rustc --version`.
    pub rustc: String,
    /// Target triple of the measured binary.
    pub target: String,
    /// First line of `gcc --version`.
    pub gcc: String,
    /// First line of `ld --version`.
    pub binutils: String,
    /// Package and version of the static libc.
    pub libc: String,
    /// Version of `zstd`.
    pub zstd: String,
}

/// Why the machine's Rust cannot build EnclaveOS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolchainError {
    /// A tool is missing or fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// Another compiler than the lock names.
    #[error("EnclaveOS needs Rust {wanted}, but `rustc` in this checkout is {found}.")]
    Compiler {
        /// Version of the lock.
        wanted: String,
        /// Version found.
        found: String,
    },
    /// The standard library for the target is not installed.
    #[error("Rust's standard library for {target} is not installed.")]
    Target {
        /// Target triple of the lock.
        target: String,
        /// Toolchain of the lock.
        toolchain: String,
    },
}

impl ToolchainError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Tool(error) => error.fix(),
            Self::Compiler { wanted, .. } => Some(format!("rustup toolchain install {wanted}")),
            Self::Target { target, toolchain } => Some(format!(
                "rustup target add --toolchain {toolchain} {target}\n\
                 or another `rust.target` in {ENCLAVEOS_LOCK} (PCR1 changes with it)"
            )),
        }
    }
}

/// The compiler's own description.
#[derive(Debug, Clone)]
pub(crate) struct Rustc {
    pub(crate) version: String,
    pub(crate) commit: String,
    pub(crate) sysroot: PathBuf,
}

impl Rustc {
    /// Asks the compiler that rustup chooses for a checkout, and compares it with the lock.
    pub(crate) fn detect(
        environment: &Environment,
        source: &Path,
        lock: &EnclaveOsLock,
    ) -> Result<Self, ToolchainError> {
        let ask = |arguments: &[&str]| {
            Run::new(environment, RUSTC)?.with(|c| c.args(arguments).current_dir(source)).answer()
        };
        let verbose = ask(&["-vV"])?.unwrap_or_default();
        let line = |name: &str| verbose.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let found = line("release: ").unwrap_or_else(|| "unknown".to_owned());
        if found != lock.rust_toolchain {
            return Err(ToolchainError::Compiler { wanted: lock.rust_toolchain.clone(), found });
        }
        let sysroot =
            ask(&["--print", "sysroot"])?.map(|text| PathBuf::from(text.trim())).unwrap_or_default();
        if !sysroot.join("lib/rustlib").join(&lock.target).join("lib").is_dir() {
            return Err(ToolchainError::Target {
                target: lock.target.clone(),
                toolchain: lock.rust_toolchain.clone(),
            });
        }
        let unusable = || ToolError::Answer { program: "rustc", answer: verbose.chars().take(200).collect() };
        let version = verbose.lines().next().map(str::to_owned).ok_or_else(unusable)?;
        let commit = line("commit-hash: ").ok_or_else(unusable)?;
        Ok(Self { version, commit, sysroot })
    }
}

impl Toolchain {
    /// Asks every tool for its version.
    pub(crate) fn detect(environment: &Environment, rustc: &Rustc, target: &str) -> Result<Self, ToolError> {
        let first_line = |tool: Tool| Run::new(environment, tool)?.with(|c| c.arg("--version")).first_line();
        let zstd = first_line(ZSTD)?;
        Ok(Self {
            rustc: rustc.version.clone(),
            target: target.to_owned(),
            gcc: first_line(GCC)?,
            binutils: first_line(LD)?,
            libc: libc(environment, target)?,
            zstd: zstd_version(&zstd).unwrap_or(&zstd).to_owned(),
        })
    }

    /// One sentence for each tool that is not the one the published PCR1 was made with.
    pub(crate) fn differences(&self, reference: &ReferenceTools) -> Vec<String> {
        let pairs = [
            ("gcc", &self.gcc, &reference.gcc),
            ("binutils", &self.binutils, &reference.binutils),
            ("libc", &self.libc, &reference.libc),
            ("zstd", &self.zstd, &reference.zstd),
        ];
        pairs
            .into_iter()
            .filter(|(_, found, wanted)| found != wanted)
            .map(|(name, found, wanted)| {
                format!(
                    "warning: {name} is `{found}` here, the reference is `{wanted}`: PCR1 may differ from the published one"
                )
            })
            .collect()
    }
}

/// Which libc is linked into the binary: Rust brings musl, Debian brings glibc.
fn libc(environment: &Environment, target: &str) -> Result<String, ToolError> {
    if target.ends_with("-musl") {
        return Ok("musl, as Rust ships it".to_owned());
    }
    let query = Run::new(environment, DPKG_QUERY)?.with(|c| {
        c.args(["--show", "--showformat", "${db:Status-Abbrev}${Package} ${Version}", "libc6-dev"])
    });
    let answer = query.answer()?.unwrap_or_default();
    answer
        .strip_prefix("ii ")
        .map(|text| text.trim().to_owned())
        .ok_or(ToolError::Missing { program: "libc.a", fix: "apt-get install libc6-dev" })
}

/// `1.5.4` from `*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***`.
fn zstd_version(line: &str) -> Option<&str> {
    line.split_once(" v")?.1.split_once(',').map(|(version, _)| version)
}

pub(crate) const RUSTC: Tool = Tool { program: "rustc", fix: "install rustup from https://rustup.rs" };
const GCC: Tool = Tool { program: "gcc", fix: "apt-get install gcc libc6-dev" };
const LD: Tool = Tool { program: "ld", fix: "apt-get install binutils" };
const ZSTD: Tool = Tool { program: "zstd", fix: "apt-get install zstd" };
const DPKG_QUERY: Tool = Tool { program: "dpkg-query", fix: "build on Debian or one of its relatives" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_zstd_is_found_in_its_words() {
        assert_eq!(zstd_version("*** Zstandard CLI (64-bit) v1.5.4, by Yann Collet ***"), Some("1.5.4"));
        assert_eq!(zstd_version("zstd"), None);
    }

    #[test]
    fn every_tool_that_differs_is_named() {
        let found = Toolchain {
            rustc: "rustc 1".into(),
            target: "t".into(),
            gcc: "gcc 12".into(),
            binutils: "ld 2".into(),
            libc: "libc6-dev 1".into(),
            zstd: "1".into(),
        };
        let mut reference = ReferenceTools {
            gcc: "gcc 12".into(),
            binutils: "ld 2".into(),
            libc: "libc6-dev 1".into(),
            zstd: "1".into(),
        };
        assert!(found.differences(&reference).is_empty());
        reference.gcc = "gcc 13".into();
        reference.zstd = "2".into();
        let differences = found.differences(&reference);
        assert_eq!(differences.len(), 2);
        assert_eq!(
            differences[0],
            "warning: gcc is `gcc 12` here, the reference is `gcc 13`: PCR1 may differ from the published one"
        );
    }
}
