//! The end of the enclave.

use nix::sys::reboot::{RebootMode, reboot};

/// Ends the enclave; never returns.
///
/// A *restart*, not a power-off: Nitro's command line has `reboot=k` and its machine ends at the
/// keyboard-controller reset; QEMU runs with `-no-reboot` and exits at any reset (a microvm without
/// ACPI has no power-off at all and would halt for ever).
pub fn end() -> ! {
    let _never = reboot(RebootMode::RB_AUTOBOOT);
    // Only reached without CAP_SYS_BOOT. PID 1's death is a kernel panic, and `panic=1` a reset.
    std::process::abort()
}
