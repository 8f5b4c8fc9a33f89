//! The main job: build examples/hello, boot it, attest it, verify it from source; then every way it
//! must not verify.

#![expect(clippy::unwrap_used, reason = "helpers of tests stop at what they did not expect, as tests do")]

mod clock;
mod download;
mod e2e;
mod engines;
mod evidence;
mod examples;
mod given;
mod https;
mod image;
mod lies;
mod lifecycle;
mod logs;
mod machines;
mod missing;
mod releases;
mod secret_notes;
mod sources;
mod templates;
mod trials;
mod verify;
mod watch;

use caution_system_tests::command::{Machine, free_port};
use caution_system_tests::http;
use caution_system_tests::repository::Repository;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// examples/hello in a repository, built once for all cases. Cases that change it work on clones.
struct Hello {
    repository: Repository,
    /// The honest image.
    eif: PathBuf,
    /// The honest manifest.
    manifest: PathBuf,
    /// What `caution apps build --json` printed.
    built: serde_json::Value,
}

static HELLO: LazyLock<Hello> = LazyLock::new(|| {
    let repository = Repository::of_example("hello");
    let built = build(&repository);
    Hello {
        eif: repository.stage("output/enclave.eif"),
        manifest: repository.stage("manifest.json"),
        repository,
        built,
    }
});

/// Builds HEAD of a repository.
fn build(repository: &Repository) -> serde_json::Value {
    Machine::new().caution(&repository.root, &["apps", "build", "--json"]).expect(0).json()
}

/// An enclave that runs until its machine is dropped.
struct Running {
    machine: Machine,
    app_port: u16,
    attestation_port: u16,
}

impl Running {
    /// Boots an image with a manifest, as seen from `checkout`, and waits until its app is ready.
    fn start(checkout: &Path, eif: &Path, manifest: &Path, more: &[&str]) -> Self {
        let (machine, app_port, attestation_port) = (Machine::new(), free_port(), free_port());
        let (publish, attestation) = (format!("{app_port}:8080"), attestation_port.to_string());
        let mut args =
            vec!["apps", "run", "--detach", "--json", "--eif", text(eif), "--manifest", text(manifest)];
        args.extend(["--publish", &publish, "--attestation-port", &attestation]);
        args.extend(more);
        machine.caution(checkout, &args).expect(0);
        Self { machine, app_port, attestation_port }
    }

    /// The honest image, seen from its own repository.
    fn honest() -> Self {
        let hello = &*HELLO;
        Self::start(&hello.repository.root, &hello.eif, &hello.manifest, &[])
    }

    /// What the app answers on `/`.
    fn greeting(&self) -> String {
        let (status, body) = http::request(self.app_port, "GET", "/", b"").expect("the app answers");
        assert_eq!(status, 200);
        String::from_utf8_lossy(&body).into_owned()
    }

    /// The address of the enclave's `/attestation`.
    fn attestation_url(&self) -> String {
        format!("http://127.0.0.1:{}/attestation", self.attestation_port)
    }
}

fn shell(dir: &Path, script: &str) -> String {
    let output =
        Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// The check of a `--json` verdict.
fn check<'a>(verdict: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let checks = verdict["checks"].as_array().expect("a list of checks");
    checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no check {name}: {verdict:#}"))
}
