//! Our programs, EnclaveOS' one and the assembler, compiled so that the machine leaves no trace in them.

use crate::builder::Context;
use crate::files::{self, FileError};
use crate::key::KeyHasher;
use crate::lock::EnclaveOsLock;
use crate::stored::Store;
use crate::toolchain::{Rustc, Toolchain};
use crate::tools::{Run, Tool, ToolError};
use caution_measure::Sha256Digest;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserlandError {
    /// A tool is missing or fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A Cargo.toml cannot be read.
    #[error("{} is malformed: {}.", path.display(), cause.message())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// The reader's words.
        cause: Box<toml::de::Error>,
    },
    /// Neither HOME nor CARGO_HOME says where cargo keeps its sources.
    #[error("Cargo's home is unknown, because neither HOME nor CARGO_HOME is set.")]
    NoHome,
    /// A source file changed while it was compiled.
    #[error("The source of EnclaveOS changed while it was compiled.")]
    SourceChanged,
    /// The compiled program names a folder of this machine: elsewhere it would have other bytes.
    #[error("The compiled program holds the path {}, so its bytes depend on this machine.", path.display())]
    PathInside {
        /// The path.
        path: PathBuf,
    },
}

impl UserlandError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Tool(error) => error.fix(),
            Self::SourceChanged => Some("run the command again".into()),
            _ => None,
        }
    }
}

/// A program of ours.
pub(crate) struct Program {
    /// The folder of its crate.
    folder: &'static str,
    package: &'static str,
    name: &'static str,
    profile: &'static str,
    /// The kind of its results in the cache.
    kind: &'static str,
}

/// PID 1 of an enclave.
pub(crate) const ENCLAVEOS: Program = Program {
    folder: "enclave/os",
    package: "caution-enclave-os",
    name: "enclaveos",
    profile: "enclave",
    kind: "userland",
};

/// What container engines run to make an enclave image.
pub(crate) const ASSEMBLER: Program = Program {
    folder: "image/assemble",
    package: "caution-assemble",
    name: "caution-assemble",
    profile: "assemble",
    kind: "assembler",
};

/// A program, from the cache where its inputs did not change.
pub(crate) fn build(
    program: &Program,
    context: &Context<'_>,
    lock: &EnclaveOsLock,
    rustc: &Rustc,
    toolchain: &Toolchain,
) -> Result<Vec<u8>, UserlandError> {
    let Program { package, name, profile, kind, .. } = program;
    let key = key(program, &context.source, lock, toolchain)?;
    let store = Store::new(&context.cache, kind, MAX_PROGRAM);
    if let Some(bytes) = store.get(&key).filter(|_| !context.rebuild) {
        context.say(&format!("{name}: unchanged, from the cache"));
        return Ok(bytes);
    }
    let target_dir = store.folder().join("target");
    if context.rebuild {
        files::remove_dir(&target_dir)?;
    }
    files::create_dir(&target_dir)?;
    files::remove_partial(store.folder())?;
    let homes = Homes::of(context)?;
    context.say(&format!("{name}: fetching its dependencies"));
    // Their folders must be known before they are compiled: each is remapped.
    cargo(context, lock)?
        .with(|c| c.args(["fetch", "--locked", "--target", &lock.target]))
        .logged(&context.log(&format!("{name}-fetch.log")))?;
    context.say(&format!("{name}: compiling"));
    let folders = Folders::new(&context.source, &target_dir, &homes)?;
    let (flags, c_flags) = (rust_flags(&folders, rustc), c_flags(&folders));
    cargo(context, lock)?
        .with(|c| {
            c.args(["build", "--locked", "--profile", profile, "--package", package, "--bin", name])
                .args(["--target", &lock.target])
                .arg("--target-dir")
                .arg(&target_dir)
                .env("CARGO_ENCODED_RUSTFLAGS", flags)
                .env("CFLAGS", c_flags)
        })
        .logged(&context.log(&format!("{name}-compile.log")))?;
    let output = target_dir.join(&lock.target).join(profile).join(name);
    let bytes = files::read_limited(&output, MAX_PROGRAM)?;
    let mut folders: Vec<&Path> = vec![&context.source, &context.cache, &homes.cargo];
    folders.extend(homes.user.as_deref());
    check_paths(&bytes, &folders)?;
    if self::key(program, &context.source, lock, toolchain)? != key {
        return Err(UserlandError::SourceChanged);
    }
    store.put(&key, &bytes)?;
    Ok(bytes)
}

/// Where cargo and the user are at home.
struct Homes {
    cargo: PathBuf,
    user: Option<PathBuf>,
}

