//! A machine in network namespaces: the host with its agent, two clients, and a server that the app reaches.

use crate::store::Store;
use caution_abi::boot_plan::{App, BootPlan, PATH, ROOTFS_DIR, Readiness, Restart, RestartPolicy};
use caution_abi::egress::{EgressRule, Protocol};
use caution_abi::network::Ipv4Network;
use caution_abi::ports::AppPort;
use caution_abi::seal::{self, Seal};
use caution_eif::{HeaderOptions, Metadata, Writer};
use caution_rootfs::cpio::{self, Entry, EntryKind};
use caution_rootfs::gzip::GzipWriter;
use caution_system_tests::command::{Machine, Ran, caution_bin, finish};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

/// What the app is called; its name is [`HOST`].
pub(crate) const NAME: &str = "soak";
pub(crate) const HOST: &str = "soak.localhost";
/// The raw port, here as inside.
pub(crate) const RAW: u16 = 8002;
/// The host as its two clients see it.
pub(crate) const ADDRESSES: [&str; 2] = ["10.1.0.1", "10.2.0.1"];

/// The machine; the thread that made it lives in the host's namespace, and all it starts from then on.
pub(crate) struct Place {
    pub(crate) machine: Machine,
    pub(crate) store: Store,
    namespaces: Vec<String>,
    agent: Option<Child>,
    folder: tempfile::TempDir,
}

