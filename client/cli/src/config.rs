//! Where this user's files are. The only place that reads the environment.
#![expect(clippy::disallowed_methods, reason = "this is the place the ban points to")]

use crate::error::{CliError, Exit};
use std::env;
use std::path::{Path, PathBuf};

/// Environment variable that moves the cache.
pub(crate) const WORKDIR_VAR: &str = "CAUTION_WORKDIR";

/// Folders and terminal wishes of this user.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Rebuildable data: tools, kernels, releases, reproductions (`~/.cache/caution`).
    pub cache: PathBuf,
    /// Data that must survive: the development root, logs of past runs (`~/.local/state/caution`).
    pub state: PathBuf,
    /// Sockets of running enclaves; short, since Unix socket paths end at 108 bytes.
    pub runtime: PathBuf,
    /// Settings of this user: the key that git uses with a platform (`~/.config/caution`).
    pub settings: PathBuf,
    /// `NO_COLOR` is set to anything but the empty string (<https://no-color.org>).
    pub no_color: bool,
}

impl Config {
    /// Reads the environment; `workdir` is the `--workdir` flag.
    pub(crate) fn from_env(workdir: Option<&Path>) -> Result<Self, CliError> {
        let home = dir("HOME").ok_or_else(|| {
            CliError::new(Exit::Other, "The environment variable HOME is not set to an absolute path.")
                .hint("export HOME=/your/home")
        })?;
        let cache = match (workdir, dir(WORKDIR_VAR)) {
            (Some(flag), _) => absolute(flag)?,
            (None, Some(path)) => path,
            (None, None) => dir("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache")).join("caution"),
        };
        let state = dir("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state")).join("caution");
        let runtime = match dir("XDG_RUNTIME_DIR") {
            Some(run) => run.join("caution"),
            None => state.join("run"),
        };
        let settings = dir("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")).join("caution");
        let no_color = env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Ok(Self { cache, state, runtime, settings, no_color })
    }

    /// The folders as the host agent wants them.
    pub(crate) fn host_dirs(&self) -> caution_host::Dirs {
        caution_host::Dirs {
            state: self.state.clone(),
            runtime: self.runtime.clone(),
            cache: self.cache.clone(),
        }
    }
}

/// An environment variable that holds an absolute path; others count as unset (XDG's own rule).
fn dir(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// `path` seen from the current folder.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    std::path::absolute(path)
        .map_err(|cause| CliError::io("The current folder cannot be read", Path::new("."), &cause))
}
