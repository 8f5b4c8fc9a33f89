//! Which engine builds.

use super::buildah::Buildah;
use super::docker::Docker;
use super::{ContainerEngine, EngineError};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The engines there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineName {
    /// docker with BuildKit.
    Docker,
    /// podman.
    Podman,
    /// buildah.
    Buildah,
}

impl EngineName {
    /// All of them, in the order in which they are looked for.
    pub const ALL: [Self; 3] = [Self::Docker, Self::Podman, Self::Buildah];

    /// The program's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Buildah => "buildah",
        }
    }

    fn open(self, program: PathBuf, limit: Duration) -> Result<Box<dyn ContainerEngine>, EngineError> {
        Ok(match self {
            Self::Docker => Box::new(Docker::open(program, limit)?),
            Self::Podman => Box::new(Buildah::open_podman(program, limit)?),
            Self::Buildah => Box::new(Buildah::open(program, limit)?),
        })
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engines are docker, podman and buildah")]
pub struct UnknownEngine;

impl FromStr for EngineName {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, UnknownEngine> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or(UnknownEngine)
    }
}

/// The engine that builds.
pub(crate) struct Found {
    pub(crate) engine: Box<dyn ContainerEngine>,
    /// Engines that are installed and were not taken, each with the reason, in words.
    pub(crate) passed_over: Vec<String>,
}

/// The engine that was asked for; else the first that works and has every image of `local`, which
/// no registry could give it; else the first that works.
///
/// `program` says where a program is, if it is anywhere; `limit` is how long it may take to answer a question.
pub(crate) fn find(
    choice: Option<EngineName>,
    local: &[&str],
    limit: Duration,
    program: impl Fn(&'static str) -> Option<PathBuf>,
) -> Result<Found, EngineError> {
    if let Some(name) = choice {
        let path = program(name.as_str()).ok_or(EngineError::NotInstalled(name))?;
        return Ok(Found { engine: name.open(path, limit)?, passed_over: Vec::new() });
    }
    let (mut passed_over, mut second_choice) = (Vec::new(), None);
    for name in EngineName::ALL {
        let Some(path) = program(name.as_str()) else { continue };
        let engine = match name.open(path, limit) {
            Ok(engine) => engine,
            Err(error) => {
                passed_over.push(one_line(&error));
                continue;
            }
        };
        let Some(lacking) = lacking(engine.as_ref(), local)? else {
            return Ok(Found { engine, passed_over });
        };
        passed_over.push(format!("{name} does not have {lacking}"));
        second_choice.get_or_insert((engine, passed_over.len() - 1));
    }
    match second_choice {
        Some((engine, reason)) => {
            passed_over.remove(reason);
            Ok(Found { engine, passed_over })
        }
        None => Err(EngineError::Missing { passed_over }),
    }
}

fn lacking<'n>(engine: &dyn ContainerEngine, local: &[&'n str]) -> Result<Option<&'n str>, EngineError> {
    for image in local {
        if !engine.has(image)? {
            return Ok(Some(image));
        }
    }
    Ok(None)
}

fn one_line(error: &EngineError) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
