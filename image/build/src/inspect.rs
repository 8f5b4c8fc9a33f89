//! What an existing image says about itself.

use caution_abi::boot_plan::{self, BootPlan, BootPlanError};
use caution_eif::{EifError, Limits, SectionKind};
use caution_rootfs::cpio;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Why an image's boot plan cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The file cannot be read.
    #[error("`{}` cannot be read.", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not an enclave image.
    #[error("`{}` is not an enclave image.", .path.display())]
    Eif {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: EifError,
    },
    /// It holds no application of ours.
    #[error("`{}` holds no boot plan: its application was not packed by caution.", .0.display())]
    NoPlan(PathBuf),
    /// Its application ramdisk is broken.
    #[error("The application ramdisk of `{}` is broken.", .path.display())]
    Ramdisk {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: cpio::CpioError,
    },
    /// Its boot plan is not one.
    #[error("The boot plan of `{}` cannot be used.", .path.display())]
    Plan {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: BootPlanError,
    },
}

impl InspectError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            // Any other trouble with a file is its owner's to judge.
            Self::Io { source, .. } if source.kind() != std::io::ErrorKind::NotFound => None,
            _ => Some("caution apps build (writes eif-stage/output/enclave.eif)".into()),
        }
    }
}

/// The boot plan inside an enclave image, after the whole file was checked.
pub(crate) fn boot_plan_of(eif: &Path) -> Result<BootPlan, InspectError> {
    let path = eif.to_owned();
    let io = |source| InspectError::Io { path: path.clone(), source };
    let mut file = File::open(eif).map_err(io)?;
    let image = caution_eif::read(BufReader::new(&file), &Limits::default())
        .map_err(|source| InspectError::Eif { path: path.clone(), source })?;
    let section =
        *image.sections_of(SectionKind::Ramdisk).nth(1).ok_or_else(|| InspectError::NoPlan(path.clone()))?;
    file.seek(SeekFrom::Start(section.data_offset)).map_err(io)?;
    let archive = flate2::read::GzDecoder::new(BufReader::new(file.take(section.size)));
    // `boot.json` sorts before `rootfs/`, so it is the first entry or absent.
    let broken = |source| InspectError::Ramdisk { path: path.clone(), source };
    let mut archive = cpio::Reader::new(archive);
    let first = archive.next_entry().map_err(broken)?;
    let size = match first.map(|found| found.entry) {
        Some(cpio::Entry { path, kind: cpio::EntryKind::File { size }, .. })
            if path == boot_plan::PATH.as_bytes() =>
        {
            size
        }
        _ => return Err(InspectError::NoPlan(path)),
    };
    let plan = |source| InspectError::Plan { path: path.clone(), source };
    if size > boot_plan::MAX_BYTES as u64 {
        return Err(plan(BootPlanError::TooLong(usize::try_from(size).unwrap_or(usize::MAX))));
    }
    let mut bytes = Vec::new();
    archive.read_to_end(&mut bytes).map_err(io)?;
    BootPlan::from_bytes(&bytes).map_err(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_image_of_ours_are_named_with_the_way_to_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.eif");
        let refused = || boot_plan_of(&path).expect_err("is no image");
        assert!(matches!(refused(), InspectError::Io { .. }));
        std::fs::write(&path, "x").expect("writes");
        assert!(matches!(refused(), InspectError::Eif { .. }));
        assert_eq!(refused().to_string(), format!("`{}` is not an enclave image.", path.display()));
        assert!(refused().fix().is_some_and(|fix| fix.starts_with("caution apps build")));
    }
}
