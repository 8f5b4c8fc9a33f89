//! docker, always with BuildKit: through its `buildx` component, or built in before version 23.

use super::stream::{Ended, run};
use super::version::{Parser, at_least};
use super::{BuildRequest, ContainerEngine, EngineError, ImageRef, LineSink};
use crate::containerfile;
use crate::process::command_with_fixed_umask;
use caution_measure::Sha256Digest;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The docker program, and the daemon that answers it.
#[derive(Debug)]
pub(crate) struct Docker {
    program: PathBuf,
    parser: Parser,
    has_buildx: bool,
    /// How long it may take to answer a question.
    limit: Duration,
    /// What base images resolved to in the last build; `None` where that was not said, or not in one voice.
    /// The daemon does not tell afterwards: BuildKit keeps what it pulls to itself.
    bases: RefCell<BTreeMap<String, Option<Sha256Digest>>>,
}

/// Which daemon, and how to reach it. Nothing that changes how it builds (`BUILDX_*`).
const ENVIRONMENT: &[&str] = &[
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "SSH_AUTH_SOCK",
];

const NAME: &str = "docker";
/// The first with BuildKit 0.10, whose own frontend has heredocs and `RUN --network`; also the first that
/// needs buildx for BuildKit. Source: the release notes of docker 23.0 and of the Dockerfile frontend 1.4.
const BUILDKIT_0_10: (u32, u32) = (23, 0);

impl Docker {
    /// The program `docker`, if a daemon answers it and it can talk to BuildKit.
    pub(super) fn open(program: PathBuf, limit: Duration) -> Result<Self, EngineError> {
        let text = |arguments: &[&str]| {
            let mut command = command_with_fixed_umask(&program, ENVIRONMENT);
            super::text_of(command.args(arguments), (NAME, "reach its daemon"), limit)
        };
        let version = text(&["version", "--format", "{{.Server.Version}}"])?;
        let has_buildx = text(&["buildx", "version"]).is_ok();
        if !has_buildx && at_least(&version, BUILDKIT_0_10) {
            return Err(EngineError::NoBuildx { version });
        }
        let parser = Parser {
            engine: NAME,
            version: version.clone(),
            parses_as: version,
            heredocs: (BUILDKIT_0_10, "23.0 (BuildKit 0.10)"),
            run_network: (BUILDKIT_0_10, "23.0 (BuildKit 0.10)"),
        };
        Ok(Self { program, parser, has_buildx, limit, bases: RefCell::default() })
    }

    fn command(&self) -> Command {
        command_with_fixed_umask(&self.program, ENVIRONMENT)
    }

    fn failed(source: std::io::Error) -> EngineError {
        EngineError::Process { engine: NAME, source }
    }
}

impl ContainerEngine for Docker {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> &str {
        &self.parser.version
    }

