//! buildah: no daemon, works as root in a container and unprivileged elsewhere.

use super::stream::{Ended, run};
use super::{BuildRequest, ContainerEngine, EngineError, HEREDOC, ImageRef, LineSink, offline};
use crate::containerfile::{self, Containerfile};
use crate::process::{command_with_fixed_umask, find_program};
use caution_appspec::excerpt;
use caution_measure::Sha256Digest;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The buildah program.
#[derive(Debug, Clone)]
pub(crate) struct Buildah {
    program: PathBuf,
    version: String,
}

/// What buildah may see of the caller's environment besides the common variables: where its storage
/// and credentials are and how to reach a registry. Nothing that changes how it builds
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
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

const NAME: &str = "buildah";
/// The first versions that parse these. Source: buildah's CHANGELOG.
const HEREDOCS: (u32, u32) = (1, 33);
const RUN_NETWORK: (u32, u32) = (1, 29);

impl Buildah {
    /// The buildah on `PATH`.
    pub(crate) fn find() -> Result<Self, EngineError> {
        let program = find_program(NAME).ok_or(EngineError::Missing(NAME))?;
        let buildah = Self { program, version: String::new() };
        let text = buildah.text(&["--version"], "say its version")?;
        let version =
            version(&text).ok_or(EngineError::Answer { engine: NAME, action: "say its version" })?;
        Ok(Self { version: version.to_owned(), ..buildah })
    }

    /// Refuses what this version cannot parse, before it fails in other words.
    fn check(&self, parsed: &Containerfile, file: &str) -> Result<(), EngineError> {
        let too_old = |line, feature, needed| {
            let (file, version) = (file.to_owned(), self.version.clone());
            Err(EngineError::TooOld { file, line, feature, engine: NAME, version, needed })
        };
        if let Some(line) = parsed.heredoc
            && !self.is_at_least(HEREDOCS)
        {
            return too_old(line, HEREDOC, "1.33");
        }
        match parsed.runs.iter().find(|run| run.network.is_some()) {
            Some(run) if !self.is_at_least(RUN_NETWORK) && !offline::applies(parsed) => {
                too_old(run.line, "`RUN --network` beside a RUN without it", "1.29")
            }
            _ => Ok(()),
        }
    }

    fn is_at_least(&self, (major, minor): (u32, u32)) -> bool {
        let mut numbers = self.version.split('.').map_while(|n| n.parse::<u32>().ok());
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
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
            let ended = run(command, sink).map_err(process)?;
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

    /// Standard output of a command that succeeds.
    fn text(&self, arguments: &[&str], action: &'static str) -> Result<String, EngineError> {
        let output = self.command().args(arguments).output().map_err(process)?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.lines().rev().take(5).map(|line| excerpt(line, 300)).collect::<Vec<_>>();
            Err(EngineError::Failed { engine: NAME, action, last: last.into_iter().rev().collect() })
        }
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
        NAME
    }

    fn version(&self) -> &str {
        &self.version
    }

    fn build(&self, request: &BuildRequest<'_>, sink: &mut LineSink<'_>) -> Result<ImageRef, EngineError> {
        let text = read_containerfile(request)?;
        let parsed = containerfile::parse(&text);
        self.check(&parsed, request.containerfile)?;
        let id_file = request.scratch.join("image-id");
        let mut arguments = Vec::<OsString>::new();
        // chroot isolation needs neither a runtime nor privileges of the host.
        arguments.extend(["build", "--isolation", "chroot", "--layers", "--force-rm"].map(OsString::from));
        if request.no_cache {
            arguments.push("--no-cache".into());
        }
        arguments.extend(["--iidfile".into(), id_file.clone().into_os_string(), "-f".into()]);
        let offline = offline::applies(&parsed);
        if offline && !self.is_at_least(RUN_NETWORK) {
            let stripped = request.scratch.join("Containerfile");
            std::fs::write(&stripped, offline::without_flags(&text, &parsed)).map_err(process)?;
            arguments.push(in_list(&stripped.to_string_lossy()).into());
        } else {
            arguments.push(in_list(request.containerfile).into());
        }
        arguments.push(".".into());
        let mut command = if offline {
            self.pull(&parsed, request.no_cache, sink)?;
            offline::command(&self.program, ENVIRONMENT)
        } else {
            self.command()
        };
        command.args(arguments).current_dir(request.context);
        let ended = run(command, sink).map_err(process)?;
        if !ended.status.success() {
            let Ended { step, last, .. } = ended;
            return Err(EngineError::Build { step, last });
        }
        let id = std::fs::read_to_string(&id_file).map_err(process)?;
        match id.trim().strip_prefix("sha256:").map(str::parse::<Sha256Digest>) {
            Some(Ok(digest)) => Ok(ImageRef(format!("sha256:{digest}"))),
            _ => Err(EngineError::Answer { engine: NAME, action: "build an image" }),
        }
    }

    fn export(&self, image: &ImageRef, into: &Path, sink: &mut LineSink<'_>) -> Result<(), EngineError> {
        let action = "export the image";
        // The destination is written relative to the working folder: `oci:` splits at colons.
        let (Some(parent), Some(name)) = (into.parent(), into.file_name().and_then(|n| n.to_str())) else {
            return Err(EngineError::Answer { engine: NAME, action });
        };
        let mut command = self.command();
        command.args(["push", "--quiet", "--disable-compression", "--format", "oci"]);
        command.args([image.as_str(), &format!("oci:{name}:image")]).current_dir(parent);
        let ended = run(command, sink).map_err(process)?;
        if ended.status.success() {
            Ok(())
        } else {
            Err(EngineError::Failed { engine: NAME, action, last: ended.last })
        }
    }

    fn resolved_digest(&self, name: &str) -> Result<Option<Sha256Digest>, EngineError> {
        let action = "look up a base image";
        let arguments = ["inspect", "--type", "image", "--format", "{{.FromImageDigest}}", "--", name];
        match self.text(&arguments, action) {
            Ok(text) => match text.strip_prefix("sha256:").map(str::parse) {
                Some(Ok(digest)) => Ok(Some(digest)),
                _ => Err(EngineError::Answer { engine: NAME, action }),
            },
            Err(EngineError::Failed { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }
}

fn read_containerfile(request: &BuildRequest<'_>) -> Result<String, EngineError> {
    let path = request.context.join(request.containerfile);
    let mut text = String::new();
    std::fs::File::open(&path)
        .and_then(|file| file.take(containerfile::MAX_BYTES).read_to_string(&mut text))
        .map_err(|source| EngineError::Containerfile { path, source })?;
    Ok(text)
}

/// `1.28.2` of `buildah version 1.28.2 (image-spec …)`.
fn version(text: &str) -> Option<&str> {
    text.strip_prefix("buildah version ")?.split_ascii_whitespace().next()
}

fn process(source: std::io::Error) -> EngineError {
    EngineError::Process { engine: NAME, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: &str) -> Buildah {
        Buildah { program: PathBuf::new(), version: version.into() }
    }

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(version("buildah version 1.28.2 (image-spec 1.1.0-rc2)"), Some("1.28.2"));
        assert_eq!(version("something else"), None);
        for (version, expected) in
            [("1.28.2", false), ("1.33.0", true), ("2.0", true), ("1.4-dev", false), ("", false)]
        {
            assert_eq!(of(version).is_at_least((1, 33)), expected, "{version}");
        }
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
