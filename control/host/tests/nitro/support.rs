//! A parent instance without hardware: folders, a fake nitro-cli, and what it measures.

use caution_eif::{HeaderOptions, Limits, Metadata, Writer};
use caution_host::ingress::IngressSpec;
use caution_host::{
    Dirs, DriverKind, DriverSettings, Ending, HostError, HostEvent, Options, Program, PublishedPort,
    RunConfig, StopHandle, run_with,
};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// The port that the fake enclave echoes on.
pub(crate) const PORT: u16 = 8001;

/// Folders of one test.
pub(crate) struct Place {
    root: TempDir,
    pub(crate) dirs: Dirs,
}

impl Place {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let dirs = Dirs { state: at("state"), runtime: at("run"), cache: at("cache") };
        fs::create_dir_all(&dirs.state).unwrap();
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nitro/fake-nitro-cli");
        fs::create_dir(at("fake")).unwrap();
        fs::copy(fake, at("fake/nitro-cli")).unwrap();
        fs::set_permissions(at("fake/nitro-cli"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(at("device"), "").unwrap();
        let place = Self { root, dirs };
        place.pool(1024, "1-8");
        let image = caution_eif::read(fs::File::open(place.image()).unwrap(), &Limits::default()).unwrap();
        let registers = image.measurements;
        let text = format!("{}\n{}\n{}\n", registers.pcr0, registers.pcr1, registers.pcr2);
        fs::write(place.at("fake/registers"), text).unwrap();
        place
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// What is set apart for enclaves.
    pub(crate) fn pool(&self, memory_mib: u32, cpus: &str) {
        let pages = self.at("sys/kernel/mm/hugepages/hugepages-2048kB");
        let parameters = self.at("sys/module/nitro_enclaves/parameters");
        fs::create_dir_all(&pages).unwrap();
        fs::create_dir_all(&parameters).unwrap();
        for name in ["nr_hugepages", "free_hugepages"] {
            fs::write(pages.join(name), (memory_mib / 2).to_string()).unwrap();
        }
        fs::write(parameters.join("ne_cpus"), cpus).unwrap();
    }

    /// From now on nitro-cli fails in this way.
    pub(crate) fn mode(&self, word: &str) {
        fs::write(self.at("fake/mode"), word).unwrap();
    }

    pub(crate) fn driver(&self) -> DriverSettings {
        DriverSettings {
            kind: DriverKind::Nitro,
            nitro_cli: self.at("fake/nitro-cli"),
            device: self.at("device"),
            sys: self.at("sys"),
            vsock_folder: Some(self.at("fake/sockets")),
        }
    }

    /// The same, as a table of a configuration file.
    pub(crate) fn driver_table(&self) -> String {
        format!(
            "[driver]\nkind = \"nitro\"\nnitro_cli = {}\ndevice = {}\nsys = {}\nvsock_folder = {}\n",
            self.quoted("fake/nitro-cli"),
            self.quoted("device"),
            self.quoted("sys"),
            self.quoted("fake/sockets")
        )
    }

    /// A path of this place as a string of a configuration file.
    pub(crate) fn quoted(&self, name: &str) -> String {
        format!("\"{}\"", self.at(name).display())
    }

    /// An image that nobody boots.
    pub(crate) fn image(&self) -> PathBuf {
        let path = self.at("app.eif");
        if !path.exists() {
            let mut writer =
                Writer::new(fs::File::create_new(&path).unwrap(), HeaderOptions::default()).unwrap();
            writer.kernel(&b"kernel"[..]).unwrap();
            writer.cmdline("reboot=k").unwrap();
            writer.metadata(&Metadata::new("6.12")).unwrap();
            writer.ramdisk(&b"070701 platform"[..]).unwrap();
            writer.ramdisk(&b"070701 app"[..]).unwrap();
            writer.finish().unwrap();
        }
        path
    }

    pub(crate) fn config(&self, name: &str) -> RunConfig {
        RunConfig {
            name: name.to_owned(),
            eif: self.image(),
            manifest: Some(format!("{{\"of\":\"{name}\"}}").into_bytes()),
            checkout: None,
            ports: vec![PublishedPort { enclave: PORT, host: Some(0) }],
            http_port: None,
            e2e: false,
            listen: Vec::new(),
            ingress: IngressSpec::default(),
            attestation_port: Some(0),
            cpus: 2,
            memory_mib: 128,
            debug: false,
        }
    }

    /// The manifests that enclaves were given.
    pub(crate) fn manifests(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("fake")).unwrap().map(|entry| entry.unwrap().path());
        let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("manifest-");
        let mut all: Vec<String> =
            entries.filter(named).map(|path| fs::read_to_string(path).unwrap()).collect();
        all.sort();
        all
    }

    pub(crate) fn terminated(&self) -> usize {
        fs::read_to_string(self.at("fake/terminated")).map_or(0, |text| text.lines().count())
    }

    /// Processes that carry the mark of a run of this place.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let wanted = format!("CAUTION_ENCLAVE_RUN={}/", self.dirs.runtime.display());
        let pids =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|b| *b == 0).any(|variable| variable.starts_with(wanted.as_bytes()))
        })
        .collect()
    }

    /// Nothing of any run is left, now or within seconds.
    pub(crate) fn assert_clean(&self) {
        eventually("everything is cleaned up", || {
            let left = fs::read_dir(&self.dirs.runtime).into_iter().flatten().flatten();
            let runs = left.filter(|entry| !entry.file_name().to_str().unwrap().starts_with('.')).count();
            runs == 0 && self.processes().is_empty()
        });
    }
}

