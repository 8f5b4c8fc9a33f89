//! Kernel, command line and both ramdisks to an EIF and its companions, in one pass.

use crate::error::BuildError;
use crate::request::Request;
use crate::stage::{Stage, StageError, create_new};
use caution_abi::boot_plan::{self, BootPlan};
use caution_abi::seal::{self, Seal};
use caution_eif::{HeaderOptions, Metadata, Writer, Written};
use caution_measure::ImagePcrs;
use caution_rootfs::Tree;
use caution_rootfs::gzip::GzipWriter;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Writes `enclave.eif`, `enclave.pcrs` and `rootfs.cpio.gz` of the stage.
///
/// Ramdisk 1 is made while it is written: the tree's archive goes through the compressor into both
/// files at once and is nowhere held as a whole.
pub(crate) fn pack(
    stage: &Stage,
    request: &Request<'_>,
    tree: &Tree,
    plan: &BootPlan,
) -> Result<Written, BuildError> {
    let release = request.release;
    let (eif_path, raw_path) = (stage.partial("output/enclave.eif"), stage.partial("output/rootfs.cpio.gz"));
    let mut raw = create_new(&raw_path)?;
    let mut writer = Writer::new(create_new(&eif_path)?, HeaderOptions::default())?;
    writer.kernel(open(&release.kernel_path())?)?;
    writer.cmdline(release.cmdline())?;
    writer.metadata(&Metadata::new(&release.info.kernel_version))?;
    let platform = open(&release.ramdisk_path())?;
    writer.ramdisk(TeeReader { from: platform, copy: &mut raw })?;

    let section = writer.ramdisk_writer()?;
    let raw_failed = || StageError::io(&raw_path);
    let both = TeeWriter { to: section, copy: &mut raw };
    let gzip = GzipWriter::new(both).map_err(raw_failed())?;
    let (plan, seal) = (plan.to_bytes(), Seal::new(tree.len() as u64).to_bytes());
    let beside: [(&str, &[u8]); 2] = [(boot_plan::PATH, &plan), (seal::PATH, &seal)];
    let gzip = tree.write_cpio(boot_plan::ROOTFS_DIR, &beside, gzip)?;
    gzip.finish().map_err(raw_failed())?.to.finish()?;
    raw.sync_all().map_err(raw_failed())?;

    if let Some(signer) = request.signer {
        writer.sign(signer)?;
    }
    let (eif, written) = writer.finish()?;
    eif.sync_all().map_err(StageError::io(&eif_path))?;
    let (claimed, measured) = (release.reference().pcr1, written.measurements.pcr1);
    if claimed != measured {
        let (claimed, measured) = (Box::new(claimed), Box::new(measured));
        return Err(BuildError::EnclaveOsChanged { claimed, measured });
    }
    let pcrs = ImagePcrs { measurements: written.measurements, pcr8: written.pcr8 };
    stage.write("output/enclave.pcrs", pcrs.to_text().as_bytes())?;
    Ok(written)
}

fn open(path: &Path) -> Result<File, BuildError> {
    File::open(path).map_err(|source| BuildError::EnclaveOsFile { path: path.to_owned(), source })
}

/// Copies what is read.
struct TeeReader<'c, R> {
    from: R,
    copy: &'c mut File,
}

impl<R: Read> Read for TeeReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.copy.write_all(&buffer[..count])?;
        Ok(count)
    }
}

/// Copies what is written.
struct TeeWriter<'c, W> {
    to: W,
    copy: &'c mut File,
}

impl<W: Write> Write for TeeWriter<'_, W> {
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
