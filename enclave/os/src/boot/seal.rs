//! Whether the kernel unpacked all of the application.
//!
//! Its own complaint goes to a console that a production enclave does not have, and it goes on.

use caution_abi::seal::{MAX_BYTES, PATH, Seal, SealError};
use caution_enclave_sys::count;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Why the application's files cannot be trusted to be all there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UnpackError {
    /// The kernel stopped early or left something out.
    #[error(
        "the application's files were not unpacked completely: {0}. The enclave has too little memory; \
         give it more (`memory`)"
    )]
    Incomplete(Lack),
    /// More names than the image has: not what a lack of memory does.
    #[error("the application's root holds more than the {expected} names of its image")]
    TooMany {
        /// As sealed.
        expected: u64,
    },
    /// The root cannot be walked.
    #[error("the application's files could not be counted")]
    Count(#[source] io::Error),
}

/// What is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Lack {
    /// The last file of the ramdisk is absent, so something before it failed.
    #[error("the file that comes last, /{PATH}, could not be read ({0})")]
    Seal(io::Error),
    /// The last file of the ramdisk itself was cut.
    #[error("the file that comes last, /{PATH}, is damaged: {0}")]
    Damaged(SealError),
    /// Single names.
    #[error("only {found} of {expected} names are there")]
    Names {
        /// Below the root.
        found: u64,
        /// As sealed.
        expected: u64,
    },
}

/// Counts the names below `rootfs` and compares them with the seal, both in the folder `ramdisk`.
/// To be called before anything is made or mounted there.
pub(crate) fn check(ramdisk: &Path, rootfs: &Path) -> Result<(), UnpackError> {
    let mut bytes = Vec::new();
    File::open(ramdisk.join(PATH))
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| UnpackError::Incomplete(Lack::Seal(source)))?;
    let seal = Seal::from_bytes(&bytes).map_err(|source| UnpackError::Incomplete(Lack::Damaged(source)))?;
    let expected = seal.entries;
    match count::names_below(rootfs, expected).map_err(UnpackError::Count)? {
        found if found < expected => Err(UnpackError::Incomplete(Lack::Names { found, expected })),
        found if found > expected => Err(UnpackError::TooMany { expected }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A ramdisk with three names below its root and this seal.
    fn unpacked(seal: Option<&[u8]>) -> Result<(), UnpackError> {
        let ramdisk = tempfile::tempdir().unwrap();
        let rootfs = ramdisk.path().join("rootfs");
        fs::create_dir_all(rootfs.join("bin")).unwrap();
        fs::write(rootfs.join("bin/app"), "app").unwrap();
        fs::hard_link(rootfs.join("bin/app"), rootfs.join("bin/again")).unwrap();
        if let Some(bytes) = seal {
            fs::write(ramdisk.path().join(PATH), bytes).unwrap();
        }
        check(ramdisk.path(), &rootfs)
    }

    #[test]
    fn a_complete_root_is_accepted() {
        unpacked(Some(&Seal::new(3).to_bytes())).unwrap();
    }

    #[test]
    fn an_incomplete_root_is_refused_with_the_remedy() {
        let cut = [&Seal::new(3).to_bytes()[..20], &[0; 18]].concat();
        for (seal, what) in [
            (Some(Seal::new(4).to_bytes()), "only 3 of 4 names are there"),
            (None, "the file that comes last, /sealed.json, could not be read (No such file"),
            (Some(cut), "the file that comes last, /sealed.json, is damaged: the seal is malformed"),
            (Some(Vec::new()), "is damaged: the seal is malformed"),
            (Some(vec![b' '; 300]), "is damaged: the seal has 257 bytes"),
        ] {
            let error = unpacked(seal.as_deref()).unwrap_err();
            assert!(matches!(error, UnpackError::Incomplete(_)));
            let text = error.to_string();
            assert!(text.starts_with("the application's files were not unpacked completely: "), "{text}");
            assert!(text.contains(what), "{text}");
            assert!(text.ends_with("The enclave has too little memory; give it more (`memory`)"), "{text}");
        }
    }

    #[test]
    fn more_names_than_sealed_are_refused_too() {
        let error = unpacked(Some(&Seal::new(2).to_bytes())).unwrap_err();
        assert!(matches!(error, UnpackError::TooMany { expected: 2 }), "{error}");
    }

    #[test]
    fn a_seal_without_a_root_is_refused() {
        let ramdisk = tempfile::tempdir().unwrap();
        fs::write(ramdisk.path().join(PATH), Seal::new(0).to_bytes()).unwrap();
        let refused = check(ramdisk.path(), &ramdisk.path().join("rootfs"));
        assert!(matches!(refused, Err(UnpackError::Count(_))));
    }
}