/// Waits for something that another process does.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        #[expect(clippy::disallowed_methods, reason = "a strange process's end cannot be waited for")]
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("not within 20 s: {what}");
}

pub(crate) fn program() -> Program {
    Program::new(Path::new(env!("CARGO_BIN_EXE_caution-host")))
}

/// A run in this process.
pub(crate) struct Running {
    pub(crate) seen: Vec<HostEvent>,
    events: Receiver<HostEvent>,
    stop: StopHandle,
    thread: JoinHandle<Result<Ending, HostError>>,
}

impl Running {
    pub(crate) fn start(place: &Place, config: RunConfig) -> Self {
        Self::start_with(place, config, Duration::from_mins(1))
    }

    pub(crate) fn start_with(place: &Place, config: RunConfig, heartbeat_limit: Duration) -> Self {
        let (sender, events) = channel();
        let stop = StopHandle::default();
        let (program, driver) = (program(), place.driver());
        let options = Options { program, driver, heartbeat_limit, stop: stop.clone(), ..Options::default() };
        let dirs = place.dirs.clone();
        let thread = std::thread::spawn(move || {
            run_with(&dirs, &config, &options, &mut |event| {
                let _ = sender.send(event);
            })
        });
        Self { seen: Vec::new(), events, stop, thread }
    }

    pub(crate) fn ready(place: &Place, config: RunConfig) -> Self {
        let mut running = Self::start(place, config);
        running.wait_for(|event| matches!(event, HostEvent::Ready { .. }));
        running
    }

    pub(crate) fn wait_for(&mut self, wanted: impl Fn(&HostEvent) -> bool) {
        loop {
            let event = self.events.recv().unwrap_or_else(|_| panic!("it ended early: {:?}", self.seen));
            let found = wanted(&event);
            self.seen.push(event);
            if found {
                return;
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let published = self.seen.iter().find_map(|event| match event {
            HostEvent::Published { enclave: PORT, host } => Some(*host),
            _ => None,
        });
        TcpStream::connect(("127.0.0.1", published.unwrap())).unwrap()
    }

    /// Says something to the app, and returns what comes back.
    pub(crate) fn ask(&self, request: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut stream = self.connect();
        stream.write_all(request)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    pub(crate) fn outcome(mut self) -> (Result<Ending, HostError>, Vec<HostEvent>) {
        let outcome = self.thread.join().unwrap();
        self.seen.extend(self.events.try_iter());
        (outcome, self.seen)
    }

    pub(crate) fn stop(self) -> (Result<Ending, HostError>, Vec<HostEvent>) {
        self.stop.stop();
        self.outcome()
    }
}
