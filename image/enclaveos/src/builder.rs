//! The whole build: locks → kernel and program → ramdisk → release.

use crate::error::EnclaveOsError;
use crate::files::{self, FileError};
use crate::lock::{EnclaveOsLock, KernelLock};
use crate::release::{Parts, RELEASES, Release};
use crate::toolchain::{Rustc, Toolchain};
use crate::tools::Environment;
use crate::userland::{self, ASSEMBLER, ENCLAVEOS};
use crate::{assembler, kernel, ramdisk};
use std::fs;
use std::path::{Path, PathBuf};

/// What to build, and where.
pub struct BuildOptions<'a> {
    /// A checkout of this repository.
    pub source: &'a Path,
    /// The cache: releases, results of steps, downloads, logs.
    pub cache: &'a Path,
    /// Whether every step runs anew, whatever the cache holds.
    pub rebuild: bool,
    /// Whether the release becomes this machine's default for new images.
    pub make_default: bool,
    /// Hears one line at the start of each step, and warnings.
    pub notify: &'a dyn Fn(&str),
}

/// Builds the release of a checkout, or finds it in the cache; and the assembler image beside it.
///
/// Only what changed is built: the kernel takes about four minutes on two processors, the program half a
/// minute. Builds that share a cache wait for each other.
pub fn build(options: &BuildOptions<'_>) -> Result<Release, EnclaveOsError> {
    let context = Context::new(options)?;
    let lock = EnclaveOsLock::read(&context.source)?;
    let kernel_lock = KernelLock::read(&context.source)?;
    let _turn = Turn::wait(&context)?;
    files::remove_partial(&context.cache.join(RELEASES))?;
    let tools = tools(&context, &lock)?;
    let kernel = kernel::build(&context, &kernel_lock, &tools.1)?;
    install(&context, &lock, &kernel_lock, tools, &kernel)
}

/// Builds everything but the kernel, which is given: what can be compared within minutes when something does not
/// reproduce.
pub fn build_userland(options: &BuildOptions<'_>, kernel: &[u8]) -> Result<Release, EnclaveOsError> {
    let context = Context::new(options)?;
    let lock = EnclaveOsLock::read(&context.source)?;
    let kernel_lock = KernelLock::read(&context.source)?;
    let _turn = Turn::wait(&context)?;
    let tools = tools(&context, &lock)?;
    install(&context, &lock, &kernel_lock, tools, kernel)
}

fn install(
    context: &Context<'_>,
    lock: &EnclaveOsLock,
    kernel_lock: &KernelLock,
    (rustc, toolchain): (Rustc, Toolchain),
    kernel: &[u8],
) -> Result<Release, EnclaveOsError> {
    let program = userland::build(&ENCLAVEOS, context, lock, &rustc, &toolchain)?;
    let ramdisk = ramdisk::build(&program, &lock.cmdline)?;
    let assembler = userland::build(&ASSEMBLER, context, lock, &rustc, &toolchain)?;
    let parts = Parts {
        version: &lock.version,
        kernel_version: &kernel_lock.version,
        kernel,
        cmdline: &lock.cmdline,
        ramdisk: &ramdisk,
        toolchain,
    };
    let release = Release::install(&context.cache, parts)?;
    if context.make_default {
        release.make_default(&context.cache)?;
    }
    assembler::write(&release, &assembler)?;
    Ok(release)
}

/// Builds the kernel alone.
pub fn build_kernel(options: &BuildOptions<'_>) -> Result<Vec<u8>, EnclaveOsError> {
    let context = Context::new(options)?;
    let lock = EnclaveOsLock::read(&context.source)?;
    let kernel_lock = KernelLock::read(&context.source)?;
    let _turn = Turn::wait(&context)?;
    let (_, toolchain) = tools(&context, &lock)?;
    Ok(kernel::build(&context, &kernel_lock, &toolchain)?)
}

fn tools(context: &Context<'_>, lock: &EnclaveOsLock) -> Result<(Rustc, Toolchain), EnclaveOsError> {
    let rustc = Rustc::detect(&context.environment, &context.source, lock)?;
    let toolchain = Toolchain::detect(&context.environment, &rustc, &lock.target)?;
    for difference in toolchain.differences(&lock.reference) {
        context.say(&difference);
    }
    Ok((rustc, toolchain))
}

/// What every step needs.
pub(crate) struct Context<'a> {
    /// Absolute, without links: it is compared with what ends up in programs.
    pub(crate) source: PathBuf,
    /// The same.
    pub(crate) cache: PathBuf,
    pub(crate) rebuild: bool,
    make_default: bool,
    pub(crate) notify: &'a dyn Fn(&str),
    pub(crate) environment: Environment,
}

impl<'a> Context<'a> {
    fn new(options: &BuildOptions<'a>) -> Result<Self, EnclaveOsError> {
        if !cfg!(target_arch = "x86_64") {
            return Err(EnclaveOsError::Processor(std::env::consts::ARCH));
        }
        files::create_dir(options.cache)?;
        let canonical = |path: &Path| fs::canonicalize(path).map_err(FileError::read(path));
        Ok(Self {
            source: canonical(options.source)?,
            cache: canonical(options.cache)?,
            rebuild: options.rebuild,
            make_default: options.make_default,
            notify: options.notify,
            environment: Environment::of_this_process(),
        })
    }

    pub(crate) fn say(&self, line: &str) {
        (self.notify)(line);
    }

    /// Where the output of a step goes.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.cache.join("logs").join(name)
    }
}

/// The right to build in a cache; given back when dropped, and by the kernel when the process dies.
struct Turn {
    _file: fs::File,
}

impl Turn {
    fn wait(context: &Context<'_>) -> Result<Self, FileError> {
        let path = context.cache.join("build.lock");
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(FileError::write(&path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                context.say("waiting for another build in the same cache");
                file.lock().map_err(FileError::write(&path))?;
            }
            Err(fs::TryLockError::Error(error)) => return Err(FileError::write(&path)(error)),
        }
        Ok(Self { _file: file })
    }
}
