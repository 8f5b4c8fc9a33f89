//! The kernel command line as it was released: a file of ramdisk 0.
//!
//! PCR1 covers the bytes of kernel, command line and ramdisk 0 in a row and not where one ends. So the
//! command line stands a second time where its end cannot be moved, and EnclaveOS compares.

/// Where the command line lies in ramdisk 0: its bytes and nothing else, without a final newline.
pub const PATH: &str = "cmdline";
/// The longest command line, in bytes: what the kernel keeps (`COMMAND_LINE_SIZE` on x86).
pub const MAX_BYTES: usize = 2048;
/// How every word begins that a hypervisor may append: virtio devices have no other way to be found
/// (kernel `drivers/virtio/virtio_mmio.c`).
pub const DEVICE: &str = "virtio_mmio.device=";
