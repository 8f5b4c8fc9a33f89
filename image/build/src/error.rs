//! Why a build stopped.

use crate::config::ConfigError;
use crate::containerfile::DigestFault;
use crate::engine::EngineError;
use crate::git::{CommitId, GitError};
use crate::inspect::InspectError;
use crate::pin::{Pin, PinError};
use crate::stage::StageError;
use caution_eif::EifError;
use caution_measure::{Pcr, Sha256Digest};
use caution_plan::PlanError;
use caution_rootfs::oci::OciError;
use std::path::PathBuf;

/// Why a build stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The committed `Containerfile.eif`.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The container engine, or what it ran.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// `eif-stage/`.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The boot plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// An existing image.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// A container image.
    #[error("{name} cannot be used as a container image.")]
    Image {
        /// The image, in words.
        name: String,
        /// What is wrong with it.
        source: OciError,
    },
    /// The image that the configuration names is not in the commit.
    #[error("Commit {commit} has no `{path}`, which its configuration names as `oci_tarball`.")]
    NoImage {
        /// The commit.
        commit: CommitId,
        /// The path.
        path: String,
    },
    /// The one file that is to be packed is not in the image.
    #[error("The container image has no file `{0}`, which the configuration names as `binary`.")]
    NoBinary(String),
    /// It could not start alone.
    #[error(
        "`{binary}`, which the configuration names as `binary`, is packed alone, and starts with `{interpreter}` only."
    )]
    NeedsInterpreter {
        /// The file.
        binary: String,
        /// What it needs.
        interpreter: String,
    },
    /// Its layers.
    #[error("The container image cannot become a root filesystem.")]
    Rootfs(#[from] caution_rootfs::RootfsError),
    /// The USER it names.
    #[error("The user that the container image names cannot be found.")]
    User(#[from] caution_rootfs::UserError),
    /// The enclave image.
    #[error("The enclave image cannot be written.")]
    Eif(#[from] EifError),
    /// There is no Containerfile.
    #[error("Commit {commit} has no {}.", looked_for(.named.as_deref()))]
    NoContainerfile {
        /// The commit.
        commit: CommitId,
        /// The file that the configuration names.
        named: Option<String>,
    },
    /// The output folder has a name that container engines change on the way.
    #[error("The folder {} has a name that is not UTF-8, and container engines cannot build in it.", .0.display())]
    FolderName(PathBuf),
    /// The Containerfile is not text.
    #[error("`{0}` is not UTF-8 text.")]
    ContainerfileNotText(String),
    /// A base image's digest is not one.
    #[error("{file}:{line}: the digest of `{image}` {fault}; a SHA-256 digest has 64 hex digits.")]
    BaseDigest {
        /// The Containerfile.
        file: String,
        /// One-based line.
        line: usize,
        /// The image as written.
        image: String,
        /// What is wrong with it.
        fault: DigestFault,
    },
    /// Base images without a digest, where each must have one.
    #[error("{} named without a digest:{}", count(.images.len()), listed(.file, .images))]
    Unpinned {
        /// The Containerfile.
        file: String,
        /// Line and image as written, in file order.
        images: Vec<(usize, String)>,
    },
    /// The commit asks for another EnclaveOS release.
    #[error(
        "Containerfile.eif of this commit pins EnclaveOS {} (PCR1 {}), and the release in use is {} (PCR1 {}).",
        .pins.0.id, .pins.0.pcr1, .pins.1.id, .pins.1.pcr1
    )]
    OtherEnclaveOs {
        /// What the commit names, and what was to be used.
        pins: Box<(Pin, Pin)>,
    },
    /// The release is older than what the configuration asks for.
    #[error(
        "EnclaveOS {release} does not say that it has end-to-end encryption, which the configuration of this commit \
         asks for; an enclave of it would end when it boots."
    )]
    WithoutEncryption {
        /// Its identity.
        release: Sha256Digest,
        /// Whether the commit names it.
        is_pinned: bool,
    },
    /// The release's files measure something else than it says.
    #[error("The EnclaveOS release measures PCR1 {measured}, but calls itself {claimed}.")]
    EnclaveOsChanged {
        /// What it says.
        claimed: Box<Pcr>,
        /// What its files give.
        measured: Box<Pcr>,
    },
    /// A file of the EnclaveOS release cannot be read.
    #[error("{} of the EnclaveOS release cannot be read.", .path.display())]
    EnclaveOsFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl BuildError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Git(error) => error.fix(),
            Self::Config(error) => error.fix(),
            Self::Pin(error) => error.fix(),
            Self::Engine(error) => error.fix(),
            Self::Stage(error) => error.fix(),
            Self::Plan(error) => error.fix(),
            Self::Inspect(error) => error.fix(),
            Self::Image { source, .. } => source.fix(),
            Self::Rootfs(error) => error.fix(),
            Self::User(error) => error.fix(),
            Self::NoContainerfile { .. } => {
                Some("commit a Containerfile, or name it: `containerfile: PATH` in Procfile".into())
            }
            Self::FolderName(_) => Some("move the checkout to a folder whose path is UTF-8".into()),
            Self::NoImage { path, .. } => Some(format!("git add -f {path} && git commit")),
            Self::NoBinary(_) => Some("write the path that the program has inside the image".into()),
            Self::NeedsInterpreter { .. } => Some(
                "link it statically (Rust: `-C target-feature=+crt-static`; Go: `CGO_ENABLED=0`; C: `-static`), or \
                 remove `binary`: then the whole image is packed"
                    .into(),
            ),
            Self::BaseDigest { .. } => Some("copy the whole digest from where the image is published".into()),
            Self::Unpinned { .. } => Some(
                "caution apps pin (writes what they resolve to into Containerfile.eif), or write `name@sha256:…`"
                    .into(),
            ),
            Self::OtherEnclaveOs { pins } => Some(format!(
                "--enclaveos DIR with the release that is pinned, {}; or pin this one: caution apps pin",
                pins.0.id
            )),
            Self::WithoutEncryption { is_pinned: true, .. } => Some(
                "caution enclaveos build      (in a checkout of Caution's newest source)\n\
                 caution apps pin      (then pin that release)"
                    .into(),
            ),
            Self::WithoutEncryption { .. } => {
                Some("caution enclaveos build      (in a checkout of Caution's newest source)".into())
            }
            Self::EnclaveOsChanged { .. } | Self::EnclaveOsFile { .. } => {
                Some("caution enclaveos build".into())
            }
            Self::ContainerfileNotText(_) => Some("save it as UTF-8 and commit it".into()),
            Self::Eif(_) => None,
        }
    }
}

