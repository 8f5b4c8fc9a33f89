//! A docker daemon of a test's own, with BuildKit, in a folder of its own. `tools/docker-engine` unpacks it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running daemon. Dropping it ends it and removes everything it kept.
pub struct Docker {
    daemon: Child,
    folder: TempDir,
    programs: PathBuf,
}

impl Docker {
    /// Starts a daemon that has no network to give and changes none of the machine's. Needs root.
    pub fn start() -> Self {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        assert!(is_root, "a docker daemon can only be started by root: sudo -E make test");
        let programs = unpacked();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let plugins = programs.join("usr/libexec/docker/cli-plugins");
        let client = serde_json::json!({ "cliPluginsExtraDirs": [plugins] });
        std::fs::write(at("config.json"), client.to_string()).expect("a new file");
        std::fs::write(at("daemon.json"), "{}").expect("a new file");
        let mut command = Command::new(programs.join("usr/sbin/dockerd"));
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none"]);
        for (option, name) in [
            ("--config-file", "daemon.json"),
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            command.arg(option).arg(at(name));
        }
        command.arg("--host").arg(socket(folder.path())).env("PATH", path(&programs));
        let mut daemon = command.stderr(Stdio::piped()).spawn().expect("dockerd starts");
        let mut said = BufReader::new(daemon.stderr.take().expect("a pipe was asked for")).lines();
        let mut heard = Vec::new();
        let listens = said.by_ref().map_while(Result::ok).any(|line| {
            heard.push(line);
            heard.last().is_some_and(|line| line.contains("API listen on"))
        });
        assert!(listens, "dockerd ended early:\n{}", heard.join("\n"));
        // A full pipe would stop it.
        std::thread::spawn(move || said.for_each(drop));
        Self { daemon, folder, programs }
    }

    /// Lets a command use this daemon, and none of the machine's.
    pub fn lend(&self, command: &mut Command) {
        command
            .env("PATH", path(&self.programs))
            .env("DOCKER_HOST", socket(self.folder.path()))
            .env("DOCKER_CONFIG", self.folder.path());
    }

    /// Copies an image of buildah's storage, under its name.
    pub fn copy_from_buildah(&self, image: &str) {
        let archive = self.folder.path().join("image.tar");
        let to = format!("docker-archive:{}:{image}", archive.display());
        let pushed = Command::new("buildah").args(["push", "-q", image, &to]).status();
        assert!(pushed.is_ok_and(|s| s.success()), "buildah has {image}: make base-images");
        let mut load = Command::new("docker");
        load.args(["load", "--quiet", "--input"]).arg(&archive);
        self.lend(&mut load);
        assert!(load.status().is_ok_and(|s| s.success()), "docker takes {image}");
        std::fs::remove_file(archive).expect("was written");
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        // It ends its containerd and unmounts what it mounted; killed it would do neither.
        let _ = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _ = self.daemon.wait();
    }
}

/// Where `tools/docker-engine` put the programs.
fn unpacked() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/docker-engine");
    let output = Command::new(script).output().expect("the script starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn socket(folder: &Path) -> String {
    format!("unix://{}", folder.join("socket").display())
}

#[expect(clippy::disallowed_methods, reason = "the machine's programs stay where they are, behind docker's")]
fn path(programs: &Path) -> std::ffi::OsString {
    let first = [programs.join("usr/sbin"), programs.join("usr/bin")];
    let machine = std::env::var_os("PATH").unwrap_or_default();
    let all = first.into_iter().chain(std::env::split_paths(&machine));
    std::env::join_paths(all).expect("no folder of PATH holds a colon")
}
