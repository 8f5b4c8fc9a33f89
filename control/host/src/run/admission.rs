//! Whether an enclave fits: into its own memory, into the machine's, onto the disk.

use crate::error::HostError;
use flate2::write::MultiGzDecoder;
use std::io::{self, Write};
use std::path::Path;

/// What a booted EnclaveOS takes beside its images, in MiB: the kernel's own structures and PID 1.
/// Measured: an image of 6 MiB, 8 MiB unpacked, boots in 36 MiB and not in 32 MiB.
const SYSTEM_MIB: u64 = 32;
const MIB: u64 = 1024 * 1024;

/// Sizes of an image, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ImageSize {
    /// Kernel and ramdisks as stored: the kernel reads the ramdisks from memory.
    pub(crate) packed: u64,
    /// Ramdisks unpacked, which live in memory too.
    pub(crate) unpacked: u64,
    /// Counting stopped at a limit.
    pub(crate) unpacked_is_minimum: bool,
    /// Whether the kernel lets the unpacked files have at most half of what memory is left.
    pub(crate) half_is_kept_free: bool,
}

/// Whether a kernel with this command line unpacks ramdisks into a tmpfs, whose default limit is half
/// of the memory: unless told otherwise it does (Linux `init/do_mounts.c`, `init_rootfs`).
pub(crate) fn unpacks_into_tmpfs(cmdline: &str) -> bool {
    let mut words = cmdline.split_ascii_whitespace();
    let types: Vec<&str> = words.clone().filter_map(|word| word.strip_prefix("rootfstype=")).collect();
    match types.last() {
        Some(types) => types.contains("tmpfs"),
        None => !words.any(|word| word.starts_with("root=")),
    }
}

/// Refuses an image that cannot boot in `memory_mib`.
pub(crate) fn enclave_memory(size: &ImageSize, memory_mib: u32) -> Result<(), HostError> {
    let packed_mib = size.packed.div_ceil(MIB);
    let unpacked_mib = size.unpacked.div_ceil(MIB);
    let kept_free_mib = if size.half_is_kept_free { unpacked_mib } else { 0 };
    let needed_mib = packed_mib + unpacked_mib + kept_free_mib + SYSTEM_MIB;
    if needed_mib <= u64::from(memory_mib) {
        return Ok(());
    }
    Err(HostError::EnclaveMemory {
        memory_mib,
        needed_mib,
        packed_mib,
        unpacked_mib,
        kept_free_mib,
        system_mib: SYSTEM_MIB,
        unpacked_is_minimum: size.unpacked_is_minimum,
    })
}

/// Refuses an enclave that the machine has no memory for.
pub(crate) fn host_memory(memory_mib: u32) -> Result<(), HostError> {
    let Ok(meminfo) = std::fs::read_to_string("/proc/meminfo") else { return Ok(()) };
    let available_mib = field_mib(&meminfo, "MemAvailable:").unwrap_or(u64::MAX);
    // QEMU's own memory: its binary, device state and, without KVM, translated code.
    let needed_mib = u64::from(memory_mib) + 96;
    if needed_mib <= available_mib {
        Ok(())
    } else {
        Err(HostError::HostMemory { needed_mib, available_mib })
    }
}

/// Refuses a private copy that does not fit.
pub(crate) fn disk(folder: &Path, bytes: u64) -> Result<(), HostError> {
    let Ok(stat) = nix::sys::statvfs::statvfs(folder) else { return Ok(()) };
    let available = stat.blocks_available().saturating_mul(stat.fragment_size());
    // A reserve, so that the machine's other programs are not the first to notice.
    let needed = bytes + 16 * MIB;
    if needed <= available {
        return Ok(());
    }
    Err(HostError::Disk {
        path: folder.to_owned(),
        needed_mib: needed.div_ceil(MIB),
        available_mib: available / MIB,
    })
}

/// A field of `/proc/meminfo`, in MiB.
pub(crate) fn field_mib(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}

/// Counts what one ramdisk unpacks to, while it passes, in fixed memory and at most `limit` bytes.
///
/// Gzip is unpacked and counted; plain cpio counts as it is. Anything else counts as nothing: the
/// kernel has further formats, and whether it boots them is its own matter.
pub(crate) struct UnpackedSize {
    kind: Kind,
    limit: u64,
}

enum Kind {
    Undecided(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Counter>>),
    Plain(u64),
    Other,
    Over,
}