impl Homes {
    fn of(context: &Context<'_>) -> Result<Self, UserlandError> {
        let variable = |name| context.environment.get(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let user = variable("HOME");
        let cargo = variable("CARGO_HOME")
            .or_else(|| user.as_ref().map(|home| home.join(".cargo")))
            .ok_or(UserlandError::NoHome)?;
        Ok(Self { cargo, user })
    }
}

/// cargo in the checkout, deaf to the settings that a user may have made for himself.
fn cargo(context: &Context<'_>, lock: &EnclaveOsLock) -> Result<Run, ToolError> {
    context.environment.find(CC)?;
    let linker = format!("CARGO_TARGET_{}_LINKER", lock.target.to_uppercase().replace('-', "_"));
    let run = Run::new(&context.environment, CARGO)?;
    Ok(run.with(|c| {
        c.current_dir(&context.source)
            .env(linker, "cc")
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_BUILD_RUSTC_WRAPPER", "")
            .env("CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER", "")
            .env("CARGO_TERM_COLOR", "never")
            // C comes with AWS-LC alone: one compiler, and one way to build it whatever else is installed.
            .env("CC", "gcc")
            .env("AR", "ar")
            .env("CC_SHELL_ESCAPED_FLAGS", "1")
            .env("AWS_LC_SYS_CMAKE_BUILDER", "0")
    }))
}

/// Folders that compilers see, and what they are to be called in the program: the last one that fits is taken,
/// so the narrower ones follow the wider.
struct Folders(Vec<(PathBuf, &'static str)>);

impl Folders {
    fn new(source: &Path, target_dir: &Path, homes: &Homes) -> Result<Self, FileError> {
        let mut folders = vec![(homes.cargo.clone(), "/cargo")];
        // cargo names the folder of a registry after its address, which a mirror changes.
        folders.extend(registries(&homes.cargo)?.into_iter().map(|folder| (folder, "/cargo")));
        folders.extend([(source.to_owned(), "/caution"), (target_dir.to_owned(), "/target")]);
        Ok(Self(folders))
    }
}

/// Flags in cargo's encoding, parted by 0x1f, so that folders may have any name.
fn rust_flags(folders: &Folders, rustc: &Rustc) -> OsString {
    let mut flags: Vec<OsString> =
        ["-C", "target-feature=+crt-static", "-C", "link-arg=-Wl,--build-id=none"].map(OsString::from).into();
    let mut remap = |from: &Path, to: &str| flags.push(mapping("--remap-path-prefix=", from, to));
    for (from, to) in &folders.0 {
        remap(from, to);
    }
    // Where rust-src is installed, rustc shows its folder instead of the one it was built in.
    remap(&rustc.sysroot.join("lib/rustlib/src/rust"), &format!("/rustc/{}", rustc.commit));
    let encoded: Vec<&[u8]> = flags.iter().map(|flag| flag.as_bytes()).collect();
    OsString::from_vec(encoded.join(&0x1f))
}

/// Flags for C, each in a shell's quotes.
fn c_flags(folders: &Folders) -> OsString {
    let mut flags = Vec::new();
    for (from, to) in &folders.0 {
        let mapping = mapping("-ffile-prefix-map=", from, to);
        let quoted = mapping.as_bytes().split(|byte| *byte == b'\'').collect::<Vec<_>>().join(&br"'\''"[..]);
        flags.extend_from_slice(&[&b"'"[..], &quoted, b"' "].concat());
    }
    OsString::from_vec(flags)
}

fn mapping(flag: &str, from: &Path, to: &str) -> OsString {
    let mut mapping = OsString::from(flag);
    mapping.push(from);
    mapping.push("=");
    mapping.push(to);
    mapping
}

fn registries(cargo_home: &Path) -> Result<Vec<PathBuf>, FileError> {
    let folder = cargo_home.join("registry/src");
    // Absent where nothing was ever fetched.
    let Ok(entries) = fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in entries {
        found.push(entry.map_err(FileError::read(&folder))?.path());
    }
    found.sort_unstable();
    Ok(found)
}

/// Fails where the program holds a folder of this machine.
fn check_paths(program: &[u8], folders: &[&Path]) -> Result<(), UserlandError> {
    for folder in folders {
        // `/root` would be found in `/rootfs`; `/` everywhere.
        let mut needle = folder.as_os_str().as_bytes().to_vec();
        if needle.len() < 3 {
            continue;
        }
        needle.push(b'/');
        if program.windows(needle.len()).any(|window| window == needle) {
            return Err(UserlandError::PathInside { path: folder.to_path_buf() });
        }
    }
    Ok(())
}

/// A digest of everything that the program is made from.
fn key(
    program: &Program,
    source: &Path,
    lock: &EnclaveOsLock,
    toolchain: &Toolchain,
) -> Result<Sha256Digest, UserlandError> {
    let mut key = KeyHasher::new(&format!("caution {} 1", program.kind));
    key.field("target", lock.target.as_bytes());
    for (name, version) in [
        ("rustc", &toolchain.rustc),
        ("gcc", &toolchain.gcc),
        ("binutils", &toolchain.binutils),
        ("libc", &toolchain.libc),
    ] {
        key.field(name, version.as_bytes());
    }
    for name in ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"] {
        key.field(name, &files::read_limited(&source.join(name), MAX_MANIFEST)?);
    }
    for folder in own_crates(source, program.folder)? {
        key.tree(source, &source.join(folder))?;
    }
    Ok(key.finish())
}

/// Folders of the program's crate and of those it needs from this workspace, in order.
fn own_crates(source: &Path, folder: &str) -> Result<BTreeSet<PathBuf>, UserlandError> {
    let root: RootManifest = manifest(&source.join("Cargo.toml"))?;
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        if found.contains(&folder) {
            continue;
        }
        let manifest: CrateManifest = manifest(&source.join(&folder).join("Cargo.toml"))?;
        let names = manifest.dependencies.keys().chain(manifest.build_dependencies.keys());
        for name in names {
            if let Some(path) = root.workspace.dependencies.get(name).and_then(|value| value.get("path"))
                && let Some(path) = path.as_str()
            {
                open.push(PathBuf::from(path));
            }
        }
        found.insert(folder);
    }
    Ok(found)
}

fn manifest<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, UserlandError> {
    let text = files::read_text(path, MAX_MANIFEST)?;
    toml::from_str(&text)
        .map_err(|cause| UserlandError::Manifest { path: path.to_owned(), cause: Box::new(cause) })
}

#[derive(Deserialize)]
struct RootManifest {
    workspace: Workspace,
}

#[derive(Deserialize)]
struct Workspace {
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
}

/// Crates of this workspace take their dependencies from it, by name.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CrateManifest {
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default)]
    build_dependencies: BTreeMap<String, toml::Value>,
}

