//! KVM or TCG: hardware virtualisation is used only where a probe boot proved that it works.
//!
//! `/dev/kvm` can exist, open and run simple code, and still fail in the middle of a kernel: seen with
//! nested virtualisation that emulates instructions and does not know them all. So the probe boots
//! the image's own kernel without a ramdisk, as far as the panic "no root file system" on its
//! console. That takes a fraction of a second where KVM works, once per release and boot of this
//! machine.

use super::process::PROGRAM;
use crate::config::Dirs;
use crate::error::HostError;
use crate::event::Accelerator;
use crate::process::{bound_to_parent, spawn_bound};
use crate::run::image::BootImage;
use caution_measure::Pcr;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Chooses the accelerator for an image; `run` is the folder that marks the probe's process.
pub(super) fn choose(dirs: &Dirs, image: &BootImage, run: &Path) -> Result<Accelerator, HostError> {
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
    let pcr1 = image.pcrs.measurements.pcr1;
    if let Some(known) = Probed::load(dirs).filter(|p| p.boot_id == boot_id && p.pcr1 == pcr1) {
        return Ok(known.accelerator);
    }
    let accelerator = match probe("kvm", &image.kernel_path(), run)? {
        Ok(()) => Accelerator::Kvm,
        Err(why) => Accelerator::Tcg { why: format!("/dev/kvm is there but a probe boot failed: {why}") },
    };
    Probed { boot_id, pcr1, accelerator: accelerator.clone() }.save(dirs);
    Ok(accelerator)
}

/// What a probe found during one boot of this machine, for one EnclaveOS release.
#[derive(Serialize, Deserialize)]
struct Probed {
    boot_id: String,
    pcr1: Pcr,
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
fn probe(accelerator: &str, kernel: &Path, run: &Path) -> Result<Result<(), String>, HostError> {
    let failed = |cause| HostError::System { doing: "Probing the accelerator", cause };
    let mut command = bound_to_parent(PROGRAM, run);
    command
        .args(["-accel", accelerator, "-cpu", if accelerator == "kvm" { "host" } else { "max" }])
        .args(["-M", "microvm,acpi=off,isa-serial=on", "-smp", "1", "-m", "128M", "-device", "i8042"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
        .args(["-append", "console=ttyS0 reboot=k panic=-1 pci=off", "-kernel"])
        .arg(kernel)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn_bound(&mut command)?;
    let (sender, lines) = channel();
    let sources: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|stdout| Box::new(stdout) as _),
        child.stderr.take().map(|stderr| Box::new(stderr) as _),
    ];
    for source in sources.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::Builder::new().spawn(move || send_lines(source, &sender)).map_err(failed)?;
    }
    drop(sender);
    let verdict = judge(&lines);
    // Ended or not: a processor that failed leaves QEMU waiting for someone to look at it.
    let _ = child.kill();
    let status = child.wait().map_err(failed)?;
    match (verdict, status.code()) {
        (Verdict::Works, _) => Ok(Ok(())),
        (Verdict::Silent, Some(127)) => Err(HostError::QemuMissing { program: PROGRAM }),
        (Verdict::Silent, _) => Ok(Err(format!("no kernel came up within {} s", PROBE_LIMIT.as_secs()))),
        (Verdict::Says(line), _) => Ok(Err(line)),
    }
}

enum Verdict {
    Works,
    /// QEMU's own words.
    Says(String),
    Silent,
}

/// Reads until the kernel's panic, an error of QEMU, the end, or the limit.
fn judge(lines: &Receiver<String>) -> Verdict {
    let end = Instant::now() + PROBE_LIMIT;
    while let Ok(line) = lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if line.contains("Kernel panic - not syncing: VFS") {
            return Verdict::Works;
        }
        if line.starts_with("KVM internal error") || line.starts_with("qemu-system") {
            return Verdict::Says(line.chars().take(200).collect());
        }
    }
    Verdict::Silent
}

fn send_lines(source: impl Read, sender: &Sender<String>) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    while let Ok(1..) = source.by_ref().take(4096).read_until(b'\n', &mut line) {
        let text = String::from_utf8_lossy(&line).trim().to_owned();
        if sender.send(text).is_err() {
            return;
        }
        line.clear();
    }
}

const CACHE: &str = "kvm-probe.json";
/// A working probe ends within a second; this is for a loaded machine.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accelerator_that_does_not_exist_is_refused_in_qemus_words() {
        let run = tempfile::tempdir().unwrap();
        match probe("nonsense", Path::new("/dev/null"), run.path()) {
            Err(HostError::QemuMissing { .. }) => println!("SKIPPED: QEMU is not installed"),
            outcome => assert!(outcome.unwrap().unwrap_err().contains("nonsense")),
        }
    }

    #[test]
    fn only_the_awaited_panic_is_a_success() {
        let judge = |text: &[&str]| {
            let (sender, lines) = channel();
            for line in text {
                sender.send((*line).to_owned()).unwrap();
            }
            drop(sender);
            judge(&lines)
        };
        let panic = "[    0.4] Kernel panic - not syncing: VFS: Unable to mount root fs";
        assert!(matches!(judge(&["Linux version 6.12", panic]), Verdict::Works));
        assert!(matches!(judge(&["KVM internal error. Suberror: 1", panic]), Verdict::Says(_)));
        assert!(matches!(judge(&["[    0.4] Kernel panic - not syncing: Fatal"]), Verdict::Silent));
        assert!(matches!(judge(&[]), Verdict::Silent));
    }
}