impl UnpackedSize {
    /// A counter that stops at `limit` bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self { kind: Kind::Undecided(Vec::new()), limit }
    }

    /// Adds the ramdisk's next bytes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        match &mut self.kind {
            Kind::Undecided(head) => {
                head.extend_from_slice(bytes);
                if head.len() >= 6 {
                    let head = std::mem::take(head);
                    self.kind = self.decide(&head);
                    self.add(&head);
                }
            }
            Kind::Gzip(decoder) => {
                // An error is the limit, or a stream that is not gzip to its end.
                if decoder.write_all(bytes).is_err() {
                    self.kind = match decoder.get_ref() {
                        Counter { count, limit } if count > limit => Kind::Over,
                        Counter { count, .. } => Kind::Plain(*count),
                    };
                }
            }
            Kind::Plain(count) => *count += bytes.len() as u64,
            Kind::Other | Kind::Over => {}
        }
    }

    /// The count, and whether it stopped at the limit.
    pub(crate) fn finish(self) -> (u64, bool) {
        match self.kind {
            Kind::Undecided(_) | Kind::Other => (0, false),
            Kind::Gzip(mut decoder) => {
                let _ = decoder.try_finish();
                (decoder.get_ref().count, false)
            }
            Kind::Plain(count) => (count, false),
            Kind::Over => (self.limit, true),
        }
    }

    fn decide(&self, head: &[u8]) -> Kind {
        match head {
            [0x1f, 0x8b, ..] => {
                Kind::Gzip(Box::new(MultiGzDecoder::new(Counter { count: 0, limit: self.limit })))
            }
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => Kind::Plain(0),
            _ => Kind::Other,
        }
    }
}

struct Counter {
    count: u64,
    limit: u64,
}

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count += bytes.len() as u64;
        if self.count > self.limit { Err(io::Error::other("over the limit")) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn count(ramdisk: &[u8], limit: u64) -> (u64, bool) {
        let mut size = UnpackedSize::new(limit);
        ramdisk.chunks(1000).for_each(|chunk| size.add(chunk));
        size.finish()
    }

    #[test]
    fn unpacked_sizes_are_counted() {
        let zeros = vec![0; 300_000];
        let twice = [gzip(&zeros), gzip(&zeros)].concat();
        assert_eq!(count(&twice, u64::MAX), (600_000, false));
        assert_eq!(count(&twice, 400_000), (400_000, true));
        assert_eq!(count(&[&b"070701"[..], &zeros].concat(), u64::MAX), (300_006, false));
        assert_eq!(count(&zeros, u64::MAX), (0, false));
        assert_eq!(count(b"", u64::MAX), (0, false));
        let (broken, over) = count(&twice[..twice.len() / 2 + 100], u64::MAX);
        assert!((300_000..600_000).contains(&broken) && !over);
    }

    #[test]
    fn a_bomb_is_counted_only_to_the_limit() {
        let mut bomb = gzip(&vec![0; 10_000_000]);
        bomb = bomb.repeat(50);
        assert_eq!(count(&bomb, 1_000_000), (1_000_000, true));
    }

    #[test]
    fn too_little_memory_is_refused_with_the_sum() {
        let mut size = ImageSize { packed: 3 * MIB, unpacked: 100 * MIB + 1, ..ImageSize::default() };
        assert!(enclave_memory(&size, 512).is_ok());
        assert!(enclave_memory(&size, 136).is_ok());
        size.half_is_kept_free = true;
        let error = enclave_memory(&size, 136).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The enclave has 136 MiB of memory but needs at least 237 MiB: 3 MiB image + 101 MiB unpacked \
             + 101 MiB that the kernel keeps free of unpacked files + 32 MiB for EnclaveOS."
        );
        assert_eq!(error.fix().unwrap(), "`memory: 256` in Procfile, or a smaller base image");
    }

    #[test]
    fn the_kernels_limit_is_read_from_the_command_line() {
        assert!(unpacks_into_tmpfs("reboot=k panic=1"));
        assert!(!unpacks_into_tmpfs("reboot=k root=/dev/ram0"));
        assert!(!unpacks_into_tmpfs("rootfstype=ramfs"));
        assert!(unpacks_into_tmpfs("root=/dev/ram0 rootfstype=ramfs rootfstype=tmpfs"));
    }

    #[test]
    fn the_machine_must_have_what_the_enclave_needs() {
        assert_eq!(field_mib("MemTotal: 1 kB\nMemAvailable:    2048000 kB\n", "MemAvailable:"), Some(2000));
        assert_eq!(field_mib("MemFree: 1 kB\n", "MemAvailable:"), None);
        assert!(matches!(host_memory(u32::MAX), Err(HostError::HostMemory { .. })));
        let folder = std::env::temp_dir();
        assert!(matches!(disk(&folder, 1 << 60), Err(HostError::Disk { .. })));
        assert!(disk(&folder, 0).is_ok());
    }
}
