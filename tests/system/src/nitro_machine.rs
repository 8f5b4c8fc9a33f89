//! QEMU's `nitro-enclave` machine: an EIF loader, a measurement and a `/dev/nsm` that nobody here wrote.
//!
//! `tools/qemu-nitro` builds the machine, `tools/install long` its vsock device, `vhost-device-vsock`. What
//! to know about that device: a connection that comes before the guest's driver makes it deaf for ever,
//! and it does not pass on that the guest has nothing more to say.

use crate::http;
use caution_abi::control::{Event, Phase};
use caution_abi::ports::CONTROL;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A running machine. Dropping it ends it; a test that fails shows its console.
pub struct NitroMachine {
    qemu: Process,
    _device: Process,
    vsock: Vsock,
    console: Arc<Mutex<String>>,
    _folder: TempDir,
}

/// The way to the ports inside.
#[derive(Clone)]
pub struct Vsock(PathBuf);

impl NitroMachine {
    /// Boots an image, which the machine itself takes apart and measures.
    pub fn boot(eif: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name| folder.path().join(name);
        let program = qemu();
        let tools = program.ancestors().nth(3).expect("<tools>/qemu-nitro/bin/<program>");
        let mut device = Process::start(
            Command::new(tools.join("bin/vhost-device-vsock"))
                .args(["--guest-cid", "4", "--socket"])
                .arg(at("device"))
                .arg("--uds-path")
                .arg(at("vsock")),
            Stdio::null(),
        );
        while !at("device").exists() {
            device.assert_runs();
            std::thread::yield_now();
        }
        let mut qemu = Process::start(
            Command::new(program)
                .args(["-M", "nitro-enclave,vsock=vsock,id=caution", "-accel", "tcg", "-cpu", "max"])
                .args(["-m", "512", "-display", "none", "-serial", "stdio", "-no-reboot", "-chardev"])
                .arg(format!("socket,id=vsock,path={}", at("device").display()))
                .arg("-kernel")
                .arg(eif),
            Stdio::piped(),
        );
        let (console, init) = watch(qemu.0.stdout.take().expect("a pipe was asked for"));
        let machine = Self { qemu, _device: device, vsock: Vsock(at("vsock")), console, _folder: folder };
        init.recv_timeout(PATIENCE).expect("the kernel starts /init");
        machine
    }

    /// Returns when EnclaveOS says that the app is ready.
    pub fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            self.qemu.assert_runs();
            assert!(Instant::now() < deadline, "nobody listens on the control port");
            if let Some(stream) = self.vsock.connect(CONTROL.into()) {
                break stream;
            }
        };
        for line in BufReader::new(stream).lines() {
            match serde_json::from_str(&line.expect("a line before patience ends")).expect("an event") {
                Event::Phase { phase: Phase::Ready, .. } => return,
                Event::Hello { debug, .. } => assert!(!debug, "no register is zero"),
                Event::Stopping { reason } => panic!("{reason}"),
                _ => {}
            }
        }
        panic!("the control port closed early");
    }

    /// The way to the ports inside, for as long as the machine runs.
    pub fn vsock(&self) -> Vsock {
        self.vsock.clone()
    }
}

impl Vsock {
    /// Sends one HTTP request to a port where somebody listens; status and body of the answer.
    pub fn request(&self, port: u32, method: &str, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let mut stream = self.connect(port).expect("somebody listens inside");
        http::exchange(&mut stream, method, path, body).expect("an answer from inside")
    }

    /// A connection to a port inside; none where nobody listens (yet), or where the device says nothing.
    fn connect(&self, port: u32) -> Option<UnixStream> {
        let mut stream = UnixStream::connect(&self.0).ok()?;
        stream.set_read_timeout(Some(PATIENCE_FOR_CONNECTING)).expect("a connected socket");
        // In one piece: the device takes what it reads first for all there is.
        stream.write_all(format!("CONNECT {port}\n").as_bytes()).ok()?;
        // Byte by byte: what follows the line belongs to whoever asked.
        let (mut line, mut byte) = (Vec::new(), [0]);
        while !line.ends_with(b"\n") {
            stream.read_exact(&mut byte).ok()?;
            line.extend(byte);
        }
        stream.set_read_timeout(Some(PATIENCE)).expect("a connected socket");
        line.starts_with(b"OK ").then_some(stream)
    }
}

impl Drop for NitroMachine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.console.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, stdout: Stdio) -> Self {
        let child = command.stdin(Stdio::null()).stdout(stdout).spawn();
        Self(child.unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display())))
    }

    #[track_caller]
    fn assert_runs(&mut self) {
        let ended = self.0.try_wait().expect("its own child");
        assert!(ended.is_none(), "a program of the machine ended early: {ended:?}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Keeps what the console says, and tells when the kernel starts PID 1.
fn watch(pipe: ChildStdout) -> (Arc<Mutex<String>>, mpsc::Receiver<()>) {
    let console = Arc::new(Mutex::new(String::new()));
    let (started, init) = mpsc::channel();
    let kept = Arc::clone(&console);
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe.take(CONSOLE_LIMIT)).split(b'\n');
        while let Some(Ok(line)) = lines.next() {
            let line = String::from_utf8_lossy(&line);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend([&line, "\n"]);
            if line.starts_with("Run /init") {
                // Nobody listens any more when the test has failed.
                let _ = started.send(());
            }
        }
    });
    (console, init)
}

/// The program, built first where it is absent.
fn qemu() -> PathBuf {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/qemu-nitro");
    let output = Command::new(tool).stderr(Stdio::inherit()).output().expect("tools/qemu-nitro starts");
    assert!(output.status.success(), "tools/qemu-nitro failed");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end())
}

/// A boot prints 20 KiB.
const CONSOLE_LIMIT: u64 = 1024 * 1024;
/// Far more than a boot takes on a loaded machine; it ends one that hangs.
const PATIENCE: Duration = Duration::from_mins(3);
const PATIENCE_FOR_CONNECTING: Duration = Duration::from_secs(1);
