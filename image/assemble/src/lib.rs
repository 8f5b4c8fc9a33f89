//! A platform, a tree and a boot plan to an enclave image, in one pass.
//!
//! Two programs call [`write_parts`], so that both write the same bytes: `caution apps build`, with a tree
//! merged from layers, and `caution-assemble`, with one that a container engine unpacked (`specs/build.md` §8).

mod arguments;

pub use arguments::{ArgumentError, Arguments, Root};

use caution_abi::boot_plan::{self, BootPlan};
use caution_abi::seal::{self, Seal};
use caution_eif::{EifError, Metadata, Writer};
use caution_rootfs::gzip::GzipWriter;
use caution_rootfs::{RootfsError, Store, Tree};
use std::io::{self, Read, Seek, Write};

/// The parts of an EnclaveOS release.
#[derive(Debug)]
pub struct Platform<'a, K, R> {
    /// The kernel image.
    pub kernel: K,
    /// The kernel command line.
    pub cmdline: &'a str,
    /// Ramdisk 0.
    pub ramdisk: R,
    /// What the metadata calls the kernel.
    pub kernel_version: &'a str,
}

/// What becomes ramdisk 1.
#[derive(Debug, Clone, Copy)]
pub struct Application<'a> {
    /// The root file system.
    pub tree: &'a Tree,
    /// What EnclaveOS does with it.
    pub plan: &'a BootPlan,
    /// Where compressed blocks are looked for and kept, if anywhere; it decides no byte.
    pub store: Option<&'a Store>,
}

/// Why the parts of an image cannot be written.
// Exhaustive: callers give each a name of their own.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The enclave image.
    #[error("The enclave image cannot be written.")]
    Eif(#[from] EifError),
    /// The application's tree.
    #[error("The application's files cannot be written as an archive.")]
    Rootfs(#[from] RootfsError),
    /// Ramdisk 1 or the copy of both.
    #[error("The ramdisks cannot be written.")]
    Ramdisk(#[source] io::Error),
}

/// Writes all sections of an image; `copy` gets both ramdisks, one after the other.
///
/// Ramdisk 1 is made while it is written: the tree's archive goes through the compressor into the image and
/// the copy at once and is nowhere held as a whole.
pub fn write_parts<W: Read + Write + Seek>(
    writer: &mut Writer<W>,
    platform: Platform<'_, impl Read, impl Read>,
    application: Application<'_>,
    mut copy: impl Write,
) -> Result<(), AssembleError> {
    writer.kernel(platform.kernel)?;
    writer.cmdline(platform.cmdline)?;
    writer.metadata(&Metadata::new(platform.kernel_version))?;
    writer.ramdisk(TeeReader { from: platform.ramdisk, copy: &mut copy })?;
    let section = writer.ramdisk_writer()?;
    let both = TeeWriter { to: section, copy: &mut copy };
    let Application { tree, plan, store } = application;
    let gzip = GzipWriter::with_store(both, store).map_err(AssembleError::Ramdisk)?;
    let (plan, seal) = (plan.to_bytes(), Seal::new(tree.len() as u64).to_bytes());
    let beside: [(&str, &[u8]); 2] = [(boot_plan::PATH, &plan), (seal::PATH, &seal)];
    let gzip = tree.write_cpio(boot_plan::ROOTFS_DIR, &beside, gzip)?;
    gzip.finish().map_err(AssembleError::Ramdisk)?.to.finish()?;
    Ok(())
}

/// Copies what is read.
struct TeeReader<'c, R, C> {
    from: R,
    copy: &'c mut C,
}

impl<R: Read, C: Write> Read for TeeReader<'_, R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.copy.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// Copies what is written.
struct TeeWriter<'c, W, C> {
    to: W,
    copy: &'c mut C,
}

impl<W: Write, C: Write> Write for TeeWriter<'_, W, C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.copy.write_all(&bytes[..count])?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()?;
        self.copy.flush()
    }
}
