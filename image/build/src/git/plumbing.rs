//! Running the `git` program with a fixed configuration.

use super::GitError;
use crate::process::{command, find_program};
use caution_appspec::excerpt;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The `git` program, asked about one folder.
#[derive(Debug, Clone)]
pub(super) struct Git {
    program: PathBuf,
    dir: PathBuf,
    /// The folder is a repository without a work tree, and its name says so: git looks for none.
    bare: bool,
}

impl Git {
    pub(super) fn find() -> Result<Self, GitError> {
        let program = find_program("git").ok_or(GitError::Missing)?;
        Ok(Self { program, dir: PathBuf::from("."), bare: false })
    }

    pub(super) fn at(mut self, dir: &Path) -> Self {
        dir.clone_into(&mut self.dir);
        self
    }

    pub(super) fn bare(self, dir: &Path) -> Self {
        Self { bare: true, ..self.at(dir) }
    }

    /// A command that reads objects as they are, runs no helper program and touches no network.
    pub(super) fn command(&self, subcommand: &str) -> Command {
        let mut git = command(&self.program, &[]);
        git.arg("-C").arg(&self.dir);
        if self.bare {
            git.arg("--git-dir=.");
        }
        for setting in [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.untrackedCache=false",
            "core.quotePath=false",
            "core.pager=cat",
            // A folder of a checkout that looks like a repository, with a configuration of its own.
            "safe.bareRepository=explicit",
            "protocol.allow=never",
            "gc.auto=0",
        ] {
            git.args(["-c", setting]);
        }
        git.args(["--no-pager", "--literal-pathspecs", subcommand]);
        git.env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            // Versions before 2.45 do not know the line above, and a repository's own `protocol.ext.allow`
            // (any command) wins over `protocol.allow`; over this it does not.
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        git
    }

    /// Standard output of a command that succeeds.
    pub(super) fn bytes(&self, subcommand: &'static str, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let output = self.run(subcommand, arguments)?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(self.failure(subcommand, &output.stderr))
        }
    }

    pub(super) fn text(&self, subcommand: &'static str, arguments: &[&str]) -> Result<String, GitError> {
        String::from_utf8(self.bytes(subcommand, arguments)?).map_err(|_| GitError::Answer(subcommand))
    }

    /// One path, as git prints it: its bytes and one newline.
    pub(super) fn path(&self, subcommand: &'static str, arguments: &[&str]) -> Result<PathBuf, GitError> {
        let mut bytes = self.bytes(subcommand, arguments)?;
        if bytes.pop() != Some(b'\n') || bytes.is_empty() {
            return Err(GitError::Answer(subcommand));
        }
        Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }

    /// Standard output, or `None` when the command says "no" without a message (`--quiet`).
    pub(super) fn answer_or_nothing(
        &self,
        subcommand: &'static str,
        arguments: &[&str],
    ) -> Result<Option<Vec<u8>>, GitError> {
        let output = self.run(subcommand, arguments)?;
        match output.status.success() {
            true => Ok(Some(output.stdout)),
            false if output.status.code() == Some(1) => Ok(None),
            false => Err(self.failure(subcommand, &output.stderr)),
        }
    }

    /// Turns git's message into one of our errors.
    pub(super) fn failure(&self, subcommand: &'static str, stderr: &[u8]) -> GitError {
        let text = String::from_utf8_lossy(stderr);
        if text.contains("dubious ownership") {
            GitError::DubiousOwnership(quoted_path(&text).unwrap_or_else(|| self.dir.clone()))
        } else if text.contains("safe.bareRepository") {
            GitError::Bare(self.dir.clone())
        } else if text.contains("not a git repository") || text.contains("cannot change to") {
            GitError::NotARepository(self.dir.clone())
        } else {
            let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no message");
            GitError::Failed { command: subcommand, message: excerpt(line, 300) }
        }
    }

    /// Standard output of `git status` without the filters of the repository's configuration: those are
    /// programs, and a folder that came as an archive brings its own. Files that only a filter makes equal
    /// to the commit then differ from it, as they do from what is built.
    pub(super) fn status(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let keys = ["--null", "--name-only", "--get-regexp", "^filter\\."];
        let keys = self.answer_or_nothing("config", &keys)?.unwrap_or_default();
        let mut command = self.command("status");
        let mut count = 0;
        for key in keys.split(|&b| b == 0).filter(|key| !key.is_empty()) {
            let off = if key.ends_with(b".required") { "false" } else { "" };
            command.env(format!("GIT_CONFIG_KEY_{count}"), OsStr::from_bytes(key));
            command.env(format!("GIT_CONFIG_VALUE_{count}"), off);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        let output = command.args(arguments).stdout(Stdio::piped()).output().map_err(GitError::Process)?;
        if output.status.success() { Ok(output.stdout) } else { Err(self.failure("status", &output.stderr)) }
    }

    fn run(&self, subcommand: &'static str, arguments: &[&str]) -> Result<Output, GitError> {
        let mut command = self.command(subcommand);
        command.args(arguments.iter().map(OsStr::new)).stdout(Stdio::piped());
        command.output().map_err(GitError::Process)
    }
}

/// The path in `detected dubious ownership in repository at '…'`.
fn quoted_path(text: &str) -> Option<PathBuf> {
    let (_, rest) = text.split_once("repository at '")?;
    Some(PathBuf::from(rest.split_once('\'')?.0))
}
