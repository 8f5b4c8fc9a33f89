//! The image, measured and taken apart in one pass: what boots is what was measured.
//!
//! The file is copied once, and the copy is read once. Its kernel and ramdisks go into unnamed files of our own while they are
//! measured, and QEMU is given those; replacing or changing the file in between changes nothing.
//! Unnamed files vanish with this process, whatever happens to it.

use crate::config::Dirs;
use crate::error::HostError;
use crate::files::deployed::Shelf;
use crate::run::admission::{self, ImageSize, UnpackedSize};
use caution_eif::{Limits, SectionInfo, SectionKind};
use caution_measure::{ImagePcrs, Sha256Digest};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

/// An image ready to boot.
#[derive(Debug)]
pub(crate) struct BootImage {
    /// The registers of exactly what the files hold.
    pub(crate) pcrs: ImagePcrs,
    /// Digest of the whole file.
    pub(crate) sha256: Sha256Digest,
    /// The kernel's command line.
    pub(crate) cmdline: String,
    /// What it needs.
    pub(crate) size: ImageSize,
    eif: File,
    kernel: File,
    ramdisks: File,
}

impl BootImage {
    /// Keeps the image at `path` on the run's shelf, measures what is there and copies its parts; counts
    /// unpacked bytes up to `memory_mib`.
    pub(crate) fn read(path: &Path, shelf: &Shelf, dirs: &Dirs, memory_mib: u32) -> Result<Self, HostError> {
        let file_error = |doing, path: &Path| {
            let path = path.to_owned();
            move |cause| HostError::File { doing, path, cause }
        };
        let file = File::open(path).map_err(file_error("Opening", path))?;
        let length = file.metadata().map_err(file_error("Reading", path))?.len();
        let incoming = shelf.take_in(&file, length)?;
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
        let image = caution_eif::read_with(&incoming.file, &Limits::default(), |section, bytes| {
            parts.add(section, bytes)
        })
        .map_err(|cause| HostError::Image { path: path.to_owned(), cause })?;
        let signature =
            image.signature().map_err(|cause| HostError::Signature { path: path.to_owned(), cause })?;
        let pcr8 = signature.map(|certificate| certificate.pcr8);
        let eif = incoming.keep(&image.sha256)?;
        parts.end_ramdisk();
        parts.size.half_is_kept_free = admission::unpacks_into_tmpfs(&image.cmdline);
        Ok(Self {
            pcrs: ImagePcrs { measurements: image.measurements, pcr8 },
            sha256: image.sha256,
            cmdline: image.cmdline,
            size: parts.size,
            eif,
            kernel: parts.kernel,
            ramdisks: parts.ramdisks,
        })
    }

    /// Where a child can open the whole image, as long as this process holds it.
    pub(crate) fn eif_path(&self) -> PathBuf {
        shared_path(&self.eif)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::runtime::RunDir;
    use caution_eif::{HeaderOptions, Metadata, SignatureError, Signer, Writer};

    fn signed() -> (Vec<u8>, Signer) {
        let signer = Signer::from_pem(
            include_bytes!("../../../../core/eif/tests/signer/key.pem"),
            include_bytes!("../../../../core/eif/tests/signer/certificate.v3.pem"),
        )
        .unwrap();
        let mut writer = Writer::new(io::Cursor::new(Vec::new()), HeaderOptions::default()).unwrap();
        writer.kernel(&b"kernel"[..]).unwrap();
        writer.cmdline("panic=1").unwrap();
        writer.metadata(&Metadata::default()).unwrap();
        writer.ramdisk(&b"EnclaveOS"[..]).unwrap();
        writer.ramdisk(&b"application"[..]).unwrap();
        writer.sign(&signer).unwrap();
        (writer.finish().unwrap().0.into_inner(), signer)
    }

    /// The image with another application, and the checksum of that.
    fn changed(mut image: Vec<u8>) -> Vec<u8> {
        let at = image.windows(11).position(|bytes| bytes == b"application").unwrap();
        image[at] = b'A';
        let read = caution_eif::read(image.as_slice(), &Limits::default());
        let Err(caution_eif::EifError::Crc { computed, .. }) = read else { panic!("{read:?}") };
        image[544..548].copy_from_slice(&computed.to_be_bytes());
        image
    }

    #[test]
    fn a_signature_gives_pcr8_or_nothing_boots() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let dirs = Dirs { state: at("s"), runtime: at("r"), cache: at("c") };
        let run = RunDir::create(&dirs).unwrap();
        let (image, signer) = signed();
        std::fs::write(at("x.eif"), &image).unwrap();
        let booted = BootImage::read(&at("x.eif"), run.shelf(), &dirs, 64).unwrap();
        assert_eq!(booted.pcrs.pcr8, Some(signer.certificate().pcr8));

        std::fs::write(at("x.eif"), changed(image)).unwrap();
        let refused = BootImage::read(&at("x.eif"), run.shelf(), &dirs, 64).unwrap_err();
        let HostError::Signature { cause, .. } = refused else { panic!("{refused}") };
        assert!(matches!(cause, SignatureError::OtherImage { .. }), "{cause}");
    }
}
