//! The image, measured and taken apart in one pass: what boots is what was measured.
//!
//! The file is read once. Its kernel and ramdisks go into unnamed files of our own while they are
//! measured, and QEMU is given those; replacing or changing the file in between changes nothing.
//! Unnamed files vanish with this process, whatever happens to it.

use crate::admission::{self, ImageSize, UnpackedSize};
use crate::config::Dirs;
use crate::error::HostError;
use caution_eif::{Limits, SectionInfo, SectionKind};
use caution_measure::{Measurements, Sha256Digest};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// An image ready to boot.
#[derive(Debug)]
pub(crate) struct BootImage {
    /// PCR0 to PCR2 of exactly what the files hold.
    pub(crate) measurements: Measurements,
    /// Digest of the whole file.
    pub(crate) sha256: Sha256Digest,
    /// The kernel's command line.
    pub(crate) cmdline: String,
    /// What it needs.
    pub(crate) size: ImageSize,
    kernel: File,
    ramdisks: File,
}

impl BootImage {
    /// Reads, measures and copies the image at `path`; counts unpacked bytes up to `memory_mib`.
    pub(crate) fn read(path: &Path, dirs: &Dirs, memory_mib: u32) -> Result<Self, HostError> {
        let file_error = |doing, path: &Path| {
            let path = path.to_owned();
            move |cause| HostError::File { doing, path, cause }
        };
        let file = File::open(path).map_err(file_error("Opening", path))?;
        let length = file.metadata().map_err(file_error("Reading", path))?.len();
        std::fs::create_dir_all(&dirs.cache).map_err(file_error("Creating", &dirs.cache))?;
        admission::disk(&dirs.cache, length)?;
        let private = || tempfile::tempfile_in(&dirs.cache).map_err(file_error("Writing to", &dirs.cache));
        let limit = u64::from(memory_mib) << 20;
        let mut parts = Parts {
            kernel: private()?,
            ramdisks: private()?,
            size: ImageSize::default(),
            ramdisk: None,
            limit,
        };
        let image =
            caution_eif::read_with(file, &Limits::default(), |section, bytes| parts.add(section, bytes))
                .map_err(|cause| HostError::Image { path: path.to_owned(), cause })?;
        parts.end_ramdisk();
        parts.size.half_is_kept_free = admission::unpacks_into_tmpfs(&image.cmdline);
        Ok(Self {
            measurements: image.measurements,
            sha256: image.sha256,
            cmdline: image.cmdline,
            size: parts.size,
            kernel: parts.kernel,
            ramdisks: parts.ramdisks,
        })
    }

    /// Where a child can open the kernel, as long as this process holds it.
    pub(crate) fn kernel_path(&self) -> PathBuf {
        shared_path(&self.kernel)
    }

    /// Where a child can open the ramdisks, one after another as on Nitro.
    pub(crate) fn ramdisks_path(&self) -> PathBuf {
        shared_path(&self.ramdisks)
    }
}

/// The file has no name; proc(5) lets processes of the same user open it through this one.
fn shared_path(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

struct Parts {
    kernel: File,
    ramdisks: File,
    size: ImageSize,
    /// The ramdisk that is passing: its offset in the image, and its unpacked size so far.
    ramdisk: Option<(u64, UnpackedSize)>,
    limit: u64,
}

impl Parts {
    fn add(&mut self, section: &SectionInfo, bytes: &[u8]) -> io::Result<()> {
        match section.kind {
            SectionKind::Kernel => {
                self.size.packed += bytes.len() as u64;
                self.kernel.write_all(bytes)
            }
            SectionKind::Ramdisk => {
                if self.ramdisk.as_ref().is_none_or(|(offset, _)| *offset != section.offset) {
                    self.end_ramdisk();
                    let left = self.limit.saturating_sub(self.size.unpacked);
                    self.ramdisk = Some((section.offset, UnpackedSize::new(left)));
                }
                if let Some((_, unpacked)) = &mut self.ramdisk {
                    unpacked.add(bytes);
                }
                self.size.packed += bytes.len() as u64;
                self.ramdisks.write_all(bytes)
            }
            _ => Ok(()),
        }
    }

    fn end_ramdisk(&mut self) {
        if let Some((_, unpacked)) = self.ramdisk.take() {
            let (bytes, over) = unpacked.finish();
            self.size.unpacked += bytes;
            self.size.unpacked_is_minimum |= over;
        }
    }
}
