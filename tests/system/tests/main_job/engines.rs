//! Engines other than the one everything else here is built with.

use super::{HELLO, build, shell, text};
use caution_system_tests::command::{Machine, Ran, finish};
use caution_system_tests::docker::Docker;
use caution_system_tests::repository::Repository;
use std::fs;
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex, Weak};

/// The shape of `product/containerizing-your-application`: a heredoc, without network.
const DOCUMENTED: &str = r#"FROM localhost/caution/pallet-rust:bookworm AS build
ENV SOURCE_DATE_EPOCH=1
ENV RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/app=. --remap-path-prefix=/root/.cargo=cargo"
WORKDIR /app
COPY . .
RUN --network=none <<-EOF
	set -e
	ARCH="$(uname -m)"
	cargo build \
		--frozen \
		--release \
		--target "${ARCH}-unknown-linux-gnu" \
		--bin hello
	cp "target/${ARCH}-unknown-linux-gnu/release/hello" /hello
EOF

FROM localhost/caution/core-filesystem:bookworm AS run
COPY --from=build /hello /app/hello
USER 1000:1000
EXPOSE 8080
ENTRYPOINT ["/app/hello"]
"#;

/// The same bytes as the shape that older engines understand gives, built by another engine.
#[test]
fn the_documented_heredoc_builds_under_buildkit() {
    let (hello, docker) = (&*HELLO, docker());
    let repository = hello.repository.clone_of();
    let build = |text: &str| -> Ran {
        fs::write(repository.root.join("Containerfile"), text).unwrap();
        repository.commit("another Containerfile");
        let machine = Machine::new();
        let mut command = machine.command(&repository.root, ["apps", "build", "--json", "--verbose"]);
        docker.lend(&mut command);
        finish(&command.output().expect("caution starts"))
    };
    let ran = build(DOCUMENTED).expect(0);
    assert_eq!(ran.json()["sha256"], hello.built["sha256"], "{}", ran.stderr);
    let log = fs::read_to_string(repository.stage("build.log")).unwrap();
    assert!(log.starts_with("docker 26.") && log.contains("RUN --network=none <<-EOF"), "{log}");

    let failing = DOCUMENTED.replace("\tset -e\n", "\tset -e\n\techo the compiler says no\n\texit 3\n");
    let ran = build(&failing).expect(1);
    let message = ran.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("failed at `[build 4/4] RUN --network=none <<-EOF"), "{message}");
    assert!(message.contains("the compiler says no"), "{message}");
}

/// podman builds and exports, found before buildah.
#[test]
fn podman_builds_the_same_image() {
    let hello = &*HELLO;
    let clone = hello.repository.clone_of();
    let told =
        Machine::new().caution(&clone.root, &["apps", "build", "--json", "--engine", "podman"]).expect(0);
    assert_eq!(told.json()["sha256"], hello.built["sha256"]);
    let log = fs::read_to_string(clone.stage("build.log")).unwrap();
    assert!(log.starts_with("podman "), "{log}");
}

/// A step that looks for a network finds one, unless nobody may have any.
#[test]
fn no_step_has_a_network_where_none_is_allowed() {
    let clone = HELLO.repository.clone_of();
    // Two lines of titles, and the loopback interface.
    clone.edit("Containerfile", "RUN --network=none ", "RUN test \"$(wc -l </proc/net/dev)\" = 3 && ");
    let run = |more: &[&str], code: i32| {
        let arguments = [&["apps", "build", "--json"], more].concat();
        Machine::new().caution(&clone.root, &arguments).expect(code).json()
    };
    run(&["--engine", "buildah"], 1);
    for engine in ["buildah", "podman"] {
        let built = run(&["--engine", engine, "--no-network"], 0);
        assert_eq!(built["networked_steps"], 0);
    }
}

#[test]
fn buildah_alone_makes_the_same_image_of_an_odd_application() {
    assert_eq!(alone("buildah", &ODD.repository.clone_of()), ODD.sha256);
}

#[test]
fn podman_alone_makes_the_same_image_of_an_odd_application() {
    assert_eq!(alone("podman", &ODD.repository.clone_of()), ODD.sha256);
}

