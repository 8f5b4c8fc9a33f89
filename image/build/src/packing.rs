//! Kernel, command line and both ramdisks to an EIF and its companions, in one pass.

use crate::error::BuildError;
use crate::request::Request;
use crate::stage::{Stage, StageError, create_new};
use caution_assemble::{Application, AssembleError, Platform, write_parts};
use caution_eif::{HeaderOptions, Writer, Written};
use caution_measure::ImagePcrs;
use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;

/// Writes `enclave.eif`, `enclave.pcrs` and `rootfs.cpio.gz` of the stage.
pub(crate) fn pack(
    stage: &Stage,
    request: &Request<'_>,
    application: Application<'_>,
) -> Result<Written, BuildError> {
    let release = request.release;
    let (eif_path, raw_path) = (stage.partial("output/enclave.eif"), stage.partial("output/rootfs.cpio.gz"));
    let mut raw = create_new(&raw_path)?;
    let mut writer = Writer::new(create_new(&eif_path)?, HeaderOptions::default())?;
    let raw_failed = || StageError::io(&raw_path);
    let platform = Platform {
        kernel: open(&release.kernel_path())?,
        cmdline: release.cmdline(),
        ramdisk: open(&release.ramdisk_path())?,
        kernel_version: &release.info.kernel_version,
    };
    write_parts(&mut writer, platform, application, &mut raw).map_err(|error| match error {
        error if is_full_disk(&error) => StageError::DiskFull(eif_path.clone()).into(),
        AssembleError::Ramdisk(source) => raw_failed()(source).into(),
        AssembleError::Rootfs(error) => BuildError::Rootfs(error),
        AssembleError::Eif(error) => BuildError::Eif(error),
    })?;
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

/// Whether that is what it comes down to, however deep below.
fn is_full_disk(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| <dyn Error>::source(*error))
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::StorageFull)
}

fn open(path: &Path) -> Result<File, BuildError> {
    File::open(path).map_err(|source| BuildError::EnclaveOsFile { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use caution_rootfs::RootfsError;
    use caution_rootfs::cpio::CpioError;

    #[test]
    fn a_disk_that_is_full_while_the_image_is_written_is_recognised() {
        let while_writing = |kind: io::ErrorKind| {
            let source = CpioError::Io { doing: "write", source: kind.into() };
            AssembleError::Rootfs(RootfsError::Cpio(source))
        };
        assert!(is_full_disk(&while_writing(io::ErrorKind::StorageFull)));
        assert!(!is_full_disk(&while_writing(io::ErrorKind::BrokenPipe)));
    }
}
