//! Engines other than the one everything else here is built with.

use super::HELLO;
use caution_system_tests::command::{Machine, Ran, finish};
use caution_system_tests::docker::Docker;
use std::fs;

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
#[ignore = "needs a docker daemon, and root to start it: make test-long"]
fn the_documented_heredoc_builds_under_buildkit() {
    let hello = &*HELLO;
    let docker = Docker::start();
    for image in ["pallet-rust", "core-filesystem"] {
        docker.copy_from_buildah(&format!("localhost/caution/{image}:bookworm"));
    }
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
