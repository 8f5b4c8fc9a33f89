//! Ramdisk 0: `/init`, the command line it checks, what the release can, the folders it mounts over, and the two devices it
//! needs before that.

use crate::features;
use caution_abi::cmdline;
use caution_rootfs::cpio::{CpioError, Entry, EntryKind, Writer};
use caution_rootfs::gzip::GzipWriter;

/// Why there is no ramdisk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RamdiskError {
    /// The archive cannot be written.
    #[error("Ramdisk 0 cannot be written.")]
    Archive(#[from] CpioError),
    /// The archive cannot be compressed.
    #[error("Ramdisk 0 cannot be compressed.")]
    Compression(#[from] std::io::Error),
}

/// The compressed ramdisk around a program and the kernel's command line.
pub(crate) fn build(program: &[u8], command_line: &str) -> Result<Vec<u8>, RamdiskError> {
    let mut archive = Writer::new(GzipWriter::new(Vec::new())?);
    let file = |content: &[u8]| EntryKind::File { size: content.len() as u64 };
    for (path, kind, mode) in [
        (cmdline::PATH, file(command_line.as_bytes()), 0o444),
        ("dev", EntryKind::Directory, 0o755),
        // The kernel opens it as PID 1's standard streams, before devtmpfs is there.
        ("dev/console", EntryKind::CharDevice { major: 5, minor: 1 }, 0o600),
        ("dev/null", EntryKind::CharDevice { major: 1, minor: 3 }, 0o666),
        ("etc", EntryKind::Directory, 0o755),
        (features::PATH, file(features::TEXT.as_bytes()), 0o444),
        ("init", file(program), 0o755),
        ("proc", EntryKind::Directory, 0o755),
        ("run", EntryKind::Directory, 0o755),
        ("sys", EntryKind::Directory, 0o755),
        ("tmp", EntryKind::Directory, 0o1777),
    ] {
        let entry = Entry { path: path.into(), kind, mode, uid: 0, gid: 0 };
        let content = match path {
            cmdline::PATH => command_line.as_bytes(),
            features::PATH => features::TEXT.as_bytes(),
            _ => program,
        };
        archive.append(&entry, &mut &*content)?;
    }
    Ok(archive.finish()?.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn it_holds_program_and_command_line_and_nothing_of_the_machine() {
        let bytes = build(b"program", "reboot=k").unwrap();
        assert_eq!(bytes, build(b"program", "reboot=k").unwrap());
        assert_eq!(&bytes[..3], b"\x1f\x8b\x08");
        let mut archive = Vec::new();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut archive).unwrap();
        let mut reader = caution_rootfs::cpio::Reader::new(archive.as_slice());
        let (mut names, mut files) = (Vec::new(), Vec::new());
        while let Some(entry) = reader.next_entry().unwrap() {
            assert_eq!((entry.mtime, entry.entry.uid, entry.entry.gid), (0, 0, 0));
            if let EntryKind::File { .. } = entry.entry.kind {
                let mut content = String::new();
                reader.read_to_string(&mut content).unwrap();
                files.push(content);
            }
            names.push(String::from_utf8(entry.entry.path).unwrap());
        }
        assert_eq!(files, ["reboot=k", "e2e\n", "program"]);
        assert_eq!(
            names,
            [
                "cmdline",
                "dev",
                "dev/console",
                "dev/null",
                "etc",
                "features",
                "init",
                "proc",
                "run",
                "sys",
                "tmp"
            ]
        );
    }
}
