//! An image with the test application, folders, and eyes for what is left behind.

use caution_abi::boot_plan::{App, BootPlan, PATH, ROOTFS_DIR, Readiness, Restart, RestartPolicy};
use caution_abi::ports::AppPort;
use caution_abi::seal::{self, Seal};
use caution_eif::{HeaderOptions, Metadata, Writer};
use caution_enclaveos::Release;
use caution_host::ingress::IngressSpec;
use caution_host::{Dirs, PublishedPort, RunConfig, list, stop};
use caution_rootfs::cpio::{self, Entry, EntryKind};
use caution_rootfs::gzip::GzipWriter;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Ports of the application.
pub(crate) const PORTS: [u16; 8] = [8001, 8002, 8003, 8004, 8005, 8006, 8007, 8008];

/// Folders of one test.
pub(crate) struct Place {
    root: TempDir,
    pub(crate) dirs: Dirs,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name| root.path().join(name);
        // The probe of KVM is kept for all tests of this run.
        let dirs = Dirs { state: at("state"), runtime: at("run"), cache: images().join("cache") };
        // For agents that are started on demand.
        std::fs::create_dir_all(&dirs.state).unwrap();
        std::fs::write(dirs.state.join("host.toml"), crate::agent::WITHOUT_HTTPS).unwrap();
        Self { root, dirs }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.root.path().to_owned()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Names in the runtime folder, but for its lock.
    pub(crate) fn left_in_runtime(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.dirs.runtime) else { return Vec::new() };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != ".lock").collect()
    }

    /// What is kept for running enclaves.
    fn left_on_shelves(&self) -> usize {
        std::fs::read_dir(self.dirs.state.join("deployed")).map_or(0, Iterator::count)
    }

    /// Processes that belong to runs of this place, by what marks them.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        marked(&self.dirs.runtime)
    }

    /// Nothing of any run is left, now or within seconds.
    pub(crate) fn assert_clean(&self) {
        eventually("everything is cleaned up", || {
            self.left_in_runtime().is_empty() && self.processes().is_empty() && self.left_on_shelves() == 0
        });
    }
}

/// What a test that failed leaves running: agents on demand and supervisors outlive whoever started them.
impl Drop for Place {
    fn drop(&mut self) {
        // First the agent, which would start everything again.
        let hello = UnixStream::connect(self.dirs.runtime.join(".agent")).ok().and_then(|agent| {
            let mut line = String::new();
            BufReader::new(agent).read_line(&mut line).ok()?;
            serde_json::from_str::<serde_json::Value>(&line).ok()?["hello"]["pid"].as_u64()
        });
        if let Some(agent) = hello {
            let _ = Command::new("kill").args(["-9", &agent.to_string()]).status();
        }
        // Runs in this very process end with it, and with their thread.
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        for record in list(&self.dirs).unwrap_or_default().into_iter().filter(|record| record.pid != own) {
            let _ = stop(&self.dirs, &record.id);
        }
    }
}

/// Processes that belong to runs below this folder.
pub(crate) fn marked(runtime: &Path) -> Vec<(i32, String)> {
    let wanted = format!("CAUTION_ENCLAVE_RUN={}/", runtime.display());
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let marked = environment.split(|b| *b == 0).any(|v| v.starts_with(wanted.as_bytes()));
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        marked.then(|| (pid, name.trim().to_owned()))
    })
    .collect()
}

/// A run of the image `eif` on free ports.
pub(crate) fn config(eif: &Path) -> RunConfig {
    let ports = PORTS.map(|enclave| PublishedPort { enclave, host: Some(0) });
    RunConfig {
        name: "test".to_owned(),
        eif: eif.to_owned(),
        manifest: None,
        checkout: None,
        ports: ports.to_vec(),
        http_port: Some(8001),
        e2e: false,
        ingress: IngressSpec::default(),
        listen: Vec::new(),
        attestation_port: Some(0),
        cpus: 1,
        memory_mib: 256,
        debug: false,
    }
}

/// Waits for something that another process does.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "a strange process's end cannot be waited for")]
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within 10 s: {what}");
}

/// What real boots need; a machine that lacks it cannot pass these tests.
pub(crate) fn release() -> Release {
    let qemu = Command::new("qemu-system-x86_64").arg("--version").output();
    qemu.expect("QEMU is installed: apt-get install qemu-system-x86");
    let release = caution_enclaveos::default_release(&cache());
    release.unwrap_or_else(|e| panic!("no EnclaveOS release ({e}): caution enclaveos build"))
}

/// The command line tool's cache, where releases lie.
fn cache() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the same folder as client/cli/src/config.rs")]
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    variable("CAUTION_WORKDIR").unwrap_or_else(|| {
        let cache = variable("XDG_CACHE_HOME");
        cache.or_else(|| Some(variable("HOME")?.join(".cache"))).unwrap_or_default().join("caution")
    })
}

