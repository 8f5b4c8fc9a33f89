//! Runs `caution` as a user would, with state folders of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// One user's state: development root, running enclaves, logs. Two machines share nothing but the
/// cache of tools and releases. Enclaves still running are stopped when it is dropped.
pub struct Machine {
    folder: TempDir,
}

/// What a command left behind.
pub struct Ran {
    /// Exit code; a signal counts as -1.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("no JSON ({e}):\n{}\n{}", self.stdout, self.stderr))
    }

    /// Insists on an exit code; shows everything otherwise.
    #[track_caller]
    #[expect(clippy::return_self_not_must_use, reason = "often the exit code is all that matters")]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Machine {
    /// A machine that never ran anything.
    #[expect(clippy::new_without_default, reason = "making one has effects")]
    pub fn new() -> Self {
        // Directly under /tmp: Unix socket paths end at 108 bytes.
        let folder =
            tempfile::Builder::new().prefix("caution-").tempdir_in("/tmp").expect("a temporary folder");
        let machine = Self { folder };
        // Machines of tests run beside each other, and there is one port 8443.
        machine.configure("[ingress]\nenabled = false\n");
        machine
    }

    /// A machine whose apps are reached by HTTPS on this port; HTTP on the next.
    pub fn with_https(port: u16) -> Self {
        let machine = Self::new();
        machine.configure(&format!("[ingress]\nhttps_port = {port}\nhttp_port = {}\n", port + 1));
        machine
    }

    /// Writes the settings of its host agent.
    fn configure(&self, text: &str) {
        std::fs::create_dir_all(self.state()).expect("a state folder");
        std::fs::write(self.state().join("host.toml"), text).expect("a settings file");
    }

    /// Where this machine keeps sockets of running enclaves.
    pub fn runtime(&self) -> PathBuf {
        self.folder.path().join("run/caution")
    }

    /// Where this machine keeps its development root and logs.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state/caution")
    }

    /// Where this machine keeps its user's settings.
    pub fn settings(&self) -> PathBuf {
        self.folder.path().join("config/caution")
    }

    /// The command, ready to be started in `dir`.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, dir: &Path, args: I) -> Command {
        self.program(&caution_bin(), dir, args)
    }

    /// Another program of ours, which finds the same folders.
    pub fn program<I, S>(&self, program: &Path, dir: &Path, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        std::fs::create_dir_all(self.folder.path().join("run")).expect("a runtime folder");
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(dir)
            .env("XDG_CONFIG_HOME", self.folder.path().join("config"))
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("XDG_RUNTIME_DIR", self.folder.path().join("run"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs `caution` with `args` in `dir` to its end.
    pub fn caution(&self, dir: &Path, args: &[&str]) -> Ran {
        finish(&self.command(dir, args).output().expect("caution starts"))
    }

    /// Stops every enclave of this machine, and what would be started again.
    pub fn stop_all(&self) {
        let list = self.caution(self.folder.path(), &["apps", "ps", "--all", "--json"]);
        let Ok(json) = serde_json::from_str::<serde_json::Value>(&list.stdout) else { return };
        let enclaves = json["enclaves"].as_array().into_iter().flatten().map(|enclave| &enclave["id"]);
        let apps = json["apps"].as_array().into_iter().flatten().filter(|app| app["state"] != "ended");
        for which in enclaves.chain(apps.map(|app| &app["name"])).filter_map(|name| name.as_str()) {
            self.caution(self.folder.path(), &["apps", "stop", which]);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop_all();
    }
}

/// The outcome of a finished process.
pub fn finish(output: &Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The program under test.
#[expect(clippy::disallowed_methods, reason = "the test runner says which binary is tested")]
pub fn caution_bin() -> PathBuf {
    let path = std::env::var_os("CAUTION_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/caution"),
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} is missing. Run `make build`, or the whole with `make test`.",
        path.display()
    );
    path
}

/// A port of loopback nobody listens on now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}
