//! Whether the kernel was started with the command line that was released.
//!
//! PCR1 covers kernel, command line and ramdisk 0 as one string of bytes. Who runs an image can move the
//! first words of the command line to the end of the kernel, which ignores them there: nothing measured
//! changes, and the kernel boots without them.

use caution_abi::cmdline::{DEVICE, MAX_BYTES, PATH};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Why the kernel's command line is not the released one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CmdlineError {
    /// One of the two cannot be read.
    #[error("{path} could not be read")]
    Read {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// More bytes than the kernel keeps.
    #[error("{path} has more than {MAX_BYTES} bytes")]
    TooLong {
        /// Which.
        path: String,
    },
    /// The beginning differs.
    #[error(
        "the kernel was started with the command line `{actual}`, which does not begin with that of \
         this release, `{released}`"
    )]
    Other {
        /// What the kernel says.
        actual: String,
        /// What ramdisk 0 says.
        released: String,
    },
    /// Something was appended that is no device.
    #[error("`{word}` was appended to the kernel's command line; only `{DEVICE}…` may be")]
    Appended {
        /// The first such word.
        word: String,
    },
}

/// Compares ramdisk 0's copy below `root` with what /proc there says.
pub(crate) fn check(root: &Path) -> Result<(), CmdlineError> {
    let released = read(&root.join(PATH))?;
    let running = read(&root.join("proc/cmdline"))?;
    compare(&released, running.strip_suffix(b"\n").unwrap_or(&running))
}

fn compare(released: &[u8], running: &[u8]) -> Result<(), CmdlineError> {
    let appended = running.strip_prefix(released).filter(|rest| rest.is_empty() || rest.starts_with(b" "));
    let Some(appended) = appended.filter(|_| !released.is_empty()) else {
        return Err(CmdlineError::Other { actual: text(running), released: text(released) });
    };
    let mut words = appended.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    match words.find(|word| !is_device(word)) {
        Some(word) => Err(CmdlineError::Appended { word: text(word) }),
        None => Ok(()),
    }
}

/// `virtio_mmio.device=<size>@<address>:<interrupt>[:<id>]`, as the kernel's own parser takes it. No
/// quotation marks: they would make the kernel see other words than we do.
fn is_device(word: &[u8]) -> bool {
    let value = word.strip_prefix(DEVICE.as_bytes());
    value.is_some_and(|value| value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"@:".contains(byte)))
}

fn read(path: &Path) -> Result<Vec<u8>, CmdlineError> {
    let mut bytes = Vec::new();
    let name = || path.display().to_string();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| CmdlineError::Read { path: name(), source })?;
    if bytes.len() <= MAX_BYTES { Ok(bytes) } else { Err(CmdlineError::TooLong { path: name() }) }
}

fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const RELEASED: &str = "reboot=k panic=1 pci=off";

    fn running(text: &str) -> Result<(), CmdlineError> {
        compare(RELEASED.as_bytes(), text.as_bytes())
    }

    #[test]
    fn what_hypervisors_make_of_the_released_line_is_accepted() {
        for appended in [
            "",
            // QEMU's plain machines with a trailing space on -append
            " ",
            // QEMU's microvm and nitro-enclave
            " virtio_mmio.device=512@0xfeb00e00:12",
            // Nitro, like Firecracker
            " virtio_mmio.device=4K@0xd0000000:5 virtio_mmio.device=4K@0xd0001000:6",
            "  virtio_mmio.device=4K@0xd0000000:5:1 ",
        ] {
            running(&format!("{RELEASED}{appended}")).unwrap();
        }
    }

    #[test]
    fn moved_borders_are_noticed() {
        for other in [
            "",
            "panic=1 pci=off",
            "=k panic=1 pci=off",
            "reboot=k panic=1 pci=of",
            // The beginning of ramdisk 0, or the end of the kernel
            "reboot=k panic=1 pci=off\u{1f}\u{8b}",
            "x reboot=k panic=1 pci=off",
            " reboot=k panic=1 pci=off",
            "reboot=k panic=1 pci=offx virtio_mmio.device=512@0xfeb00e00:12",
            "reboot=k panic=1 pci=off\tvirtio_mmio.device=512@0xfeb00e00:12",
        ] {
            assert!(matches!(running(other), Err(CmdlineError::Other { .. })), "{other}");
        }
        // A copy that says nothing allows nothing.
        assert!(matches!(compare(b"", b""), Err(CmdlineError::Other { .. })));
        let error = running("panic=1\u{7f}").unwrap_err().to_string();
        assert!(error.contains(r"`panic=1\x7f`") && error.contains(RELEASED), "{error}");
    }

    #[test]
    fn only_devices_may_be_appended() {
        for word in [
            "rdinit=/rootfs/bin/sh",
            "panic=0",
            "--",
            "virtio_mmio.devices=1",
            "xvirtio_mmio.device=512@0xfeb00e00:12",
            "virtio_mmio.device=\"512@0xfeb00e00:12",
            "virtio_mmio.device=512@0xfeb00e00:12\trdinit=/x",
            "virtio_mmio.device=512@0xfeb00e00:12\nrdinit=/x",
        ] {
            let error =
                running(&format!("{RELEASED} virtio_mmio.device=512@0xfeb00e00:12 {word}")).unwrap_err();
            assert!(
                matches!(&error, CmdlineError::Appended { word: w } if *w == text(word.as_bytes())),
                "{error}"
            );
        }
    }

    #[test]
    fn both_files_must_be_there() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &str| fs::write(root.path().join(name), content).unwrap();
        fs::create_dir(root.path().join("proc")).unwrap();
        write("proc/cmdline", &format!("{RELEASED}\n"));
        assert!(
            matches!(check(root.path()), Err(CmdlineError::Read { path, .. }) if path.ends_with("/cmdline"))
        );
        write("cmdline", RELEASED);
        check(root.path()).unwrap();
        // Nothing is ever cut: what stands behind the limit counts too.
        write("proc/cmdline", &format!("{RELEASED}{}x\n", " ".repeat(2048)));
        let refused = check(root.path());
        assert!(matches!(refused, Err(CmdlineError::TooLong { path }) if path.ends_with("/proc/cmdline")));
    }
}
