//! The image on machines of others.

use super::{HELLO, verify};
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// `docs/src/running-locally.md`, "Without Caution".
#[test]
fn both_ramdisks_boot_with_plain_qemu() {
    let ramdisks = HELLO.repository.stage("output/rootfs.cpio.gz");
    let release =
        caution_enclaveos::default_release(&verify::cache()).expect("a release: caution enclaveos build");
    let enclaveos = fs::read(release.ramdisk_path()).unwrap();
    assert!(fs::read(&ramdisks).unwrap().starts_with(&enclaveos), "ramdisk 0 comes first");

    let console = console_until_exit(
        Command::new("qemu-system-x86_64")
            .args(["-M", "q35", "-m", "512", "-nographic", "-no-reboot", "-kernel"])
            .arg(release.kernel_path())
            .arg("-initrd")
            .arg(&ramdisks)
            .args(["-append", release.cmdline()]),
    );
    // Nothing there signs evidence: EnclaveOS runs, says so and ends the machine. It read both ramdisks.
    let reason = "enclaveos: The enclave could not boot: there is no /dev/nsm, and no emulator answers";
    assert!(console.contains(reason), "{console}");
    assert!(console.contains("reboot: Restarting system"), "{console}");
    for wrong in ["Initramfs unpacking failed", "Kernel panic"] {
        assert!(!console.contains(wrong), "{console}");
    }
}

/// What a machine prints until it ends by itself, which it must do with success.
fn console_until_exit(command: &mut Command) -> String {
    let mut machine = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("QEMU starts");
    let pipe = machine.stdout.take().expect("a pipe was asked for");
    let (sender, console) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let outcome = pipe.take(CONSOLE_LIMIT).read_to_end(&mut bytes).map(|_| bytes);
        // Nobody listens any more when the test has failed.
        let _ = sender.send(outcome);
    });
    let mut ended = true;
    let bytes = console.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        ended = false;
        machine.kill().expect("its own child");
        console.recv().expect("a killed machine's console ends")
    });
    let text = String::from_utf8_lossy(&bytes.expect("a readable pipe")).into_owned();
    let status = machine.wait().expect("its own child");
    assert!(ended && status.success(), "{status}, by itself: {ended}\n{text}");
    text
}

/// Far more than a boot takes on a loaded machine; it ends a machine that hangs.
const PATIENCE: Duration = Duration::from_mins(3);
/// A boot prints 20 KiB.
const CONSOLE_LIMIT: u64 = 1024 * 1024;
