//! Mounts as tables.

use nix::mount::MsFlags;
use std::io;
use std::path::Path;

/// One line of a mount table.
#[derive(Debug, Clone, Copy)]
pub struct Mount {
    /// Type of the file system.
    pub kind: &'static str,
    /// Where, relative to the root the table is for; made when absent.
    pub target: &'static str,
    /// Flags.
    pub flags: MsFlags,
    /// Options of the file system.
    pub data: Option<&'static str>,
}

/// A mount that failed.
#[derive(Debug, thiserror::Error)]
#[error("{kind} could not be mounted on {target}")]
pub struct MountError {
    kind: &'static str,
    target: String,
    #[source]
    source: io::Error,
}

/// What EnclaveOS itself uses; the app has its own set in [`crate::app_root`].
///
/// hidepid=2: a process sees only its own user's processes (proc(5)).
pub const ENCLAVE: [Mount; 2] = [
    Mount {
        kind: "devtmpfs",
        target: "dev",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        data: Some("mode=0755"),
    },
    Mount { kind: "proc", target: "proc", flags: NO_ALL, data: Some("hidepid=2") },
];

/// nosuid, nodev, noexec.
pub(crate) const NO_ALL: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Mounts every line of `table` below `root`, in order.
pub fn mount_all(root: &Path, table: &[Mount]) -> Result<(), MountError> {
    for line in table {
        let target = root.join(line.target);
        let mounted = match std::fs::create_dir(&target) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
            _ => nix::mount::mount(Some(line.kind), &target, Some(line.kind), line.flags, line.data)
                .map_err(io::Error::from),
        };
        mounted.map_err(|source| MountError {
            kind: line.kind,
            target: target.display().to_string(),
            source,
        })?;
    }
    Ok(())
}
