//! buildah, and podman, which builds with buildah's code: no daemon, they work as root in a container and
//! unprivileged elsewhere, and keep their images in one storage.

use super::stream::{Ended, run};
use super::version::Parser;
use super::{BuildRequest, ContainerEngine, EngineError, ImageRef, LineSink, offline};
use crate::containerfile::{self, Containerfile};
use crate::process::command_with_fixed_umask;
use caution_appspec::excerpt;
use caution_measure::Sha256Digest;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The program, and what it can do.
#[derive(Debug, Clone)]
pub(crate) struct Buildah {
    program: PathBuf,
    parser: Parser,
    /// How long it may take to answer a question.
    limit: Duration,
}

/// What buildah may see of the caller's environment besides the common variables and proxies: where its
/// storage and credentials are. Nothing that changes how it builds
/// (`BUILDAH_FORMAT`, `BUILDAH_LAYERS`, …).
const ENVIRONMENT: &[&str] = &[
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "REGISTRY_AUTH_FILE",
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// The first versions that parse these, and the podman that holds them. Source: the CHANGELOGs of both.
const HEREDOCS: (u32, u32) = (1, 33);
const RUN_NETWORK: (u32, u32) = (1, 29);

impl Buildah {
    /// The program `buildah`.
    pub(super) fn open(program: PathBuf, limit: Duration) -> Result<Self, EngineError> {
        let (name, action) = ("buildah", "say its version");
        let text = text_of(&program, &["--version"], (name, action), limit)?;
        let version = version(&text).ok_or(EngineError::Answer { engine: name, action })?.to_owned();
        let parser = Parser {
            engine: name,
            version: version.clone(),
            parses_as: version,
            heredocs: (HEREDOCS, "1.33"),
            run_network: (RUN_NETWORK, "1.29"),
        };
        Ok(Self { program, parser, limit })
    }

    /// The program `podman`, with the buildah inside it.
    pub(super) fn open_podman(program: PathBuf, limit: Duration) -> Result<Self, EngineError> {
        let (name, action) = ("podman", "say its versions");
        // Asks whatever podman it stands for, which may be on another machine and not answer.
        let arguments = ["info", "--format", "{{.Version.Version}} {{.Host.BuildahVersion}}"];
        let text = text_of(&program, &arguments, (name, action), limit)?;
        let versions = text.lines().last().and_then(|line| line.split_once(' '));
        let (own, version) = versions.ok_or(EngineError::Answer { engine: name, action })?;
        let parser = Parser {
            engine: name,
            version: own.to_owned(),
            parses_as: version.to_owned(),
            heredocs: (HEREDOCS, "4.8 (buildah 1.33)"),
            run_network: (RUN_NETWORK, "4.4 (buildah 1.29)"),
        };
        Ok(Self { program, parser, limit })
    }

    /// Refuses what this version cannot parse, before it fails in other words.
    fn check(&self, parsed: &Containerfile, file: &str) -> Result<(), EngineError> {
        self.parser.check_heredoc(parsed, file)?;
        if offline::applies(parsed) { Ok(()) } else { self.parser.check_run_network(parsed, file) }
    }

    fn is_podman(&self) -> bool {
        self.parser.engine == "podman"
    }

    /// Fetches the base images that are not here: the build itself will have no network.
    fn pull(
        &self,
        parsed: &Containerfile,
        refresh: bool,
        sink: &mut LineSink<'_>,
    ) -> Result<(), EngineError> {
        for name in parsed.images.iter().filter_map(|image| image.reference.as_deref()) {
            let here = self.resolved_digest(name)?.is_some();
            if name.starts_with('-') || (here && (!refresh || name.starts_with("localhost/"))) {
                continue;
            }
            let mut command = self.command();
            command.args(["pull", "--quiet", "--", name]);
            let ended = run(command, sink).map_err(|e| self.failed(e))?;
            if !ended.status.success() {
                let step = Some(format!("FROM {}", excerpt(name, 200)));
                return Err(EngineError::Build { step, last: ended.last });
            }
        }
        Ok(())
    }

    fn command(&self) -> Command {
        command_with_fixed_umask(&self.program, ENVIRONMENT)
    }

    fn failed(&self, source: std::io::Error) -> EngineError {
        EngineError::Process { engine: self.parser.engine, source }
    }
}

/// A value of `--file`, which takes a list and reads it as a line of CSV (pflag, `StringSlice`).
fn in_list(path: &str) -> String {
    if path.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", path.replace('"', "\"\""))
    } else {
        path.to_owned()
    }
}

