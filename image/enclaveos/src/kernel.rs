//! The kernel: pinned source and our options to a bzImage, the same bytes each time.

use crate::builder::Context;
use crate::debian::{self, SourceError};
use crate::files::{self, FileError, PartialDir};
use crate::kconfig::{CONFIG, ConfigError, Fragment};
use crate::key::KeyHasher;
use crate::lock::KernelLock;
use crate::release::MAX_KERNEL;
use crate::stored::Store;
use crate::toolchain::Toolchain;
use crate::tools::{Run, Tool, ToolError};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The source is not at hand.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The options are unclear, or the kernel's rules overrule them.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tool is missing or fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The disk has too little room.
    #[error("Building the kernel needs {needed_mib} MiB in {}, where {free_mib} MiB are free.", path.display())]
    Disk {
        /// Where it would be built.
        path: PathBuf,
        /// Room it needs, MiB.
        needed_mib: u64,
        /// Room there is, MiB.
        free_mib: u64,
    },
    /// The package does not hold the source where Debian puts it.
    #[error("The package {package} {version} does not hold {missing}.")]
    Layout {
        /// Package of the lock.
        package: String,
        /// Version of the lock.
        version: String,
        /// What was expected.
        missing: String,
    },
    /// People find the application's file system as the second gzip stream of an enclave image; the
    /// kernel must not hold bytes that look like one.
    #[error(
        "The kernel image holds the bytes 1f 8b 08 at offset {offset}, which tools take for a gzip stream."
    )]
    LooksLikeGzip {
        /// Where in the image.
        offset: usize,
    },
}

impl KernelError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.fix(),
            Self::Config(error) => error.fix(),
            Self::Tool(error) => error.fix(),
            Self::Disk { .. } => Some("make room, or choose another folder with --workdir".into()),
            Self::LooksLikeGzip { .. } => {
                Some(format!("change CONFIG_LOCALVERSION in {CONFIG} and build again"))
            }
            _ => None,
        }
    }
}

/// The kernel image, from the cache where its inputs did not change.
pub(crate) fn build(
    context: &Context<'_>,
    lock: &KernelLock,
    toolchain: &Toolchain,
) -> Result<Vec<u8>, KernelError> {
    let text = files::read_text(&context.source.join(CONFIG), MAX_CONFIG)?;
    let fragment = Fragment::parse(&text)?;
    let mut key = KeyHasher::new("caution kernel 1");
    key.field("source", lock.sha256.as_bytes());
    key.field("config", text.as_bytes());
    key.field("gcc", toolchain.gcc.as_bytes());
    key.field("binutils", toolchain.binutils.as_bytes());
    key.field("zstd", toolchain.zstd.as_bytes());
    let key = key.finish();
    let store = Store::new(&context.cache, "kernel", MAX_KERNEL);
    if let Some(image) = store.get(&key).filter(|_| !context.rebuild) {
        context.say("kernel: unchanged, from the cache");
        return Ok(image);
    }
    for tool in TOOLS {
        context.environment.find(tool)?;
    }
    if !Path::new(LIBELF).exists() {
        let fix = "apt-get install libelf-dev";
        return Err(ToolError::Missing { program: "libelf.h", fix }.into());
    }
    let package = debian::fetch(&context.environment, &context.cache, lock, context.notify)?;
    files::remove_partial(store.folder())?;
    let work = PartialDir::new(store.folder())?;
    require_room(work.path())?;
    context.say("kernel: unpacking the source");
    let tree = unpack(context, lock, &package, work.path())?;
    configure(context, &tree, &text, &fragment)?;
    context.say("kernel: compiling, about seven processor minutes");
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    make(context, &tree, &["bzImage", &format!("-j{jobs}")], "kernel-compile.log")?;
    let image = files::read_limited(&tree.join("arch/x86/boot/bzImage"), MAX_KERNEL)?;
    check_image(&image)?;
    store.put(&key, &image)?;
    Ok(image)
}

/// Takes the source tree out of the package. Its folder has the package's name.
fn unpack(
    context: &Context<'_>,
    lock: &KernelLock,
    package: &Path,
    work: &Path,
) -> Result<PathBuf, KernelError> {
    let outer = work.join("package");
    Run::new(&context.environment, DPKG_DEB)?
        .with(|c| c.arg("--extract").arg(package).arg(&outer))
        .logged(&context.log("kernel-unpack.log"))?;
    let archive = outer.join("usr/src").join(format!("{}.tar.xz", lock.package));
    let layout = |missing: String| KernelError::Layout {
        package: lock.package.clone(),
        version: lock.version.clone(),
        missing,
    };
    if !archive.is_file() {
        return Err(layout(format!("usr/src/{}.tar.xz", lock.package)));
    }
    Run::new(&context.environment, TAR)?
        .with(|c| {
            c.args(["--extract", "--xz", "--no-same-owner", "--no-same-permissions", "--file"])
                .arg(&archive)
                .arg("--directory")
                .arg(work)
        })
        .logged(&context.log("kernel-unpack.log"))?;
    files::remove_dir(&outer)?;
    let tree = work.join(&lock.package);
    if tree.join("Makefile").is_file() { Ok(tree) } else { Err(layout(format!("{}/Makefile", lock.package))) }
}

