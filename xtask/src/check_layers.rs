//! Checks that folders stay trust boundaries: who may depend on whom, which outside code core and
//! EnclaveOS hold, where `unsafe` is, that one toolchain builds everything that is measured, and that
//! the tests SPECIFICATION.md names exist.
//!
//! The rules are here and in `xtask/layers.toml`; their reasons are in `ARCHITECTURE.md`.

mod promises;
mod rules;
mod sources;
mod workspace;

use rules::{Lists, Problem};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The measured binary's package.
const ENCLAVE_OS: &str = "caution-enclave-os";

/// For outside users, some of whom have no operating system.
const NO_STD: &str = "caution-attest";

/// Why the check could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CheckError {
    /// A program could not be started.
    #[error("`{0}` could not be started.")]
    Start(String, #[source] std::io::Error),
    /// A program ended with an error.
    #[error("`{command}` failed: {message}")]
    Failed {
        /// The command line.
        command: String,
        /// What it wrote to stderr.
        message: String,
    },
    /// A file could not be read.
    #[error("{} cannot be read.", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// A TOML file has another shape.
    #[error("{} is malformed.", .0.display())]
    Toml(PathBuf, #[source] toml::de::Error),
    /// `cargo metadata` wrote something else.
    #[error("The output of `cargo metadata` was not understood.")]
    Metadata(#[from] serde_json::Error),
}

/// Every problem of the workspace at `root`; none: all is well.
pub(crate) fn run(root: &Path) -> Result<Vec<Problem>, CheckError> {
    let metadata = output(root, env!("CARGO"), &["metadata", "--no-deps", "--locked", "--format-version=1"])?;
    let crates = workspace::from_metadata(&metadata, root)?;
    let lists: Lists = read_toml(&root.join("xtask/layers.toml"))?;

    let mut problems = rules::check_edges(&crates);
    problems.extend(rules::check_core_lists(&crates, &lists));
    problems.extend(rules::check_enclave_list(&enclave_closure(root)?, &lists));
    problems.extend(rules::check_no_std(NO_STD, &tree(root, NO_STD, "normal,no-proc-macro", "{p}\t{f}")?));
    problems.extend(check_toolchain(root)?);
    for file in rust_files(root)? {
        let text = read(&root.join(&file))?;
        problems.extend(sources::check(&file, &text));
    }
    for reference in promises::references(&read(&root.join("SPECIFICATION.md"))?) {
        let source = read(&root.join(reference.file)).ok();
        problems.extend(promises::check(&reference, source.as_deref()));
    }
    Ok(problems)
}

/// `3 problems`, in words that fit the number.
pub(crate) fn counted(problems: usize) -> String {
    format!("{problems} problem{}", if problems == 1 { "" } else { "s" })
}

/// What EnclaveOS' binary is linked from and what only runs while it is compiled.
fn enclave_closure(root: &Path) -> Result<rules::Closure, CheckError> {
    let names = |edges: &str| -> Result<BTreeSet<String>, CheckError> {
        Ok(workspace::names_of_tree(&tree(root, ENCLAVE_OS, edges, "{p}")?))
    };
    let linked = names("normal,no-proc-macro")?;
    let compile_time = names("normal,build")?.difference(&linked).cloned().collect();
    Ok(rules::Closure { linked, compile_time })
}

/// Every package below `package`, a line each, in cargo's `format`.
fn tree(root: &Path, package: &str, edges: &str, format: &str) -> Result<String, CheckError> {
    let arguments = ["tree", "--locked", "--package", package, "--target", "x86_64-unknown-linux-gnu"];
    let form = ["--edges", edges, "--prefix", "none", "--format", format];
    output(root, env!("CARGO"), &[&arguments[..], &form[..]].concat())
}

/// The compiler is an input of every measured byte: both files that name it must agree.
fn check_toolchain(root: &Path) -> Result<Option<Problem>, CheckError> {
    #[derive(serde::Deserialize)]
    struct ToolchainFile {
        toolchain: Toolchain,
    }
    #[derive(serde::Deserialize)]
    struct Toolchain {
        channel: String,
    }
    #[derive(serde::Deserialize)]
    struct Lock {
        rust: LockedRust,
    }
    #[derive(serde::Deserialize)]
    struct LockedRust {
        toolchain: String,
    }
    let file: ToolchainFile = read_toml(&root.join("rust-toolchain.toml"))?;
    let lock: Lock = read_toml(&root.join("enclave/enclaveos.lock"))?;
    Ok(rules::check_toolchain(&file.toolchain.channel, &lock.rust.toolchain))
}

/// Rust files of the trust folders, those not committed yet included. Examples are other people's
/// applications as far as these rules go.
fn rust_files(root: &Path) -> Result<Vec<String>, CheckError> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "--", "*.rs", ":!examples"];
    let names = output(root, "git", &arguments)?;
    // A file deleted and not yet committed is still listed.
    Ok(names.lines().filter(|name| root.join(name).is_file()).map(str::to_owned).collect())
}

fn read(path: &Path) -> Result<String, CheckError> {
    std::fs::read_to_string(path).map_err(|error| CheckError::Read(path.to_owned(), error))
}

fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CheckError> {
    toml::from_str(&read(path)?).map_err(|error| CheckError::Toml(path.to_owned(), error))
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String, CheckError> {
    let command = || format!("{program} {}", arguments.join(" "));
    let done = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| CheckError::Start(command(), error))?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        let message = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        Err(CheckError::Failed { command: command(), message })
    }
}