impl ContainerEngine for Buildah {
    fn name(&self) -> &'static str {
        self.parser.engine
    }

    fn version(&self) -> &str {
        &self.parser.version
    }

    fn has(&self, image: &str) -> Result<bool, EngineError> {
        Ok(self.resolved_digest(image)?.is_some())
    }

    fn build(&self, request: &BuildRequest<'_>, sink: &mut LineSink<'_>) -> Result<ImageRef, EngineError> {
        let parsed = containerfile::parse(request.text);
        self.check(&parsed, request.containerfile)?;
        let id_file = request.scratch.join("image-id");
        let mut arguments = Vec::<OsString>::new();
        // chroot isolation needs neither a runtime nor privileges of the host.
        arguments.extend(["build", "--isolation", "chroot", "--layers", "--force-rm"].map(OsString::from));
        // What a step gave with a network is no answer to what it gives without.
        if request.no_cache || request.no_network {
            arguments.push("--no-cache".into());
        }
        arguments.extend(["--iidfile".into(), id_file.clone().into_os_string(), "-f".into()]);
        let offline = request.no_network || offline::applies(&parsed);
        if offline && !self.parser.has_run_network() {
            let stripped = request.scratch.join("Containerfile");
            std::fs::write(&stripped, offline::without_flags(request.text, &parsed))
                .map_err(|e| self.failed(e))?;
            arguments.push(in_list(&stripped.to_string_lossy()).into());
        } else {
            arguments.push(in_list(request.containerfile).into());
        }
        for volume in &request.surroundings.volumes {
            arguments.extend(["--volume".into(), volume.clone()]);
        }
        arguments.push(".".into());
        let mut command = if offline {
            self.pull(&parsed, request.no_cache, sink)?;
            offline::command(&self.program, ENVIRONMENT, request.surroundings.has_other_clock())
        } else {
            self.command()
        };
        command.args(arguments).current_dir(request.context);
        command.envs(request.surroundings.environment.iter().copied());
        let ended = run(command, sink).map_err(|e| self.failed(e))?;
        if !ended.status.success() {
            let Ended { step, last, .. } = ended;
            return Err(EngineError::Build { step, last });
        }
        let id = std::fs::read_to_string(&id_file).map_err(|e| self.failed(e))?;
        ImageRef::parse(&id, self.parser.engine)
    }

    fn export(&self, image: &ImageRef, into: &Path, sink: &mut LineSink<'_>) -> Result<(), EngineError> {
        let (engine, action) = (self.parser.engine, "export the image");
        // The destination is written relative to the working folder: `oci:` splits at colons.
        let (Some(parent), Some(name)) = (into.parent(), into.file_name().and_then(|n| n.to_str())) else {
            return Err(EngineError::Answer { engine, action });
        };
        let mut command = self.command();
        command.current_dir(parent);
        if self.is_podman() {
            // Its `push` cannot leave layers uncompressed.
            command.args(["save", "--quiet", "--uncompressed", "--format", "oci-archive"]);
            command.args(["--output", name, image.as_str()]);
        } else {
            command.args(["push", "--quiet", "--disable-compression", "--format", "oci"]);
            command.args([image.as_str(), &format!("oci:{name}:image")]);
        }
        let ended = run(command, sink).map_err(|e| self.failed(e))?;
        if ended.status.success() {
            Ok(())
        } else {
            Err(EngineError::Failed { engine, action, last: ended.last })
        }
    }

    fn resolved_digest(&self, name: &str) -> Result<Option<Sha256Digest>, EngineError> {
        let (engine, action) = (self.parser.engine, "look up a base image");
        let arguments: &[&str] = if self.is_podman() {
            &["image", "inspect", "--format", "{{.Digest}}", "--", name]
        } else {
            &["inspect", "--type", "image", "--format", "{{.FromImageDigest}}", "--", name]
        };
        match text_of(&self.program, arguments, (engine, action), self.limit) {
            Ok(text) => match text.strip_prefix("sha256:").map(str::parse) {
                Some(Ok(digest)) => Ok(Some(digest)),
                _ => Err(EngineError::Answer { engine, action }),
            },
            Err(EngineError::Failed { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

/// Standard output of a command that succeeds.
fn text_of(
    program: &Path,
    arguments: &[&str],
    question: (&'static str, &'static str),
    limit: Duration,
) -> Result<String, EngineError> {
    super::text_of(command_with_fixed_umask(program, ENVIRONMENT).args(arguments), question, limit)
}

/// `1.28.2` of `buildah version 1.28.2 (image-spec …)`.
fn version(text: &str) -> Option<&str> {
    text.strip_prefix("buildah version ")?.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str) -> Buildah {
        let parser = Parser {
            engine: "buildah",
            version: version.into(),
            parses_as: version.into(),
            heredocs: (HEREDOCS, "1.33"),
            run_network: (RUN_NETWORK, "1.29"),
        };
        Buildah { program: PathBuf::new(), parser, limit: super::super::PATIENCE }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("buildah version 1.28.2 (image-spec 1.1.0-rc2)"), Some("1.28.2"));
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn a_path_stays_one_value_of_a_list() {
        for (path, value) in
            [("/a b/Containerfile", "/a b/Containerfile"), ("/a,b/c", "\"/a,b/c\""), ("a\"b", "\"a\"\"b\"")]
        {
            assert_eq!(in_list(path), value);
        }
    }

    #[test]
    fn what_a_version_cannot_parse_is_named_with_its_line() {
        let check =
            |version: &str, text: &str| of(version).check(&containerfile::parse(text), "Containerfile");
        let heredoc = "FROM a\nRUN --network=none <<EOF\ntrue\nEOF\n";
        let mixed = "FROM a\nRUN curl x\nRUN --network=none make\n";
        let error = check("1.28.2", heredoc).expect_err("is too old");
        assert_eq!(
            error.to_string(),
            "Containerfile:2: a heredoc needs buildah 1.33 or newer, and this is buildah 1.28.2."
        );
        assert!(error.fix().is_some_and(|fix| fix.contains("&&")));
        let error = check("1.28.2", mixed).expect_err("is too old");
        assert!(matches!(error, EngineError::TooOld { line: 3, needed: "1.29", .. }), "{error}");
        assert!(check("1.33.0", heredoc).is_ok() && check("1.29.0", mixed).is_ok());
        assert!(check("1.28.2", "FROM a\nRUN --network=none make\n").is_ok());
    }
}
