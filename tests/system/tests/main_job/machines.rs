//! The image on machines of others.

use super::{HELLO, check, verify};
use caution_abi::{evidence, ports};
use caution_measure::Nonce;
use caution_system_tests::command::Machine;
use caution_system_tests::http;
use caution_system_tests::nitro_machine::NitroMachine;
use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// `docs/src/running-locally.md`, "Without Caution".
#[test]
fn both_ramdisks_boot_with_plain_qemu() {
    let ramdisks = HELLO.repository.stage("output/rootfs.cpio.gz");
    let id = HELLO.built["enclaveos"]["id"].as_str().expect("the id of a release");
    let release = caution_enclaveos::installed(&verify::cache(), &id.parse().expect("SHA-256, hex"))
        .expect("the release the image was built with");
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

/// The path to hardware, judged by a machine that nobody here wrote.
#[test]
#[ignore = "needs QEMU's nitro-enclave machine: make test-long"]
fn the_same_image_attests_through_dev_nsm_and_its_unsigned_document_is_refused() {
    let (hello, user) = (&*HELLO, Machine::new());
    let mut machine = NitroMachine::boot(&hello.eif);
    machine.wait_until_ready();
    let vsock = machine.vsock();
    let (status, greeting) = vsock.request(8080, "GET", "/", b"");
    assert!(status == 200 && greeting.starts_with(b"Hello"), "{status} {}", greeting.escape_ascii());

    let nonce = Nonce::new([7; 32]);
    let request = serde_json::to_vec(&evidence::Request::new(&nonce)).unwrap();
    let attest =
        move |request: &[u8]| vsock.request(ports::ATTESTATION.into(), "POST", evidence::PATH, request);
    let (status, answer) = attest(&request);
    assert_eq!(status, 200, "{}", answer.escape_ascii());
    let answer: evidence::Response = serde_json::from_slice(&answer).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, &answer.document).unwrap();

    // It measured the file by itself.
    let root = &hello.repository.root;
    let document = super::text(file.path());
    let shown = user.caution(root, &["attestation", "inspect", document, "--json"]).expect(0).json();
    let shown = &shown["attestation_payload"];
    for register in ["0", "1", "2"] {
        assert_eq!(shown["pcrs"][register], hello.built[format!("pcr{register}")], "PCR{register}");
    }
    assert_eq!(shown["nonce"], nonce.to_string());

    // It signs nothing: refused by name, before anything else is looked at.
    let refusal = "QEMU's nitro-enclave machine made this document and did not sign it";
    let ran = user.caution(root, &["attestation", "verify", document]).expect(10);
    assert!(ran.stderr.contains(refusal), "{}", ran.stderr);
    let url = format!("http://127.0.0.1:{}/attestation", http::serve(move |request| attest(request).1));
    for trust in ["aws", "dev"] {
        let args = ["verify", "--json", "--attestation-url", &url, "--trust-root", trust];
        let verdict = user.caution(root, &args).expect(10).json();
        assert_eq!(verdict["failure"], "evidence_invalid");
        assert!(check(&verdict, "evidence").to_string().contains(refusal), "{verdict:#}");
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
