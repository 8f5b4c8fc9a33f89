//! What can be wrong with an engine, and with what it builds.

use super::EngineName;
use std::time::Duration;

/// Why an engine did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// None works.
    #[error("No container engine works here (looked for: docker, podman, buildah).{}", shown(.passed_over))]
    Missing {
        /// Those that are installed, each with what is wrong with it.
        passed_over: Vec<String>,
    },
    /// The one that was asked for is not installed.
    #[error("{0} is not installed.")]
    NotInstalled(EngineName),
    /// docker without the component that talks to BuildKit.
    #[error("docker {version} cannot use BuildKit: its `buildx` component is missing.")]
    NoBuildx {
        /// The daemon's version.
        version: String,
    },
    /// The Containerfile uses something this version of the engine cannot do.
    #[error("{file}:{line}: {feature} needs {engine} {needed} or newer, and this is {engine} {version}.")]
    TooOld {
        /// The Containerfile.
        file: String,
        /// One-based line.
        line: usize,
        /// What is used.
        feature: &'static str,
        /// The engine.
        engine: &'static str,
        /// Its version.
        version: String,
        /// The first version that can.
        needed: &'static str,
    },
    /// The build failed.
    #[error("The container build failed{}.{}", at_step(.step.as_deref()), shown(.last))]
    Build {
        /// The step that failed, as the engine printed it.
        step: Option<String>,
        /// The engine's last lines.
        last: Vec<String>,
    },
    /// Another command of the engine failed.
    #[error("{engine} could not {action}.{}", shown(.last))]
    Failed {
        /// The engine.
        engine: &'static str,
        /// What it was to do.
        action: &'static str,
        /// Its last lines.
        last: Vec<String>,
    },
    /// The engine answered in an unknown form.
    #[error("{engine} gave an answer of an unknown form when asked to {action}.")]
    Answer {
        /// The engine.
        engine: &'static str,
        /// What it was to do.
        action: &'static str,
    },
    /// It said nothing for too long.
    #[error("{engine} could not {action}: no answer within {} seconds.", .limit.as_secs())]
    Silent {
        /// The engine.
        engine: &'static str,
        /// What it was to do.
        action: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// The program could not be run.
    #[error("{engine} cannot be run.")]
    Process {
        /// The engine.
        engine: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl EngineError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "apt-get install buildah, or `--image FILE` with an image that was built elsewhere".into(),
            ),
            Self::NotInstalled(name) => {
                let package = if *name == EngineName::Docker { "docker.io" } else { name.as_str() };
                Some(format!("apt-get install {package}"))
            }
            Self::Silent { engine, .. } => Some(format!(
                "see what `{engine} info` waits for (its daemon, or the machine that it talks to), or take another \
                 engine: --engine"
            )),
            Self::NoBuildx { .. } => Some("apt-get install docker-buildx".into()),
            Self::TooOld { feature: HEREDOC, .. } => Some(
                "write the commands as one RUN with `&& \\`, or take a newer engine (Debian 13 has some; \
                 --engine chooses)"
                    .into(),
            ),
            Self::TooOld { .. } => Some(
                "give every RUN `--network=none`, or take a newer engine (Debian 13 has some; --engine \
                     chooses)"
                    .into(),
            ),
            Self::Build { last, .. } | Self::Failed { last, .. } => known_cause(last),
            _ => None,
        }
    }
}

/// What to do about a full disk, whichever engine filled it.
pub(crate) const DROP_LAYERS: &str =
    "`docker system prune`, `podman image prune` or `buildah rmi --prune` to drop cached layers";

/// `<<EOF`.
pub(super) const HEREDOC: &str = "a heredoc";

/// Causes that engines report in words which do not say what to do.
fn known_cause(last: &[String]) -> Option<String> {
    let said = |text: &str| last.iter().any(|line| line.contains(text));
    if said("no space left on device") {
        return Some(format!("df -h, and {DROP_LAYERS}"));
    }
    let fix = if said("/caution/pallet-rust") || said("/caution/core-filesystem") {
        Some(
            "tools/base-images/build (makes the local base images from Debian packages, for podman and buildah)",
        )
    } else if said("short-name") || said("unqualified-search") {
        Some(
            "write the image with its registry, `docker.io/library/NAME`, or name a registry in /etc/containers/registries.conf",
        )
    } else if said("unshare: ") {
        Some(
            "run this where network namespaces can be made: as root, or with user namespaces allowed (sysctl kernel.unprivileged_userns_clone=1)",
        )
    } else if said("newuidmap") || said("subuid") {
        Some("apt-get install uidmap")
    } else {
        None
    };
    fix.map(str::to_owned)
}

fn at_step(step: Option<&str>) -> String {
    step.map(|step| format!(" at `{step}`")).unwrap_or_default()
}

fn shown(last: &[String]) -> String {
    if last.is_empty() { String::new() } else { format!("\n\n    {}\n", last.join("\n    ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_shows_its_step_and_last_lines() {
        let error = EngineError::Build {
            step: Some("[1/2] STEP 3/4: RUN false".into()),
            last: vec!["one".into(), "two".into()],
        };
        assert_eq!(
            error.to_string(),
            "The container build failed at `[1/2] STEP 3/4: RUN false`.\n\n    one\n    two\n"
        );
        assert_eq!(error.fix(), None);
    }

    #[test]
    fn errors_that_do_not_say_what_to_do_get_a_fix() {
        let fix = |line: &str| EngineError::Build { step: None, last: vec![line.into()] }.fix();
        assert!(fix("write /x: no space left on device").is_some_and(|f| f.contains("prune")));
        assert!(
            fix("localhost/caution/pallet-rust:bookworm: not found").is_some_and(|f| f.contains("tools/"))
        );
        let fix = EngineError::NotInstalled(EngineName::Docker).fix();
        assert_eq!(fix.as_deref(), Some("apt-get install docker.io"));
    }
}
