//! The virtual machine: the closest QEMU has to a Nitro enclave.
//!
//! `microvm` has virtio-mmio devices only and QEMU appends them to the kernel's command line, as
//! Nitro does. There is no disk, no network card and, outside debug mode, no serial port.

use crate::driver::console;
use crate::error::HostError;
use crate::process::{ProcessId, bound_to_parent, spawn_bound, tail};
use crate::run::Message;
use crate::run::image::BootImage;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

/// The program, found in `PATH`.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// What the machine has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hardware<'a> {
    pub(super) kvm: bool,
    pub(super) cpus: u32,
    pub(super) memory_mib: u32,
    pub(super) debug: bool,
    /// The vsock device's vhost-user socket.
    pub(super) vsock: &'a Path,
}

/// A running QEMU; killed when dropped.
#[derive(Debug)]
pub(super) struct Qemu {
    process: ProcessId,
    waiter: Option<JoinHandle<Option<ExitStatus>>>,
    stderr: Option<JoinHandle<String>>,
    console: Option<JoinHandle<()>>,
}

impl Qemu {
    /// Starts the machine with an image. Call it from the thread that lives as long as the run: QEMU
    /// dies with it.
    pub(super) fn start(
        hardware: Hardware<'_>,
        image: &BootImage,
        run: &Path,
        messages: &SyncSender<Message>,
    ) -> Result<Self, HostError> {
        let mut command = bound_to_parent(PROGRAM, run);
        command
            .args(arguments(hardware))
            .arg("-kernel")
            .arg(image.kernel_path())
            .arg("-initrd")
            .arg(image.ramdisks_path())
            .arg("-append")
            .arg(&image.cmdline)
            .env("LC_ALL", "C")
            .stdout(if hardware.debug { Stdio::piped() } else { Stdio::null() })
            .stderr(Stdio::piped());
        let mut child = spawn_bound(&mut command)?;
        let failed = |cause| HostError::System { doing: "Watching QEMU", cause };
        let process = i32::try_from(child.id()).ok().and_then(ProcessId::of);
        // Gone already: the waiter reports how. A start time of 0 is no process's.
        let process = process.unwrap_or(ProcessId { pid: 0, start: 0 });
        let mut qemu = Self { process, waiter: None, stderr: None, console: None };
        if let Some(stderr) = child.stderr.take() {
            qemu.stderr = Some(thread("qemu-stderr", move || tail(stderr)).map_err(failed)?);
        }
        if let Some(stdout) = child.stdout.take() {
            let messages = messages.clone();
            qemu.console = Some(console::read_in_thread(stdout, messages)?);
        }
        let messages = messages.clone();
        qemu.waiter = Some(thread("qemu", move || wait(child, &messages)).map_err(failed)?);
        Ok(qemu)
    }

    /// Kills it.
    pub(super) fn kill(&self) {
        self.process.kill();
    }

    /// Whether it is gone and everything it wrote was read.
    pub(super) fn is_finished(&self) -> bool {
        self.waiter.as_ref().is_none_or(JoinHandle::is_finished)
            && self.console.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its end; returns how it ended and the last of its stderr.
    pub(super) fn join(mut self) -> (Option<ExitStatus>, String) {
        let status = self.waiter.take().and_then(|waiter| waiter.join().ok()).flatten();
        if let Some(console) = self.console.take() {
            let _ = console.join();
        }
        (status, self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default())
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

/// QEMU's arguments but for the image.
fn arguments(hardware: Hardware<'_>) -> Vec<OsString> {
    let serial = if hardware.debug { "on" } else { "off" };
    let memory = format!("{}M", hardware.memory_mib);
    // Without fast string moves (`erms`): the guest's kernel then copies words, where QEMU would emulate each byte.
    let (accelerator, cpu) = if hardware.kvm { ("kvm", "host") } else { ("tcg,thread=multi", "max,-erms") };
    let mut arguments: Vec<OsString> = [
        "-M",
        &format!("microvm,memory-backend=memory,acpi=off,rtc=on,isa-serial={serial}"),
        "-accel",
        accelerator,
        "-cpu",
        cpu,
        "-smp",
        &hardware.cpus.to_string(),
        "-m",
        &memory,
        // Shared, because the vsock device reads and writes the guest's queues.
        "-object",
        &format!("memory-backend-memfd,id=memory,size={memory},share=on"),
        // EnclaveOS powers off with `reboot=k`, by the keyboard controller, as on Nitro.
        "-device",
        "i8042",
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-serial",
        if hardware.debug { "stdio" } else { "none" },
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-device",
        "vhost-user-vsock-device,chardev=vsock",
        "-chardev",
    ]
    .map(OsString::from)
    .to_vec();
    let mut vsock = b"socket,id=vsock,path=".to_vec();
    for byte in hardware.vsock.as_os_str().as_bytes() {
        // A comma ends a value of QEMU's options; two stand for one.
        vsock.extend(if *byte == b',' { &b",,"[..] } else { std::slice::from_ref(byte) });
    }
    arguments.push(OsString::from_vec(vsock));
    arguments
}

fn wait(mut child: Child, messages: &SyncSender<Message>) -> Option<ExitStatus> {
    // Waiting for an own child fails only when it was waited for before.
    let status = child.wait().ok()?;
    let _ = messages.send(Message::MachineEnded);
    Some(status)
}

fn thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(debug: bool) -> String {
        joined_with(debug, "/run/x/vsock")
    }

    fn joined_with(debug: bool, vsock: &str) -> String {
        let hardware = Hardware { kvm: false, cpus: 2, memory_mib: 512, debug, vsock: Path::new(vsock) };
        let arguments = arguments(hardware);
        arguments.iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn there_is_a_serial_port_in_debug_mode_only() {
        assert!(joined(true).contains("isa-serial=on") && joined(true).contains("-serial stdio"));
        assert!(joined(false).contains("isa-serial=off") && joined(false).contains("-serial none"));
    }

    #[test]
    fn a_comma_in_the_runtime_folder_is_no_option() {
        assert!(joined_with(false, "/run/a,b/vsock").ends_with("socket,id=vsock,path=/run/a,,b/vsock"));
    }
}