/// A folder that lives as long as this test program, with what all tests share.
fn images() -> &'static Path {
    static IMAGES: OnceLock<PathBuf> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host-enclaves");
        std::fs::create_dir_all(&all).unwrap();
        // Statics are never dropped: each run of the tests removes what the ones before left.
        for old in std::fs::read_dir(&all).unwrap().map(|entry| entry.unwrap().path()) {
            if !Path::new("/proc").join(old.file_name().unwrap()).exists() {
                std::fs::remove_dir_all(old).unwrap();
            }
        }
        let folder = all.join(std::process::id().to_string());
        std::fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// The image of the test application on `release`.
pub(crate) fn image(release: &Release) -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| image_of("app.eif", release, &plan()))
}

/// An image of the test application with another boot plan.
pub(crate) fn image_of(name: &str, release: &Release, plan: &BootPlan) -> PathBuf {
    static APP: OnceLock<Vec<u8>> = OnceLock::new();
    write_image(name, release, &ramdisk(plan, APP.get_or_init(|| compile("app.rs"))))
}

/// A program of this folder, without libraries.
pub(crate) fn compile(source: &str) -> Vec<u8> {
    let program = images().join(source).with_extension("");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/enclave").join(source);
    let mut compiler = if source.extension().is_some_and(|kind| kind == "c") {
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-static"]);
        cc
    } else {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static"]);
        rustc
    };
    assert!(compiler.arg("-o").arg(&program).arg(source).status().unwrap().success());
    std::fs::read(program).unwrap()
}

/// Runs lines of shell; each must succeed.
pub(crate) fn shell(lines: &str) {
    let output = Command::new("sh").args(["-euc", lines]).output().unwrap();
    assert!(output.status.success(), "{lines}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An image of `release` with these bytes as ramdisk 1.
pub(crate) fn write_image(name: &str, release: &Release, ramdisk: &[u8]) -> PathBuf {
    let path = images().join(name);
    let platform = std::fs::read(release.ramdisk_path()).unwrap();
    write_ramdisks(&path, release, &[&platform, ramdisk]);
    path
}

/// An image of this kernel with any ramdisks.
pub(crate) fn write_ramdisks(path: &Path, release: &Release, ramdisks: &[&[u8]]) {
    let kernel = std::fs::read(release.kernel_path()).unwrap();
    write_parts(path, &kernel, release.cmdline(), ramdisks);
}

/// An image of any parts.
pub(crate) fn write_parts(path: &Path, kernel: &[u8], cmdline: &str, ramdisks: &[&[u8]]) {
    let mut writer = Writer::new(File::create_new(path).unwrap(), HeaderOptions::default()).unwrap();
    writer.kernel(kernel).unwrap();
    writer.cmdline(cmdline).unwrap();
    writer.metadata(&Metadata::new("6.12")).unwrap();
    for ramdisk in ramdisks {
        writer.ramdisk(*ramdisk).unwrap();
    }
    writer.finish().unwrap();
}

/// The boot plan of [`image`].
pub(crate) fn plan() -> BootPlan {
    let ports: Vec<AppPort> = PORTS.iter().map(|port| AppPort::try_from(*port).unwrap()).collect();
    BootPlan {
        version: BootPlan::VERSION,
        app: App {
            argv: vec!["/app".to_owned()],
            env: std::collections::BTreeMap::new(),
            cwd: "/".to_owned(),
            uid: 1000,
            gid: 1000,
            groups: Vec::new(),
        },
        http_port: None,
        egress: Vec::new(),
        e2e: None,
        readiness: Readiness::Tcp { port: ports[0], timeout_s: 60 },
        ports,
        restart: Restart { policy: RestartPolicy::Never, max_restarts: 0, backoff_ms: 1, backoff_max_ms: 1 },
        logs: false,
    }
}

pub(crate) fn ramdisk(plan: &BootPlan, app: &[u8]) -> Vec<u8> {
    ramdisk_of(plan, &[("app", app)])
}

/// Ramdisk 1 with these programs in the app's root.
pub(crate) fn ramdisk_of(plan: &BootPlan, programs: &[(&str, &[u8])]) -> Vec<u8> {
    let (plan, seal) = (plan.to_bytes(), Seal::new(programs.len() as u64).to_bytes());
    let paths: Vec<_> = programs.iter().map(|(name, _)| format!("{ROOTFS_DIR}/{name}")).collect();
    let mut entries: Vec<(&str, u32, Option<&[u8]>)> =
        vec![(PATH, 0o644, Some(&plan)), (ROOTFS_DIR, 0o755, None)];
    entries.extend(paths.iter().zip(programs).map(|(path, (_, bytes))| (path.as_str(), 0o755, Some(*bytes))));
    entries.push((seal::PATH, 0o444, Some(&seal)));
    archive(&entries)
}

/// A gzipped archive of files (with content) and directories.
pub(crate) fn archive(entries: &[(&str, u32, Option<&[u8]>)]) -> Vec<u8> {
    let mut writer = cpio::Writer::new(GzipWriter::new(Vec::new()).unwrap());
    for (path, mode, content) in entries {
        let kind = match content {
            Some(bytes) => EntryKind::File { size: bytes.len() as u64 },
            None => EntryKind::Directory,
        };
        let entry = Entry { path: path.as_bytes().to_vec(), kind, mode: *mode, uid: 0, gid: 0 };
        writer.append(&entry, &mut content.unwrap_or_default()).unwrap();
    }
    let mut gzip = writer.finish().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
}
