//! What versions of engines can do, checked before they fail in other words.

use super::{EngineError, HEREDOC};
use crate::containerfile::Containerfile;

/// An engine as its user knows it, and the first versions that parse what older ones do not.
#[derive(Debug, Clone)]
pub(super) struct Parser {
    /// The engine.
    pub(super) engine: &'static str,
    /// Its version as messages show it.
    pub(super) version: String,
    /// The version that counts: podman parses with the buildah inside it.
    pub(super) parses_as: String,
    /// The first with heredocs, as a number and in words.
    pub(super) heredocs: ((u32, u32), &'static str),
    /// The first with `RUN --network`.
    pub(super) run_network: ((u32, u32), &'static str),
}

impl Parser {
    /// Refuses a heredoc that this version cannot parse, with its line.
    pub(super) fn check_heredoc(&self, parsed: &Containerfile, file: &str) -> Result<(), EngineError> {
        match parsed.heredoc {
            Some(line) if !at_least(&self.parses_as, self.heredocs.0) => {
                Err(self.too_old((file, line), HEREDOC, self.heredocs.1))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a `RUN --network` that this version cannot parse, with its line.
    pub(super) fn check_run_network(&self, parsed: &Containerfile, file: &str) -> Result<(), EngineError> {
        match parsed.runs.iter().find(|run| run.network.is_some()) {
            Some(run) if !self.has_run_network() => {
                let mixed = parsed.runs.iter().any(|run| run.network.is_none());
                let feature =
                    if mixed { "`RUN --network` beside a RUN without it" } else { "`RUN --network`" };
                Err(self.too_old((file, run.line), feature, self.run_network.1))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn has_run_network(&self) -> bool {
        at_least(&self.parses_as, self.run_network.0)
    }

    fn too_old(&self, place: (&str, usize), feature: &'static str, needed: &'static str) -> EngineError {
        let (file, line) = (place.0.to_owned(), place.1);
        EngineError::TooOld {
            file,
            line,
            feature,
            engine: self.engine,
            version: self.version.clone(),
            needed,
        }
    }
}

/// Whether a version such as `1.28.2` is this one or newer.
pub(super) fn at_least(version: &str, (major, minor): (u32, u32)) -> bool {
    let mut numbers = version.split('.').map_while(|n| n.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        for (version, expected) in
            [("1.28.2", false), ("1.33.0", true), ("2.0", true), ("1.4-dev", false), ("", false)]
        {
            assert_eq!(at_least(version, (1, 33)), expected, "{version}");
        }
        assert!(at_least("26.1.5+dfsg1", (23, 0)) && !at_least("20.10.24+dfsg1", (23, 0)));
    }
}
