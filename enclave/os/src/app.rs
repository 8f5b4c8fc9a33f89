//! The app's process, from the boot plan and its own root.

mod env_file;

use crate::logs::Sink;
use caution_abi::boot_plan::BootPlan;
use caution_enclave_sys::app_root::AppRoot;
use caution_enclave_sys::launch::{Launch, LaunchError, Launched, Step, Streams, launch};
use env_file::EnvFileError;
use std::collections::BTreeMap;
use std::ffi::{CString, NulError};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

/// A process that can be started again and again.
#[derive(Debug)]
pub(crate) struct App {
    root: AppRoot,
    programs: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    cwd: CString,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    stdin: File,
}

/// Why the app's process cannot be described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AppError {
    /// Its environment file is wrong.
    #[error(transparent)]
    Environment(#[from] EnvFileError),
    /// A value cannot be passed to a process. The boot plan's own check comes first.
    #[error("a value of the boot plan holds a NUL byte")]
    Nul(#[from] NulError),
    /// `/dev/null` is the app's standard input.
    #[error("/dev/null could not be opened")]
    Null(#[source] io::Error),
}

/// Why the app's process did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartError {
    /// The program is not there, or not executable.
    #[error("the program `{program}` could not be executed as user {uid} (tried {tried})")]
    Program {
        /// As the boot plan names it.
        program: String,
        /// Who tried.
        uid: u32,
        /// The paths, separated by commas.
        tried: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The working directory is not there, or closed to the user.
    #[error("the working directory `{cwd}` could not be entered as user {uid}")]
    WorkingDirectory {
        /// As the boot plan names it.
        cwd: String,
        /// Who tried.
        uid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something before that.
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl App {
    /// The process of `plan` in the root that was prepared from `path`.
    pub(crate) fn new(plan: &BootPlan, path: &Path, root: AppRoot) -> Result<Self, AppError> {
        let app = &plan.app;
        let home = env_file::home(path, app.uid)?;
        let env = merge(env_file::environment(path)?, &app.env, home);
        let argv: Vec<CString> =
            app.argv.iter().map(|a| CString::new(a.as_str())).collect::<Result<_, _>>()?;
        let programs = app.argv.first().map_or_else(Vec::new, |program| candidates(program, &env["PATH"]));
        Ok(Self {
            root,
            programs: programs.into_iter().map(CString::new).collect::<Result<_, _>>()?,
            argv,
            env: env
                .into_iter()
                .map(|(name, value)| CString::new(format!("{name}={value}")))
                .collect::<Result<_, _>>()?,
            cwd: CString::new(app.cwd.as_str())?,
            uid: app.uid,
            gid: app.gid,
            groups: app.groups.clone(),
            stdin: File::open("/dev/null").map_err(AppError::Null)?,
        })
    }

    /// User and group id.
    pub(crate) fn owner(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// Starts it.
    pub(crate) fn start(&self, sink: &Sink) -> Result<Launched, StartError> {
        let (stdout, stderr) = sink.streams();
        let streams = Streams { stdin: self.stdin.as_fd(), stdout, stderr };
        let process = Launch {
            root: &self.root,
            programs: &self.programs,
            argv: &self.argv,
            env: &self.env,
            cwd: &self.cwd,
            uid: self.uid,
            gid: self.gid,
            groups: &self.groups,
        };
        launch(&process, streams).map_err(|e| self.explain(e))
    }

    fn explain(&self, error: LaunchError) -> StartError {
        let text = |s: &CString| s.to_string_lossy().into_owned();
        match error {
            LaunchError::Step { step: Step::Program, source } => StartError::Program {
                program: self.argv.first().map(text).unwrap_or_default(),
                uid: self.uid,
                tried: self.programs.iter().map(text).collect::<Vec<_>>().join(", "),
                source,
            },
            LaunchError::Step { step: Step::WorkingDirectory, source } => {
                StartError::WorkingDirectory { cwd: text(&self.cwd), uid: self.uid, source }
            }
            other => other.into(),
        }
    }
}

/// The app's environment: its root's file, over it the plan's, and PATH and HOME in any case.
fn merge(
    file: BTreeMap<String, String>,
    plan: &BTreeMap<String, String>,
    home: Option<String>,
) -> BTreeMap<String, String> {
    let mut env = file;
    env.extend(plan.clone());
    env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
    env.entry("HOME".into()).or_insert_with(|| home.unwrap_or_else(|| "/".into()));
    env
}

/// Where to look for `program`, as execvp(3): an empty PATH entry is the working directory.
fn candidates(program: &str, path: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    path.split(':')
        .map(|directory| match directory {
            "" => format!("./{program}"),
            directory => format!("{}/{program}", directory.trim_end_matches('/')),
        })
        .collect()
}

/// What container engines set where an image sets nothing.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn the_plan_wins_over_the_file_and_path_and_home_are_always_there() {
        let env = merge(map(&[("A", "file"), ("B", "file")]), &map(&[("A", "plan")]), None);
        let expected = map(&[("A", "plan"), ("B", "file"), ("HOME", "/"), ("PATH", DEFAULT_PATH)]);
        assert_eq!(env, expected);
        let env = merge(map(&[("PATH", "/bin")]), &map(&[("HOME", "/x")]), Some("/root".into()));
        assert_eq!(env, map(&[("HOME", "/x"), ("PATH", "/bin")]));
        let env = merge(map(&[]), &map(&[]), Some("/srv".into()));
        assert_eq!(env["HOME"], "/srv");
    }

    #[test]
    fn programs_are_looked_up_in_path() {
        assert_eq!(candidates("a", "/bin:/usr/bin/::"), ["/bin/a", "/usr/bin/a", "./a", "./a"]);
        assert_eq!(candidates("./a", "/bin"), ["./a"]);
        assert_eq!(candidates("/x/a", "/bin"), ["/x/a"]);
    }
}
