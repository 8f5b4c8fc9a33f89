//! Container engines: they run the user's Containerfile, and nothing else of ours.

mod answer;
mod buildah;
mod docker;
mod error;
mod find;
mod offline;
mod stream;
mod version;

pub(crate) use error::DROP_LAYERS;
pub use error::EngineError;
use error::HEREDOC;
pub use find::{EngineName, UnknownEngine};
pub(crate) use find::{Found, find};

use crate::trial::Surroundings;
use caution_appspec::excerpt;
use caution_measure::Sha256Digest;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// How long an engine may think about a question. Far more than a busy machine takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An image in an engine's own storage: `sha256:` and 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageRef(String);

impl ImageRef {
    /// The content of an `--iidfile`.
    fn parse(text: &str, engine: &'static str) -> Result<Self, EngineError> {
        match text.trim().strip_prefix("sha256:").map(str::parse::<Sha256Digest>) {
            Some(Ok(digest)) => Ok(Self(format!("sha256:{digest}"))),
            _ => Err(EngineError::Answer { engine, action: "build an image" }),
        }
    }

    /// The image's id, as the engine's own commands take it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Receives an engine's output, line by line.
pub(crate) type LineSink<'a> = dyn FnMut(&str) + 'a;

/// What is to be built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BuildRequest<'a> {
    /// The build context: the clean export.
    pub(crate) context: &'a Path,
    /// The Containerfile, relative to the context.
    pub(crate) containerfile: &'a str,
    /// Its text.
    pub(crate) text: &'a str,
    /// Whether cached layers and local base images are to be ignored.
    pub(crate) no_cache: bool,
    /// Whether no step may have a network; base images are fetched all the same.
    pub(crate) no_network: bool,
    /// What is different on purpose, in trials.
    pub(crate) surroundings: &'a Surroundings,
    /// A folder for the engine's own notes, outside the context.
    pub(crate) scratch: &'a Path,
}

/// A program that builds container images.
pub(crate) trait ContainerEngine {
    /// The program's name: `buildah`.
    fn name(&self) -> &'static str;
    /// Its version, `1.28.2`.
    fn version(&self) -> &str;
    /// Whether an image of this name is in the engine's own storage.
    fn has(&self, image: &str) -> Result<bool, EngineError>;
    /// Runs `build -f <containerfile> .` in the context.
    fn build(&self, request: &BuildRequest<'_>, sink: &mut LineSink<'_>) -> Result<ImageRef, EngineError>;
    /// Writes an image to the new path `into`, in a form that `caution_rootfs::oci::open` reads.
    fn export(&self, image: &ImageRef, into: &Path, sink: &mut LineSink<'_>) -> Result<(), EngineError>;
    /// The manifest digest that a base image's name meant in the build; `None` when nobody knows.
    fn resolved_digest(&self, name: &str) -> Result<Option<Sha256Digest>, EngineError>;
}

/// Standard output of a command that succeeds within `limit`: it may ask a daemon that never answers.
fn text_of(
    command: &mut Command,
    (engine, action): (&'static str, &'static str),
    limit: Duration,
) -> Result<String, EngineError> {
    let (status, out, err) = match answer::of(command, limit) {
        Ok(Some(answer)) => answer,
        Ok(None) => return Err(EngineError::Silent { engine, action, limit }),
        Err(source) => return Err(EngineError::Process { engine, source }),
    };
    if status.success() {
        return Ok(String::from_utf8_lossy(&out).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&err);
    let mut last: Vec<_> = text.lines().rev().filter(|l| !l.trim().is_empty()).take(5).collect();
    last.reverse();
    let last = last.into_iter().map(|line| excerpt(line, 300)).collect();
    Err(EngineError::Failed { engine, action, last })
}