#[test]
fn docker_alone_makes_the_same_image_of_an_odd_application() {
    let (docker, clone) = (docker(), ODD.repository.clone_of());
    let assembler = assembler(&clone);
    let run = |command: &mut Command| {
        docker.lend(command.current_dir(&clone.root));
        finish(&command.output().unwrap()).expect(0);
    };
    run(Command::new("docker").args(["load", "--quiet", "--input", assembler["archive"].as_str().unwrap()]));
    // What no registry has is named by its tag here; the daemon has no network that a step could be given.
    let pinned = fs::read_to_string(clone.root.join("Containerfile.eif")).unwrap();
    let mut build = Command::new("docker");
    build.args(["buildx", "build", "--network", "none", "--file", "Containerfile.eif", "--output", "../out"]);
    for image in pinned.split_ascii_whitespace().filter(|word| word.starts_with("localhost/caution/")) {
        let Some((name, _)) = image.split_once("@sha256:") else { continue };
        let tagged = assembler["tagged"].as_str().filter(|_| name == "localhost/caution/enclaveos");
        let tagged = tagged.map_or_else(|| format!("{name}:bookworm"), str::to_owned);
        build.arg("--build-context").arg(format!("{image}=docker-image://{tagged}"));
    }
    run(build.arg("."));
    let sum = shell(&clone.root, "sha256sum ../out/enclave.eif");
    assert_eq!(sum.split(' ').next(), Some(&*ODD.sha256));
}

/// What buildah or podman makes of `Containerfile.eif` without us: the SHA-256 of its image. The flag that both do
/// not know before buildah 1.29 goes for the whole build instead, as `specs/build.md` says.
pub(super) fn alone(engine: &str, repository: &Repository) -> String {
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("Containerfile.eif");
    let pinned = fs::read_to_string(repository.root.join("Containerfile.eif")).unwrap();
    fs::write(&file, pinned.replace("RUN --network=none ", "RUN ")).unwrap();
    let archive = assembler(repository)["archive"].as_str().unwrap().to_owned();
    shell(&repository.root, &format!("{engine} pull -q oci-archive:{archive}"));
    shell(
        &repository.root,
        &format!(
            "unshare --net {engine} build -q --isolation chroot -f {} --output {} .",
            text(&file),
            text(&out.path().join("out"))
        ),
    );
    let sum = shell(out.path(), "sha256sum out/enclave.eif");
    sum.split(' ').next().unwrap().to_owned()
}

/// The assembler image of the release in use.
fn assembler(repository: &Repository) -> serde_json::Value {
    let shown = Machine::new().caution(&repository.root, &["enclaveos", "show", "--json"]).expect(0).json();
    assert!(shown["assembler"].is_object(), "has an assembler: {shown:#}");
    shown["assembler"].clone()
}

/// Hard links, set-user-id, owners, odd modes, a device and engines' placeholders: what a copy would lose.
struct Odd {
    /// With its `Containerfile.eif`.
    repository: Repository,
    sha256: String,
}

static ODD: LazyLock<Odd> = LazyLock::new(|| {
    let repository = HELLO.repository.clone_of();
    let last = "USER 1000:1000";
    shell(
        &repository.root,
        "mkdir -p odd/etc odd/a odd/tmp && echo one > odd/a/one && ln odd/a/one odd/two && ln odd/a/one odd/a-b && chmod 4711 odd/two \
         && chown 1000:7 odd/a && chmod 2700 odd/a && chmod 1777 odd/tmp && mkfifo odd/fifo && mknod odd/null c 1 3 \
         && : > odd/etc/hosts && echo kept > odd/etc/resolv.conf && : > odd/$'\\xe9' && ln -s /nowhere odd/link \
         && tar -C odd -cf odd.tar . && rm -r odd",
    );
    repository.edit("Containerfile", last, &format!("ADD odd.tar /\n{last}"));
    Machine::new().caution(&repository.root, &["apps", "pin", "--engine", "buildah"]).expect(0);
    repository.commit("pin");
    let sha256 = build(&repository)["sha256"].as_str().unwrap().to_owned();
    Odd { repository, sha256 }
});

/// A docker daemon with the base images, one for all cases that run at a time.
fn docker() -> Arc<Docker> {
    static RUNNING: Mutex<Weak<Docker>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    running.upgrade().unwrap_or_else(|| {
        let docker = Docker::start();
        for image in ["pallet-rust", "core-filesystem"] {
            docker.copy_from_buildah(&format!("localhost/caution/{image}:bookworm"));
        }
        let docker = Arc::new(docker);
        *running = Arc::downgrade(&docker);
        docker
    })
}
