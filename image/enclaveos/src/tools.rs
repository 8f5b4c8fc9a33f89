//! The machine's own programs: found, run with a clean environment, their words kept in a log.

use crate::files::{self, FileError};
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// A program and the Debian package that brings it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) program: &'static str,
    /// What to do when it is absent.
    pub(crate) fix: &'static str,
}

/// Why a program of the machine gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ToolError {
    /// The program is not installed.
    #[error("`{program}` is not installed.")]
    Missing {
        /// The program.
        program: &'static str,
        /// What to do about it.
        fix: &'static str,
    },
    /// The program cannot be started, or its output cannot be read.
    #[error("`{program}` cannot be run.")]
    Start {
        /// The program.
        program: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The program ended with an error.
    #[error("`{program}` failed ({status}); its last words:\n{tail}\nAll of its output is in {}.", log.display())]
    Failed {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        tail: String,
        /// Where all of its output is.
        log: PathBuf,
    },
    /// The program's answer is not what such a program says.
    #[error("`{program}` gave an answer that cannot be used: `{answer}`.")]
    Answer {
        /// The program.
        program: &'static str,
        /// What it said.
        answer: String,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] FileError),
}

impl ToolError {
    /// What the user can do, most often a command.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Missing { fix, .. } => Some((*fix).to_owned()),
            _ => None,
        }
    }
}

/// The variables of this process that build tools may see. Nothing else reaches them.
#[derive(Debug, Clone)]
pub(crate) struct Environment(Vec<(&'static str, OsString)>);

impl Environment {
    /// Takes what is allowed from this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "compilers need PATH and rustup's folders; everything else is kept from them on purpose"
    )]
    pub(crate) fn of_this_process() -> Self {
        Self(PASSED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))).collect())
    }

    /// The value of an allowed variable.
    pub(crate) fn get(&self, name: &str) -> Option<&OsString> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Where a program is on PATH.
    pub(crate) fn find(&self, tool: Tool) -> Result<PathBuf, ToolError> {
        self.get("PATH")
            .into_iter()
            .flat_map(std::env::split_paths)
            // A relative entry would run programs of whatever checkout this is called in.
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(tool.program))
            .find(|path| path.is_file())
            .ok_or(ToolError::Missing { program: tool.program, fix: tool.fix })
    }
}

/// One run of a program: clean environment, C locale, umask 022, no input.
pub(crate) struct Run {
    tool: Tool,
    command: Command,
}

impl Run {
    pub(crate) fn new(environment: &Environment, tool: Tool) -> Result<Self, ToolError> {
        let program = environment.find(tool)?;
        // The standard library cannot set a child's umask; a shell can.
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "umask 022; exec \"$0\" \"$@\""]).arg(program);
        command.env_clear().envs(environment.0.iter().map(|(name, value)| (name, value)));
        command.env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null());
        Ok(Self { tool, command })
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        change(&mut self.command);
        self
    }

    /// Runs the program to its end; all output goes to `log`, which is written anew.
    pub(crate) fn logged(mut self, log: &Path) -> Result<(), ToolError> {
        if let Some(folder) = log.parent() {
            files::create_dir(folder)?;
        }
        let file = fs::File::create(log).map_err(FileError::write(log))?;
        let copy = file.try_clone().map_err(FileError::write(log))?;
        let program = self.tool.program;
        let status = self
            .command
            .stdout(file)
            .stderr(copy)
            .status()
            .map_err(|source| ToolError::Start { program, source })?;
        if status.success() {
            return Ok(());
        }
        let tail = tail(log).map_err(FileError::read(log))?;
        Err(ToolError::Failed { program, status, tail, log: log.to_owned() })
    }

    /// Runs the program to its end and returns what it printed, cut to 1 MiB; `None` where it failed.
    pub(crate) fn answer(mut self) -> Result<Option<String>, ToolError> {
        let program = self.tool.program;
        let failed = |source| ToolError::Start { program, source };
        let mut child = self.command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed)?;
        let mut bytes = Vec::new();
        if let Some(mut stdout) = child.stdout.take() {
            stdout.by_ref().take(MAX_ANSWER).read_to_end(&mut bytes).map_err(failed)?;
        }
        let status = child.wait().map_err(failed)?;
        Ok(status.success().then(|| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The first line of what the program prints; a failure or an empty line is an error.
    pub(crate) fn first_line(self) -> Result<String, ToolError> {
        let program = self.tool.program;
        let answer = self.answer()?.unwrap_or_default();
        match answer.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
            Some(line) => Ok(line.chars().take(200).collect()),
            None => Err(ToolError::Answer { program, answer: answer.chars().take(200).collect() }),
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

/// Where programs are, rustup's folders, and what downloads need. None of them may change bytes.
const PASSED: [&str; 16] = [
    "PATH",
    "HOME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CARGO_NET_OFFLINE",
    "CARGO_HTTP_CAINFO",
];
const MAX_ANSWER: u64 = 1024 * 1024;
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    const SH: Tool = Tool { program: "sh", fix: "apt-get install dash" };

    fn environment() -> Environment {
        Environment(vec![("PATH", "/usr/bin:/bin".into())])
    }

    #[test]
    fn a_missing_program_is_named_with_the_command_that_installs_it() {
        let tool = Tool { program: "caution-no-such-program", fix: "apt-get install nothing" };
        let error = environment().find(tool).unwrap_err();
        assert_eq!(error.to_string(), "`caution-no-such-program` is not installed.");
        assert_eq!(error.fix().as_deref(), Some("apt-get install nothing"));
    }

    #[test]
    fn programs_of_the_current_folder_are_not_run() {
        let here = Environment(vec![("PATH", "::.:src".into())]);
        let this_file = Tool { program: "tools.rs", fix: "-" };
        assert!(std::path::Path::new("src/tools.rs").is_file());
        assert!(matches!(here.find(this_file), Err(ToolError::Missing { .. })));
    }

    #[test]
    fn a_program_sees_umask_022_and_nothing_of_ours() {
        let run = Run::new(&environment(), SH).unwrap();
        let answer = run.with(|c| c.args(["-c", "umask; env"])).answer().unwrap().unwrap();
        let mut lines: Vec<&str> =
            answer.lines().filter(|l| !l.starts_with("PWD=") && !l.starts_with("_=")).collect();
        lines.sort_unstable();
        assert_eq!(lines, ["0022", "LC_ALL=C", "PATH=/usr/bin:/bin", "TZ=UTC"]);
    }

    #[test]
    fn a_failure_quotes_the_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("logs/sh.log");
        let run = Run::new(&environment(), SH).unwrap();
        let error = run
            .with(|c| {
                c.args([
                    "-c",
                    "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done; echo end >&2; exit 3",
                ])
            })
            .logged(&log)
            .unwrap_err();
        let ToolError::Failed { status, tail, .. } = &error else { panic!("{error}") };
        assert_eq!(status.code(), Some(3));
        assert_eq!(tail.lines().count(), 15);
        assert!(tail.starts_with("line 86\n") && tail.ends_with("line 99\nend"), "{tail}");
    }

    #[test]
    fn an_empty_answer_is_an_error() {
        let run = Run::new(&environment(), SH).unwrap();
        assert!(matches!(
            run.with(|c| c.args(["-c", "echo; echo x"])).first_line(),
            Err(ToolError::Answer { .. })
        ));
    }
}
