//! A user with a machine, a platform on it, and a checkout.

use caution_system_tests::command::{Machine, Ran, finish, free_port};
use caution_system_tests::repository::Repository;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Ends the platform and all that runs when it is dropped.
pub(crate) struct Place {
    machine: Machine,
    pub(crate) checkout: Repository,
    pub(crate) https_port: u16,
    settings: Vec<(String, String)>,
}

impl Place {
    /// A machine that never ran anything. `settings` are those of cautiond, `CAUTIOND_…`, beside its addresses.
    pub(crate) fn new(https_port: u16, settings: &[(&str, &str)]) -> Self {
        let mut all: Vec<_> =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for listener in ["CAUTIOND_HTTP_LISTEN", "CAUTIOND_GIT_LISTEN"] {
            all.push((listener.to_owned(), format!("127.0.0.1:{}", free_port())));
        }
        Self {
            machine: Machine::with_https(https_port),
            checkout: Repository::of_example("hello"),
            https_port,
            settings: all,
        }
    }

    /// Runs `caution` in the checkout.
    pub(crate) fn caution(&self, args: &[&str]) -> Ran {
        finish(&self.command(args).output().expect("caution starts"))
    }

    /// The same, with a line on its standard input.
    pub(crate) fn caution_told(&self, args: &[&str], line: &str) -> Ran {
        let mut command = self.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("caution starts");
        let mut input = child.stdin.take().expect("a piped input");
        input.write_all(line.as_bytes()).expect("caution reads");
        drop(input);
        finish(&child.wait_with_output().expect("caution ends"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.machine.command(&self.checkout.root, args);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `git push`, as the checkout was told to by `caution init`.
    pub(crate) fn push(&self, args: &[&str]) -> Ran {
        let mut command = self.machine.program(Path::new("git"), &self.checkout.root, ["push"]);
        finish(&command.args(args).output().expect("git starts"))
    }

    /// An address of the app by the way that its users take, and what it says; nothing where nobody serves.
    pub(crate) fn greeting(&self) -> Option<String> {
        let mut command = self.curl();
        let ran = finish(&command.arg("--fail").arg(self.url()).output().expect("curl starts"));
        (ran.code == 0).then_some(ran.stdout)
    }

    /// The same, once it serves: what is away says when to come back, and clients do.
    pub(crate) fn greeting_soon(&self) -> String {
        let mut command = self.curl();
        command.args(["--fail", "--retry", "60", "--retry-connrefused", "--retry-all-errors"]);
        finish(&command.arg(self.url()).output().expect("curl starts")).expect(0).stdout
    }

    pub(crate) fn url(&self) -> String {
        format!("https://hello.localhost:{}/", self.https_port)
    }

    /// curl that trusts this machine's authority and finds the app here.
    pub(crate) fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        let here = format!("hello.localhost:{}:127.0.0.1", self.https_port);
        command.args(["-sS", "--max-time", "60", "--resolve", &here, "--cacert"]).arg(self.root());
        command
    }

    fn root(&self) -> PathBuf {
        self.machine.state().join("ingress/certificates/pki/authorities/local/root.crt")
    }

    /// Waits until nothing of this machine runs.
    pub(crate) fn await_nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left behind: {left:#?}");
            pause();
        }
    }

    /// Every process that works in this machine's folders.
    fn processes(&self) -> Vec<String> {
        let state = self.machine.state().display().to_string();
        let runtime = self.machine.runtime().display().to_string();
        std::fs::read_dir("/proc")
            .expect("a process table")
            .flatten()
            .filter_map(|entry| {
                let line = std::fs::read(entry.path().join("cmdline")).ok()?;
                let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
                let environment = String::from_utf8_lossy(&environment);
                let ours = |text: &str| text.contains(&state) || text.contains(&runtime);
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                (ours(&line) || ours(&environment)).then_some(line)
            })
            .filter(|line| !line.is_empty())
            .collect()
    }
}

/// Between two looks at the process table: nothing announces that the last process is gone.
#[expect(clippy::disallowed_methods, reason = "polling; there is no event to await")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

impl Drop for Place {
    fn drop(&mut self) {
        self.caution(&["down"]);
    }
}
