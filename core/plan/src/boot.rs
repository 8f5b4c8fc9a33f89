//! The boot plan of an app.

use crate::ways::Ways;
use caution_abi::boot_plan::{App, BootPlan, BootPlanError, MAX_BYTES, Readiness, Restart, RestartPolicy};
use caution_appspec::{AppSpec, Command, EndToEnd, EnvValue};
use std::collections::BTreeMap;

/// An app that listens on no port of its own by then counts as broken. A deployment waits this long
/// for a bad release, so it is short for people, and long for an interpreter that loads its
/// libraries under emulation.
const READINESS_TIMEOUT_S: u32 = 60;
/// A crash that five fresh starts do not cure is not cured by the sixth; the enclave then powers
/// off and says why, which a host can see and a crash loop hides.
const MAX_RESTARTS: u32 = 5;
/// The first pause: long enough for a port or lock of the dead process to be free again.
const BACKOFF_MS: u32 = 1_000;
/// The longest pause: with five doublings from one second the fifth is 16 s, so this is a bound
/// for other values of [`MAX_RESTARTS`], not a pause anybody waits for today.
const BACKOFF_MAX_MS: u32 = 30_000;
/// The longest command in a plan, in bytes of its JSON form. With the limits of `caution-appspec`
/// it keeps every manifest under [`caution_abi::manifest::MAX_BYTES`].
pub const MAX_COMMAND_BYTES: usize = 16 * 1024;

