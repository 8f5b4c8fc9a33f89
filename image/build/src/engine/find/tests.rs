//! Engines as shell scripts that answer what the real ones were recorded to answer.

use super::*;
use crate::engine::{BuildRequest, PATIENCE};
use crate::trial::Surroundings;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// docker 26.1 with buildx 0.13; `docker save` makes a file with the words it was called with.
const DOCKER: &str = r##"case "$*" in
"version --format {{.Server.Version}}") echo 26.1.5+dfsg1 ;;
"buildx version") echo "github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3" ;;
"image inspect --format {{.Id}} -- localhost/here:1") echo sha256:d649bc10de2839218d1b549e65cf854484c3f9bdd4b26606d2fabfdb6b35e6a8 ;;
"image inspect "*) echo "Error response from daemon: No such image: ${6}" >&2; exit 1 ;;
"buildx build --load --provenance=false --progress plain "*)
    echo "#4 [1/2] FROM docker.io/library/debian:12@sha256:abababababababababababababababababababababababababababababababab" >&2
    while [ "$1" != --iidfile ]; do shift; done
    printf sha256:217ccc1fec927bc4d2e5af01eb54a65cbfaa083ff3860a5ff27bbd5af58eed13 >"$2" ;;
save*) echo "$*" >"$3" ;;
*) echo "unknown: $*" >&2; exit 2 ;;
esac"##;
/// A docker command on a machine without a daemon.
const NO_DAEMON: &str = r#"echo "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?" >&2; exit 1"#;
/// podman 4.3 of Debian 12.
const PODMAN: &str = r#"case "$1" in
info) echo "4.3.1 1.28.2" ;;
*) echo "Error: inspecting object: image not known" >&2; exit 125 ;;
esac"#;
/// buildah 1.28 of Debian 12.
const BUILDAH: &str = r#"case "$*" in
--version) echo "buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)" ;;
*localhost/here:1) echo sha256:39056c685fc4edd66fb4e19a1cb197909a83af56a343f7b802fb3425a443b6ac ;;
*) echo "image not known" >&2; exit 125 ;;
esac"#;

struct Machine(tempfile::TempDir);

impl Machine {
    fn with(programs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, script) in programs {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("writes");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("is ours");
        }
        Self(folder)
    }

    fn find(&self, choice: Option<EngineName>, local: &[&str]) -> Result<Found, EngineError> {
        self.find_within(PATIENCE, choice, local)
    }

    fn find_within(
        &self,
        limit: Duration,
        choice: Option<EngineName>,
        local: &[&str],
    ) -> Result<Found, EngineError> {
        find(choice, local, limit, |name| Some(self.0.path().join(name)).filter(|path| path.exists()))
    }

    fn name(&self, local: &[&str]) -> (&'static str, Vec<String>) {
        let found = self.find(None, local).expect("finds one");
        (found.engine.name(), found.passed_over)
    }
}

#[test]
fn the_first_engine_that_works_is_taken_and_the_others_are_explained() {
    let all = Machine::with(&[("docker", DOCKER), ("podman", PODMAN), ("buildah", BUILDAH)]);
    assert_eq!(all.name(&[]), ("docker", vec![]));
    let chosen = all.find(Some(EngineName::Buildah), &[]).expect("is there");
    assert_eq!((chosen.engine.name(), chosen.engine.version()), ("buildah", "1.28.2"));
    let podman = Machine::with(&[("podman", PODMAN), ("buildah", BUILDAH)]);
    assert_eq!(podman.name(&[]), ("podman", vec![]));

    let no_daemon = Machine::with(&[("docker", NO_DAEMON), ("buildah", BUILDAH)]);
    let (name, passed_over) = no_daemon.name(&[]);
    assert_eq!((name, passed_over.len()), ("buildah", 1));
    assert!(
        passed_over[0].starts_with("docker could not reach its daemon. Cannot connect to the Docker daemon"),
        "{passed_over:?}"
    );
    let error = no_daemon.find(Some(EngineName::Docker), &[]).err().expect("was asked for and does not work");
    assert!(error.to_string().contains("Is the docker daemon running?"), "{error}");
}

/// A daemon that takes calls and never answers: a Unix socket whose other end nobody reads.
#[test]
fn an_engine_that_never_answers_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let _silent = std::os::unix::net::UnixListener::bind(&path).expect("binds");
    let waits = format!(
        "exec python3 -c \"import socket; s = socket.socket(socket.AF_UNIX); s.connect('{}'); s.recv(1)\"",
        path.display()
    );
    let machine = Machine::with(&[("docker", &waits), ("podman", &waits), ("buildah", BUILDAH)]);
    let found = machine.find_within(Duration::from_secs(2), None, &[]).expect("buildah works");
    assert_eq!(found.engine.name(), "buildah");
    let reasons = ["docker could not reach its daemon", "podman could not say its versions"]
        .map(|reason| format!("{reason}: no answer within 2 seconds"));
    assert_eq!(found.passed_over, reasons);
    let error = machine.find_within(Duration::from_secs(2), Some(EngineName::Docker), &[]).err();
    assert!(error.and_then(|error| error.fix()).is_some_and(|fix| fix.contains("docker info")));
}