const MAX_PROGRAM: u64 = 64 * 1024 * 1024;
const MAX_MANIFEST: u64 = 4 * 1024 * 1024;
const CARGO: Tool = Tool { program: "cargo", fix: "install rustup from https://rustup.rs" };
const CC: Tool = Tool { program: "cc", fix: "apt-get install gcc libc6-dev" };

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn the_key_covers_exactly_the_crates_of_the_program() {
        let crates = own_crates(repository(), ENCLAVEOS.folder).unwrap();
        for folder in ["enclave/os", "enclave/sys", "core/measure", "core/abi"] {
            assert!(crates.contains(Path::new(folder)), "{folder}");
        }
        assert!(crates.iter().all(|folder| folder.starts_with("enclave") || folder.starts_with("core")));
    }

    #[test]
    fn a_path_of_the_machine_is_noticed() {
        let home = Path::new("/home/someone");
        assert!(check_paths(b"..../home/someone.txt..", &[home]).is_ok());
        let error = check_paths(b"../home/someone/caution/src/main.rs", &[home]).unwrap_err();
        assert!(matches!(error, UserlandError::PathInside { .. }), "{error}");
        assert!(check_paths(b"/rootfs/", &[Path::new("/root"), Path::new("/")]).is_ok());
    }

    #[test]
    fn flags_name_no_folder_without_a_remap() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("registry/src/mirror-1234")).unwrap();
        let homes = Homes { cargo: dir.path().to_owned(), user: None };
        let rustc = Rustc { version: "rustc 1".into(), commit: "abc".into(), sysroot: "/sysroot".into() };
        let folders = Folders::new(Path::new("/s p's"), Path::new("/t"), &homes).unwrap();
        let flags = rust_flags(&folders, &rustc);
        let flags = flags.into_string().unwrap();
        let flags: Vec<&str> = flags.split('\u{1f}').collect();
        assert!(flags.contains(&"--remap-path-prefix=/s p's=/caution"), "{flags:?}");
        let mirror = format!("--remap-path-prefix={}/registry/src/mirror-1234=/cargo", dir.path().display());
        assert!(flags.contains(&mirror.as_str()), "{flags:?}");
        assert_eq!(flags.last(), Some(&"--remap-path-prefix=/sysroot/lib/rustlib/src/rust=/rustc/abc"));
        let flags = c_flags(&folders).into_string().unwrap();
        assert!(
            flags.ends_with(r"'-ffile-prefix-map=/s p'\''s=/caution' '-ffile-prefix-map=/t=/target' "),
            "{flags}"
        );
    }
}