    fn has(&self, image: &str) -> Result<bool, EngineError> {
        let mut command = self.command();
        command.args(["image", "inspect", "--format", "{{.Id}}", "--", image]);
        match super::text_of(&mut command, (NAME, "look up a base image"), self.limit) {
            Ok(_) => Ok(true),
            Err(EngineError::Failed { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    fn build(&self, request: &BuildRequest<'_>, sink: &mut LineSink<'_>) -> Result<ImageRef, EngineError> {
        let parsed = containerfile::parse(request.text);
        // A frontend of its own comes as an image and has its own version.
        if parsed.frontend.is_none() {
            self.parser.check_heredoc(&parsed, request.containerfile)?;
            self.parser.check_run_network(&parsed, request.containerfile)?;
        }
        let id_file = request.scratch.join("image-id");
        let mut command = self.command();
        if self.has_buildx {
            // `--load`: also where the builder is not the daemon's own. Provenance would be about this machine.
            command.args(["buildx", "build", "--load", "--provenance=false"]);
        } else {
            command.env("DOCKER_BUILDKIT", "1").arg("build");
        }
        command.args(["--progress", "plain"]);
        // What a step gave with a network is no answer to what it gives without.
        if request.no_cache || request.no_network {
            command.arg("--no-cache");
        }
        if request.no_network {
            command.args(["--network", "none"]);
        }
        command.arg("--iidfile").arg(&id_file).args(["-f", request.containerfile, "."]);
        command.current_dir(request.context);
        let mut bases = BTreeMap::new();
        let ended = run(command, &mut |line| {
            note_base(&mut bases, line);
            sink(line);
        });
        let Ended { status, step, last } = ended.map_err(Self::failed)?;
        if !status.success() {
            return Err(EngineError::Build { step, last });
        }
        self.bases.replace(bases);
        ImageRef::parse(&std::fs::read_to_string(&id_file).map_err(Self::failed)?, NAME)
    }

    fn export(&self, image: &ImageRef, into: &Path, sink: &mut LineSink<'_>) -> Result<(), EngineError> {
        let mut command = self.command();
        command.args(["save", "--output"]).arg(into).arg(image.as_str());
        let ended = run(command, sink).map_err(Self::failed)?;
        if ended.status.success() {
            Ok(())
        } else {
            Err(EngineError::Failed { engine: NAME, action: "export the image", last: ended.last })
        }
    }

    fn resolved_digest(&self, name: &str) -> Result<Option<Sha256Digest>, EngineError> {
        Ok(self.bases.borrow().get(&full_name(name)).copied().flatten())
    }
}

/// Keeps what a line says about a base image. BuildKit itself says it of each; a step that prints such a line
/// can contradict it, with a carriage return before the words for example, but not replace it.
fn note_base(bases: &mut BTreeMap<String, Option<Sha256Digest>>, line: &str) {
    let Some((name, digest)) = base(line) else { return };
    let known = bases.entry(name.to_owned()).or_insert(digest);
    if *known != digest {
        *known = None;
    }
}

/// Name and digest in `#4 [build 1/3] FROM docker.io/library/rust:1@sha256:…`, as BuildKit prints them, and in
/// `#5 FROM …` for what `COPY --from` names. What a step prints has a time behind the number.
fn base(line: &str) -> Option<(&str, Option<Sha256Digest>)> {
    let numbered = line.strip_prefix('#')?.trim_start_matches(|c: char| c.is_ascii_digit());
    let step = numbered.strip_prefix(' ')?;
    let step = if step.starts_with('[') { step.split_once("] ")?.1 } else { step };
    let reference = step.strip_prefix("FROM ")?.split_ascii_whitespace().next()?;
    let (name, digest) = reference.split_once("@sha256:").unwrap_or((reference, ""));
    Some((name, digest.parse().ok()))
}

/// A name with registry and tag, as BuildKit writes it.
fn full_name(name: &str) -> String {
    let tagged = if name.rsplit('/').next().is_some_and(|last| last.contains(':')) { "" } else { ":latest" };
    let registry = match name.split_once('/') {
        None => "docker.io/library/",
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => "",
        Some(_) => "docker.io/",
    };
    format!("{registry}{name}{tagged}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_base_images_resolved_to_is_read_from_the_output() {
        let digest = "ab".repeat(32);
        let rust = "docker.io/library/rust:1";
        let is = digest.parse().ok();
        for head in ["#4 [build 1/3] ", "#4 [ 1/13] ", "#15 "] {
            assert_eq!(base(&format!("{head}FROM {rust}@sha256:{digest}")), Some((rust, is)), "{head}");
        }
        assert_eq!(base("#4 [1/3] FROM localhost/x:1"), Some(("localhost/x:1", None)));
        for head in ["#7 0.1 [x] ", "#7 0.1 ", "#7 [2/3] RUN echo [x] ", "#7 [2/3] RUN echo ", ""] {
            assert_eq!(base(&format!("{head}FROM {rust}@sha256:{digest}")), None, "{head}");
        }
        for (written, full) in [
            ("rust:1", "docker.io/library/rust:1"),
            ("stagex/pallet-rust", "docker.io/stagex/pallet-rust:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("registry.example:5000/x", "registry.example:5000/x:latest"),
            ("quay.example/a/b:2", "quay.example/a/b:2"),
        ] {
            assert_eq!(full_name(written), full);
        }
    }

    #[test]
    fn what_a_step_prints_cannot_name_another_base_image() {
        let said = |digest: &str| format!("#4 [1/3] FROM docker.io/library/rust:1{digest}");
        let (one, other) = (format!("@sha256:{}", "ab".repeat(32)), format!("@sha256:{}", "cd".repeat(32)));
        for (lines, known) in [
            ([&one, &one], true),
            ([&one, &other], false),
            ([&other, &one], false),
            ([&String::new(), &other], false),
        ] {
            let mut bases = BTreeMap::new();
            for digest in lines {
                note_base(&mut bases, &said(digest));
            }
            assert_eq!(bases["docker.io/library/rust:1"].is_some(), known, "{lines:?}");
        }
    }
}