/// What the container image says about its process. Users and groups are numbers already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageProcess {
    /// ENTRYPOINT.
    pub entrypoint: Vec<String>,
    /// CMD.
    pub cmd: Vec<String>,
    /// ENV, each `NAME=value`; of a repeated name the last counts, as for container engines.
    pub env: Vec<String>,
    /// WORKDIR; empty where the image names none.
    pub working_dir: String,
    /// User id of USER.
    pub uid: u32,
    /// Its group id.
    pub gid: u32,
    /// Its supplementary groups, in any order.
    pub groups: Vec<u32>,
}

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Neither the configuration nor the image names a program.
    #[error("Nothing says which program to run.")]
    NoCommand,
    /// The program's name is empty.
    #[error("The program to run has an empty name.")]
    EmptyProgram,
    /// One file is to be packed, and the command runs another.
    #[error("`binary` packs `{binary}` of the image alone, and the command runs `{program}`.")]
    NotTheBinary {
        /// The file that is packed.
        binary: String,
        /// What the command runs.
        program: String,
    },
    /// The command does not fit the manifest.
    #[error("The command to run has {0} bytes, of at most {MAX_COMMAND_BYTES}.")]
    CommandTooLong(usize),
    /// The image's ENV holds something else than `NAME=value`.
    #[error("The image's environment holds `{0}`, which is not NAME=value.")]
    MalformedImageEnv(String),
    /// The configuration asks for something EnclaveOS does not do yet. Callers refuse it earlier,
    /// with line and column; here it makes sure that nobody forgets.
    #[error("The configuration asks for {0}, which is not supported yet.")]
    NotSupportedYet(&'static str),
    /// The plan has more bytes than EnclaveOS reads.
    #[error("The boot plan has {0} bytes, of at most {MAX_BYTES}.")]
    TooLong(usize),
    /// A value no process can have, such as a NUL byte in an argument.
    #[error("The image cannot be started as it asks.")]
    Inconsistent(#[from] BootPlanError),
}

impl PlanError {
    /// What the user can do.
    pub fn fix(&self) -> Option<String> {
        let text = match self {
            Self::NoCommand | Self::EmptyProgram => {
                "add `run:` to the Procfile (`command` to caution.hcl), or ENTRYPOINT to the Containerfile"
            }
            Self::NotTheBinary { .. } => "run that file, or remove `binary`",
            Self::CommandTooLong(_) => "put the command into a script of the image and run that",
            Self::MalformedImageEnv(_) => "write `ENV NAME=value` in the Containerfile",
            Self::NotSupportedYet(_) => "take it out of the configuration",
            Self::TooLong(_) => "shorten the environment: values of many KiB belong into a file of the image",
            Self::Inconsistent(_) => return None,
        };
        Some(text.into())
    }
}

/// The boot plan of `spec` on an image.
///
/// The configuration's command replaces ENTRYPOINT and CMD both; its environment wins over the
/// image's. With `binary` the root holds that file alone: it is what runs when nobody names a command,
/// and the working directory is `/`. Restart policy and readiness are the constants of this module.
pub fn boot_plan(spec: &AppSpec, image: &ImageProcess) -> Result<BootPlan, PlanError> {
    refuse_unsupported(spec)?;
    let argv = argv(spec, image)?;
    let Ways { ports, http_port, e2e } = Ways::of(&spec.network);
    // The app's own port, behind encryption too: whether it is ready is the app's matter.
    let own = spec.network.http.as_ref().map(|http| http.port);
    let readiness = match own.or(ports.first().copied()) {
        Some(port) => Readiness::Tcp { port, timeout_s: READINESS_TIMEOUT_S },
        None => Readiness::Started,
    };
    let mut groups = image.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    let plan = BootPlan {
        version: BootPlan::VERSION,
        app: App {
            argv,
            env: environment(spec, image)?,
            cwd: if spec.build.binary.is_some() { "/".to_owned() } else { absolute(&image.working_dir) },
            uid: image.uid,
            gid: image.gid,
            groups,
        },
        ports,
        http_port,
        egress: spec.network.egress.iter().copied().collect(),
        e2e,
        readiness,
        restart: Restart {
            policy: RestartPolicy::OnFailure,
            max_restarts: MAX_RESTARTS,
            backoff_ms: BACKOFF_MS,
            backoff_max_ms: BACKOFF_MAX_MS,
        },
        logs: spec.logs,
    };
    plan.check()?;
    let bytes = plan.to_bytes().len();
    if bytes > MAX_BYTES { Err(PlanError::TooLong(bytes)) } else { Ok(plan) }
}

/// The command where the configuration alone decides it.
pub(crate) fn configured_argv(spec: &AppSpec) -> Option<Vec<String>> {
    spec.command.as_ref().map(|command| match command {
        Command::Argv(argv) => argv.clone(),
        Command::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
    })
}

fn argv(spec: &AppSpec, image: &ImageProcess) -> Result<Vec<String>, PlanError> {
    let from_image = || image.entrypoint.iter().chain(&image.cmd).cloned().collect();
    let mut argv: Vec<String> = configured_argv(spec).unwrap_or_else(from_image);
    if let Some(binary) = &spec.build.binary {
        match argv.first() {
            None => argv.push(binary.clone()),
            Some(program) if program == binary => {}
            Some(program) => {
                let program = program.escape_debug().to_string();
                return Err(PlanError::NotTheBinary { binary: binary.clone(), program });
            }
        }
    }
    match argv.first() {
        None => return Err(PlanError::NoCommand),
        Some(program) if program.is_empty() => return Err(PlanError::EmptyProgram),
        Some(_) => {}
    }
    let bytes: usize = argv.iter().map(|argument| json_line(argument)).sum();
    if bytes > MAX_COMMAND_BYTES { Err(PlanError::CommandTooLong(bytes)) } else { Ok(argv) }
}

/// The bytes of one line of a JSON list: indent, quotes, escapes, comma, line end.
fn json_line(text: &str) -> usize {
    let escaped = |c: char| match c {
        '"' | '\\' => 2,
        c if c.is_ascii_control() => 6,
        c => c.len_utf8(),
    };
    text.chars().map(escaped).sum::<usize>() + 8
}

fn environment(spec: &AppSpec, image: &ImageProcess) -> Result<BTreeMap<String, String>, PlanError> {
    let mut env = BTreeMap::new();
    for entry in &image.env {
        match entry.split_once('=') {
            Some((name, value)) if !name.is_empty() => env.insert(name.to_owned(), value.to_owned()),
            _ => return Err(PlanError::MalformedImageEnv(entry.escape_debug().to_string())),
        };
    }
    for (name, value) in &spec.env {
        match value {
            EnvValue::Literal(text) => env.insert(name.clone(), text.clone()),
            EnvValue::Vault(_) => return Err(PlanError::NotSupportedYet("a secret (env::vault)")),
        };
    }
    Ok(env)
}

/// What would change how the app runs or who reaches it, and cannot be in a plan of version 1.
fn refuse_unsupported(spec: &AppSpec) -> Result<(), PlanError> {
    let http = spec.network.http.as_ref();
    let asked = [
        (spec.locksmith, "secrets (locksmith)"),
        (http.is_some_and(|http| http.e2e == Some(EndToEnd::Tls)), "end-to-end encryption by TLS"),
    ];
    match asked.iter().find(|(wanted, _)| *wanted) {
        Some((_, what)) => Err(PlanError::NotSupportedYet(what)),
        None => Ok(()),
    }
}

/// A working directory as an absolute path without `.`, `..` and doubled slashes. Relative ones are
/// relative to the root, where every container starts; `..` there stays there.
fn absolute(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}