#[test]
fn an_engine_without_the_images_of_this_machine_is_passed_over() {
    let all = Machine::with(&[("docker", DOCKER), ("podman", PODMAN), ("buildah", BUILDAH)]);
    assert_eq!(all.name(&["localhost/here:1"]).0, "docker");
    let docker = DOCKER.replace("localhost/here:1", "localhost/elsewhere:1");
    let some = Machine::with(&[("docker", &docker), ("podman", PODMAN), ("buildah", BUILDAH)]);
    let reasons = ["docker does not have localhost/here:1", "podman does not have localhost/here:1"];
    assert_eq!(some.name(&["localhost/here:1"]), ("buildah", reasons.map(str::to_owned).to_vec()));
    // Nobody has it: the first says so in its own words.
    let (name, passed_over) = some.name(&["localhost/gone:1"]);
    assert_eq!((name, passed_over.len()), ("docker", 2));
}

#[test]
fn no_engine_and_engines_that_do_not_work_are_named() {
    let error = Machine::with(&[]).find(None, &[]).err().expect("has none");
    assert_eq!(error.to_string(), "No container engine works here (looked for: docker, podman, buildah).");
    assert!(error.fix().is_some_and(|fix| fix.contains("apt-get install buildah")));
    let error = Machine::with(&[("docker", NO_DAEMON)]).find(None, &[]).err().expect("none works");
    assert!(error.to_string().contains("Is the docker daemon running?"), "{error}");
    let error = Machine::with(&[]).find(Some(EngineName::Podman), &[]).err().expect("has none");
    assert_eq!(error.to_string(), "podman is not installed.");

    let no_buildx = DOCKER.replace("\"buildx version\")", "\"no buildx\")");
    let error = Machine::with(&[("docker", &no_buildx)]).find(Some(EngineName::Docker), &[]).err();
    assert!(matches!(error, Some(EngineError::NoBuildx { .. })), "{error:?}");
    assert_eq!("nerdctl".parse::<EngineName>(), Err(UnknownEngine));
}

fn build(found: &Found, folder: &Path, text: &str) -> Result<String, EngineError> {
    let request = BuildRequest {
        context: folder,
        containerfile: "Containerfile",
        text,
        no_cache: false,
        no_network: false,
        surroundings: &Surroundings::default(),
        scratch: folder,
    };
    found.engine.build(&request, &mut |_| {}).map(|image| image.as_str().to_owned())
}

#[test]
fn what_is_too_new_for_an_engine_is_named_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let heredoc = "FROM scratch\nRUN --network=none <<-EOF\n\ttrue\nEOF\n";
    let old =
        DOCKER.replace("26.1.5+dfsg1", "20.10.24+dfsg1").replace("\"buildx version\")", "\"no buildx\")");
    let machine = Machine::with(&[("docker", &old), ("podman", PODMAN)]);
    for (name, expected) in [
        (EngineName::Docker, "docker 23.0 (BuildKit 0.10) or newer, and this is docker 20.10.24+dfsg1."),
        (EngineName::Podman, "podman 4.8 (buildah 1.33) or newer, and this is podman 4.3.1."),
    ] {
        let found = machine.find(Some(name), &[]).expect("works");
        let error = build(&found, folder.path(), heredoc).expect_err("is too old");
        assert_eq!(error.to_string(), format!("Containerfile:2: a heredoc needs {expected}"));
        assert!(error.fix().is_some_and(|fix| fix.contains("--engine")));
    }
    // A frontend from outside has its own version, so the old docker goes as far as building.
    let found = machine.find(Some(EngineName::Docker), &[]).expect("works");
    let syntax = format!("# syntax=docker/dockerfile:1\n{heredoc}");
    let error = build(&found, folder.path(), &syntax).expect_err("is no real docker");
    assert!(
        matches!(&error, EngineError::Build { last, .. } if last[0].starts_with("unknown: build --progress"))
    );
}

#[test]
fn docker_builds_with_buildkit_and_tells_what_base_images_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = Machine::with(&[("docker", DOCKER)]);
    let found = found.find(None, &[]).map(|engine| (engine, found)).expect("works");
    let (engine, _machine) = (&found.0, &found.1);
    let id = build(engine, folder.path(), "FROM debian:12\nRUN --network=none <<EOF\ntrue\nEOF\n")
        .expect("builds");
    assert_eq!(id, "sha256:217ccc1fec927bc4d2e5af01eb54a65cbfaa083ff3860a5ff27bbd5af58eed13");
    let digest = engine.engine.resolved_digest("debian:12").expect("answers").expect("was resolved");
    assert_eq!(digest.to_string(), "ab".repeat(32));
    assert_eq!(engine.engine.resolved_digest("debian:11").expect("answers"), None);
}

/// With digests put in it may be longer than the longest that is read from a commit.
#[test]
fn a_long_containerfile_reaches_an_engine_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("FROM scratch\n{}RUN --network=none true\n", "# a comment\n".repeat(100_000));
    let machine = Machine::with(&[("buildah", BUILDAH)]);
    let found = machine.find(None, &[]).expect("works");
    build(&found, folder.path(), &text).expect_err("is no real buildah");
    let copy = fs::read_to_string(folder.path().join("Containerfile")).expect("was written");
    assert!(copy == text.replace("--network=none", ""), "{} bytes of {}", copy.len(), text.len());
}