impl Place {
    /// The namespaces, and an agent that looks after nothing yet.
    pub(crate) fn enter() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("soak-{side}-{}-{number}", std::process::id());
        let namespaces = ["host", "one", "two", "out"].map(name).to_vec();
        let [host, one, two, out] = namespaces.as_slice() else { unreachable!("four names") };
        for name in &namespaces {
            shell(&format!("ip netns add {name}; ip -n {name} link set lo up"));
        }
        for (side, name, net) in [("one", one, "10.1.0"), ("two", two, "10.2.0"), ("out", out, "198.51.100")]
        {
            shell(&format!(
                "ip link add {side} netns {host} type veth peer name eth0 netns {name}
                 ip -n {host} addr add {net}.1/24 dev {side}; ip -n {host} link set {side} up
                 ip -n {name} addr add {net}.2/24 dev eth0; ip -n {name} link set eth0 up"
            ));
        }
        shell(&format!("ip -n {host} route add default via 198.51.100.2"));
        shell(&format!("ip -n {out} addr add 203.0.113.5/32 dev lo"));
        let store = in_namespace(out, Store::start);
        enter(host);
        let machine = Machine::new();
        let folder = tempfile::tempdir().unwrap();
        let mut place = Self { machine, store, namespaces, agent: None, folder };
        place.start_agent();
        place
    }

    /// The namespace of one of the two client machines.
    pub(crate) fn client(&self, which: usize) -> String {
        self.namespaces[1 + which].clone()
    }

    /// Where the agent's log goes on.
    fn log(&self) -> PathBuf {
        self.folder.path().join("agent.log")
    }

    /// What the agents said since byte `from`, and the byte where that ends.
    pub(crate) fn said_since(&self, from: u64) -> (String, u64) {
        let mut text = String::new();
        let mut file = File::open(self.log()).unwrap();
        file.seek(SeekFrom::Start(from)).unwrap();
        let length = file.read_to_string(&mut text).unwrap();
        (text, from + length as u64)
    }

    /// As a service manager does.
    pub(crate) fn start_agent(&mut self) {
        let settings = self.folder.path().join("host.toml");
        let listen = ADDRESSES.map(|address| format!("\"{address}\"")).join(", ");
        let text = format!(
            "[ingress]\nlisten = [{listen}]\nhttps_port = 443\nhttp_port = 80\ncertificates = \"local\"\n"
        );
        std::fs::write(&settings, text).unwrap();
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let program = caution_bin().with_file_name("caution-host");
        let mut agent = self.machine.program(&program, self.folder.path(), ["serve", "--config"]);
        agent.arg(&settings).stderr(log);
        self.agent = Some(agent.spawn().expect("caution-host stands beside caution: make build"));
    }

    /// `kill -9`, and it is gone.
    pub(crate) fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().unwrap();
            agent.wait().unwrap();
        }
    }

    pub(crate) fn agent_pid(&self) -> Option<i32> {
        self.agent.as_ref().and_then(|agent| i32::try_from(agent.id()).ok())
    }

    /// Boots the app, which the agent then looks after.
    pub(crate) fn run_app(&self) {
        let eif = self.folder.path().join("soak.eif");
        write_image(&eif, self.folder.path());
        self.apps_run("--detach", &eif).expect(0);
    }

    /// Puts it in its own place.
    pub(crate) fn replace_app(&self) -> Ran {
        self.apps_run("--replace", &self.folder.path().join("soak.eif"))
    }

    fn apps_run(&self, how: &str, eif: &Path) -> Ran {
        let args = ["apps", "run", how, "--name", NAME, "--memory", "192", "--cpus", "1", "--json", "--eif"];
        let mut command = self.machine.command(self.folder.path(), args);
        finish(&command.arg(eif).output().unwrap())
    }

    /// What `caution apps ps --all` knows of the app and its enclave.
    pub(crate) fn shown(&self) -> serde_json::Value {
        self.machine.caution(self.folder.path(), &["apps", "ps", "--all", "--json"]).expect(0).json()
    }

    /// The root that clients trust.
    pub(crate) fn root(&self) -> PathBuf {
        self.machine.state().join("ingress/certificates/pki/authorities/local/root.crt")
    }

    /// Processes of the app's enclave and Caddy: name and number.
    pub(crate) fn processes(&self) -> Vec<(String, i32)> {
        let runtime = self.machine.runtime();
        let wanted = [
            format!("CAUTION_ENCLAVE_RUN={}/", runtime.display()),
            format!("CAUTION_INGRESS={}/", runtime.display()),
        ];
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter_map(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
            let mut variables = environment.split(|byte| *byte == 0);
            let ours = variables.any(|v| wanted.iter().any(|wanted| v.starts_with(wanted.as_bytes())));
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            ours.then(|| (name.trim().to_owned(), pid))
        })
        .collect()
    }

    /// The process of this name, as it begins.
    pub(crate) fn process(&self, name: &str) -> Option<i32> {
        let processes = self.processes();
        processes.into_iter().find(|(process, _)| process.starts_with(name)).map(|(_, pid)| pid)
    }

    /// Folders of runs, and sockets but the agent's.
    pub(crate) fn left(&self) -> Vec<String> {
        let names = |folder: &Path| -> Vec<String> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        };
        let runs = names(&self.machine.runtime()).into_iter().filter(|name| !name.starts_with('.'));
        let ways = names(&self.machine.runtime().join(".ingress/up"));
        runs.chain(ways).chain(names(&self.machine.state().join("deployed"))).collect()
    }

    /// What the log of the enclave that runs says about its network.
    pub(crate) fn network_lines(&self) -> Vec<String> {
        let ran = self.machine.caution(self.folder.path(), &["apps", "logs", NAME, "--json"]);
        let lines =
            ran.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let egress = lines.filter(|entry| entry["kind"] == "egress");
        egress.filter_map(|entry| Some(entry["value"].as_str()?.to_owned())).collect()
    }

    /// The supervisor, which has the vsock device.
    pub(crate) fn supervisor(&self) -> Option<i32> {
        self.shown()["enclaves"][0]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.machine.stop_all();
        self.kill_agent();
        for (_, pid) in self.processes() {
            kill(pid);
        }
        for name in &self.namespaces {
            // They go when the last process has left.
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// `kill -9` of a process that may be gone.
pub(crate) fn kill(pid: i32) {
    let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(std::process::Stdio::null()).status();
}

/// Moves this thread.
pub(crate) fn enter(namespace: &str) {
    let file = File::open(Path::new("/run/netns").join(namespace)).unwrap();
    setns(file, CloneFlags::CLONE_NEWNET).unwrap();
}

/// What `work` makes on a thread of another namespace.
fn in_namespace<T: Send + 'static>(namespace: &str, work: fn() -> T) -> T {
    let namespace = namespace.to_owned();
    let thread = std::thread::spawn(move || {
        enter(&namespace);
        work()
    });
    thread.join().unwrap()
}

fn shell(lines: &str) {
    let output = Command::new("sh").args(["-euc", lines]).output().unwrap();
    assert!(output.status.success(), "{lines}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The app on the EnclaveOS of this tree. It is killed far more often in a row than an app that is built
/// may be started again, which its boot plan says.
fn write_image(path: &Path, folder: &Path) {
    let release = caution_enclaveos::default_release(&cache());
    let release = release.unwrap_or_else(|e| panic!("no EnclaveOS release ({e}): caution enclaveos build"));
    let program = folder.join("app");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/soak/app.rs");
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(source);
    assert!(rustc.status().unwrap().success());
    let app = std::fs::read(program).unwrap();
    let mut writer = Writer::new(File::create_new(path).unwrap(), HeaderOptions::default()).unwrap();
    writer.kernel(std::fs::read(release.kernel_path()).unwrap().as_slice()).unwrap();
    writer.cmdline(release.cmdline()).unwrap();
    writer.metadata(&Metadata::new("6.12")).unwrap();
    writer.ramdisk(std::fs::read(release.ramdisk_path()).unwrap().as_slice()).unwrap();
    writer.ramdisk(ramdisk(&app).as_slice()).unwrap();
    writer.finish().unwrap();
}

fn plan() -> BootPlan {
    let ports: Vec<AppPort> = [8001, RAW].map(|port| port.try_into().unwrap()).to_vec();
    let network: Ipv4Network = "203.0.113.5/32".parse().unwrap();
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
        http_port: Some(ports[0]),
        egress: vec![EgressRule { network, ports: (7000, 7000), protocol: Protocol::Tcp }],
        e2e: None,
        readiness: Readiness::Tcp { port: ports[0], timeout_s: 60 },
        ports,
        restart: Restart {
            policy: RestartPolicy::Always,
            max_restarts: 1_000_000,
            backoff_ms: 100,
            backoff_max_ms: 1000,
        },
        logs: false,
    }
}

fn ramdisk(app: &[u8]) -> Vec<u8> {
    let mut writer = cpio::Writer::new(GzipWriter::new(Vec::new()).unwrap());
    let program = format!("{ROOTFS_DIR}/app");
    let (plan, seal) = (plan().to_bytes(), Seal::new(1).to_bytes());
    for (path, mode, content) in [
        (PATH, 0o644, Some(plan.as_slice())),
        (ROOTFS_DIR, 0o755, None),
        (program.as_str(), 0o755, Some(app)),
        (seal::PATH, 0o444, Some(seal.as_slice())),
    ] {
        let kind = content.map_or(EntryKind::Directory, |bytes| EntryKind::File { size: bytes.len() as u64 });
        let entry = Entry { path: path.as_bytes().to_vec(), kind, mode, uid: 0, gid: 0 };
        writer.append(&entry, &mut content.unwrap_or_default()).unwrap();
    }
    let mut gzip = writer.finish().unwrap();
    gzip.flush().unwrap();
    gzip.finish().unwrap()
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