/// Writes `.config`: the smallest one, with our options over it.
fn configure(context: &Context<'_>, tree: &Path, text: &str, fragment: &Fragment) -> Result<(), KernelError> {
    make(context, tree, &["tinyconfig"], "kernel-configure.log")?;
    let path = tree.join(".config");
    let mut file = fs::OpenOptions::new().append(true).open(&path).map_err(FileError::write(&path))?;
    // Kconfig takes the last word on an option.
    file.write_all(text.as_bytes()).map_err(FileError::write(&path))?;
    drop(file);
    make(context, tree, &["olddefconfig"], "kernel-configure.log")?;
    Ok(fragment.check(&files::read_text(&path, MAX_CONFIG)?)?)
}

fn make(context: &Context<'_>, tree: &Path, arguments: &[&str], log: &str) -> Result<(), ToolError> {
    Run::new(&context.environment, MAKE)?
        .with(|c| {
            c.args(["ARCH=x86_64", "CC=gcc", "HOSTCC=gcc", "LD=ld"])
                .args(arguments)
                .current_dir(tree)
                .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan 1 00:00:00 UTC 1970")
                .env("KBUILD_BUILD_USER", "enclaveos")
                .env("KBUILD_BUILD_HOST", "caution")
                .env("KBUILD_BUILD_VERSION", "1")
        })
        .logged(&context.log(log))
}

fn check_image(image: &[u8]) -> Result<(), KernelError> {
    match image.windows(GZIP.len()).position(|window| window == GZIP) {
        Some(offset) => Err(KernelError::LooksLikeGzip { offset }),
        None => Ok(()),
    }
}

fn require_room(path: &Path) -> Result<(), KernelError> {
    let stat = nix::sys::statvfs::statvfs(path)
        .map_err(|errno| FileError::Read { path: path.to_owned(), source: errno.into() })?;
    let free_mib = stat.blocks_available().saturating_mul(stat.fragment_size()) / (1024 * 1024);
    if free_mib < NEEDED_MIB {
        return Err(KernelError::Disk { path: path.to_owned(), needed_mib: NEEDED_MIB, free_mib });
    }
    Ok(())
}

const MAX_CONFIG: u64 = 1024 * 1024;
/// Source 1.6 GB, package 0.3 GB, objects 0.3 GB.
const NEEDED_MIB: u64 = 2560;
/// A gzip member with deflate (RFC 1952 §2.3): the only kind there is.
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];

const DPKG_DEB: Tool = Tool { program: "dpkg-deb", fix: "build on Debian or one of its relatives" };
const TAR: Tool = Tool { program: "tar", fix: "apt-get install tar" };
const MAKE: Tool = Tool { program: "make", fix: "apt-get install make" };
/// What the kernel's makefiles call, checked first: they would fail minutes later and less clearly.
const TOOLS: [Tool; 9] = [
    DPKG_DEB,
    TAR,
    MAKE,
    Tool { program: "xz", fix: "apt-get install xz-utils" },
    Tool { program: "flex", fix: "apt-get install flex" },
    Tool { program: "bison", fix: "apt-get install bison" },
    Tool { program: "bc", fix: "apt-get install bc" },
    Tool { program: "perl", fix: "apt-get install perl" },
    Tool { program: "awk", fix: "apt-get install mawk" },
];
/// objtool, which the kernel's build makes for itself, needs it.
const LIBELF: &str = "/usr/include/libelf.h";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_looks_like_gzip_is_refused() {
        assert!(check_image(b"abc\x1f\x8b\x00\x1f\x8b").is_ok());
        assert!(matches!(check_image(b"abc\x1f\x8b\x08"), Err(KernelError::LooksLikeGzip { offset: 3 })));
    }

    #[test]
    fn too_little_room_is_said_in_numbers() {
        let error = KernelError::Disk { path: "/cache".into(), needed_mib: 2560, free_mib: 12 };
        assert_eq!(error.to_string(), "Building the kernel needs 2560 MiB in /cache, where 12 MiB are free.");
        assert!(error.fix().is_some_and(|fix| fix.contains("--workdir")));
    }
}
