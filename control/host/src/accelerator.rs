//! KVM or TCG: hardware virtualisation is used only where a probe boot proved that it works.
//!
//! `/dev/kvm` can exist and still fail at the first guest instruction (nested virtualisation that is
//! switched off), so its presence proves nothing. The probe is a firmware of one page whose reset
//! vector writes to QEMU's exit port; it costs a fraction of a second once per boot of this machine.

use crate::config::Dirs;
use crate::error::HostError;
use crate::event::Accelerator;
use crate::process::{bound_to_parent, spawn_bound};
use crate::qemu::PROGRAM;
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Chooses the accelerator; `run` is the folder that marks the probe's process.
pub(crate) fn choose(dirs: &Dirs, run: &Path) -> Result<Accelerator, HostError> {
    let device = Path::new("/dev/kvm");
    if let Err(e) = std::fs::OpenOptions::new().read(true).write(true).open(device) {
        let why = match e.kind() {
            io::ErrorKind::NotFound => "this machine has no /dev/kvm".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "this user may not open /dev/kvm (join the group kvm)".to_owned()
            }
            _ => format!("/dev/kvm cannot be opened ({e})"),
        };
        return Ok(Accelerator::Tcg { why });
    }
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if let Some(known) = Probed::load(dirs).filter(|probed| probed.boot_id == boot_id) {
        return Ok(known.accelerator);
    }
    let accelerator = match probe("kvm", run)? {
        Ok(()) => Accelerator::Kvm,
        Err(why) => Accelerator::Tcg { why: format!("/dev/kvm is there but a probe boot failed: {why}") },
    };
    Probed { boot_id, accelerator: accelerator.clone() }.save(dirs);
    Ok(accelerator)
}

/// What a probe found during one boot of this machine.
#[derive(Serialize, Deserialize)]
struct Probed {
    boot_id: String,
    accelerator: Accelerator,
}

impl Probed {
    fn load(dirs: &Dirs) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dirs.cache.join(CACHE)).ok()?).ok()
    }

    /// Failing only means to probe again next time.
    fn save(&self, dirs: &Dirs) {
        let write = || -> io::Result<()> {
            std::fs::create_dir_all(&dirs.cache)?;
            let mut file = tempfile::NamedTempFile::new_in(&dirs.cache)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.persist(dirs.cache.join(CACHE)).map(drop).map_err(|e| e.error)
        };
        let _ = write();
    }
}

/// Boots the probe. The inner error says why the accelerator does not serve.
fn probe(accelerator: &str, run: &Path) -> Result<Result<(), String>, HostError> {
    let failed = |cause| HostError::System { doing: "Writing the probe's firmware", cause };
    let mut firmware = tempfile::NamedTempFile::new_in(run).map_err(failed)?;
    firmware.write_all(&probe_firmware()).map_err(failed)?;
    let mut command = bound_to_parent(PROGRAM, run);
    command
        .args(["-accel", accelerator, "-M", "microvm,acpi=off", "-m", "16M", "-nodefaults"])
        .args(["-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-bios"])
        .arg(firmware.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = spawn_bound(&mut command)?;
    let status = wait_at_most(&mut child, PROBE_LIMIT);
    Ok(match status.map(|status| status.code()) {
        Some(Some(PROBE_EXIT)) => Ok(()),
        Some(Some(127)) => return Err(HostError::QemuMissing { program: PROGRAM }),
        Some(Some(code)) => Err(format!("QEMU ended with status {code}")),
        Some(None) => Err("QEMU was killed".to_owned()),
        None => Err(format!("no answer in {} s", PROBE_LIMIT.as_secs())),
    })
}

fn wait_at_most(child: &mut Child, limit: Duration) -> Option<std::process::ExitStatus> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => crate::process::pause(Duration::from_millis(5)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// 64 KiB, mapped so that its end is 4 GiB; the processor starts 16 bytes before that.
fn probe_firmware() -> Vec<u8> {
    let mut firmware = vec![0xf4; 64 * 1024]; // hlt
    // mov al, PROBE_BYTE; out 0xf4, al; hlt; jmp to the hlt
    let code = [0xb0, PROBE_BYTE, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
    let at = firmware.len() - 16;
    firmware[at..at + code.len()].copy_from_slice(&code);
    firmware
}

const CACHE: &str = "kvm-probe.json";
/// What the probe writes to the exit port; QEMU turns a byte b into the status 2·b + 1.
const PROBE_BYTE: u8 = 0x2a;
const PROBE_EXIT: i32 = 2 * PROBE_BYTE as i32 + 1;
/// A working probe ends within milliseconds of QEMU's start; this is for a loaded machine.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_boots_under_emulation() {
        let run = tempfile::tempdir().unwrap();
        match probe("tcg", run.path()) {
            Err(HostError::QemuMissing { .. }) => println!("SKIPPED: QEMU is not installed"),
            outcome => assert_eq!(outcome.unwrap(), Ok(())),
        }
    }

    #[test]
    fn an_accelerator_that_does_not_exist_is_refused() {
        let run = tempfile::tempdir().unwrap();
        match probe("nonsense", run.path()) {
            Err(HostError::QemuMissing { .. }) => println!("SKIPPED: QEMU is not installed"),
            outcome => assert!(outcome.unwrap().is_err()),
        }
    }
}