fn looked_for(named: Option<&str>) -> String {
    match named {
        Some(path) => format!("`{path}`, which its configuration names as the Containerfile"),
        None => "`Containerfile` or `Dockerfile`".to_owned(),
    }
}

fn count(images: usize) -> String {
    if images == 1 { "A base image is".to_owned() } else { format!("{images} base images are") }
}

fn listed(file: &str, images: &[(usize, String)]) -> String {
    images.iter().map(|(line, image)| format!("\n    {file}:{line}: `{image}`")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_image_bring_their_fix() {
        let user = caution_rootfs::UserError::UnknownUser { name: "web".into() };
        assert!(BuildError::User(user).fix().is_some_and(|fix| fix.contains("add `web`")));
        let platform = || caution_rootfs::oci::OciError::Platform { found: "linux/arm64".into() };
        let layer = caution_rootfs::RootfsError::Layer { layer: 1, source: platform() };
        let image = BuildError::Image { name: "`x`".into(), source: platform() };
        for error in [image, BuildError::Rootfs(layer)] {
            assert!(error.fix().is_some_and(|fix| fix.contains("linux/amd64")), "{error}");
        }
        assert!(
            BuildError::Plan(caution_plan::PlanError::NoCommand)
                .fix()
                .is_some_and(|fix| fix.contains("`run:`"))
        );
    }
}
