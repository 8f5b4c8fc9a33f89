//! Building in a process of its own: it can be ended at any moment, and ends with the server.
//!
//! The server writes an [`Order`] as one line to its standard input, which stays open as long as somebody waits. It answers
//! in JSON lines; the last one says what came of it.

use crate::store::job::Failure;
use caution_build::git::{CommitId, Repository};
use caution_build::{BuildError, Progress, Request, Step};
use caution_measure::{Measurements, Sha256Digest};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The app's bare repository.
    pub repository: PathBuf,
    /// The commit.
    pub commit: String,
    /// The branch that it is deployed from, for the manifest.
    pub branch: String,
    /// The folder to fill, as `eif-stage`.
    pub output: PathBuf,
    /// Where EnclaveOS releases are, and what builds keep.
    pub cache: PathBuf,
}

/// What was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    /// The image.
    pub eif: PathBuf,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its length in bytes.
    pub size: u64,
    /// What it measures.
    pub measurements: Measurements,
    /// The version of EnclaveOS.
    pub enclaveos: String,
    /// The manifest's bytes.
    pub manifest: String,
}

/// A line of the builder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Say(String),
    Built(Box<Built>),
    Failed { message: String, fix: Option<String> },
}

/// The program that builds: this one, or another with the same manners.
#[derive(Debug, Clone)]
pub struct Builder {
    program: PathBuf,
    limit: Duration,
}

impl Builder {
    /// This very program, whose `internal build` is [`main`].
    pub fn this_program() -> Self {
        Self { program: PathBuf::from("/proc/self/exe"), limit: LIMIT }
    }

    /// Another program, and how long it may take.
    pub fn of(program: &Path, limit: Duration) -> Self {
        Self { program: program.to_owned(), limit }
    }

    /// Builds. Dropped before its end it ends the builder.
    pub(super) async fn build(
        &self,
        order: &Order,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Built, Failure> {
        let hours = self.limit.as_secs().div_ceil(60);
        match tokio::time::timeout(self.limit, self.run(order, say)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(cause)) => Err(broken(&cause.to_string())),
            Err(_) => Err(Failure {
                message: format!("The build took longer than {hours} minutes and was ended."),
                fix: Some("make it smaller: base images with the tools, fewer steps".to_owned()),
            }),
        }
    }

    async fn run(
        &self,
        order: &Order,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> io::Result<Result<Built, Failure>> {
        let mut command = Command::new(&self.program);
        command.args(["internal", "build"]).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn()?;
        let mut input = child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        input.write_all(&line).await?;
        let mut lines = BufReader::new(output.take(MAX_OUTPUT));
        let mut text = String::new();
        let mut outcome = None;
        while lines.read_line(&mut text).await? > 0 {
            match serde_json::from_str(&text)? {
                Line::Say(text) => say(&text),
                Line::Built(made) => outcome = Some(Ok(*made)),
                Line::Failed { message, fix } => outcome = Some(Err(Failure { message, fix })),
            }
            text.clear();
        }
        let status = child.wait().await?;
        drop(input);
        Ok(outcome.unwrap_or_else(|| Err(broken(&format!("it ended with {status} and said nothing")))))
    }
}

fn broken(why: &str) -> Failure {
    let message = format!("The builder failed: {why}.");
    Failure { message, fix: Some("caution apps deploy      (tries again)".to_owned()) }
}

/// `cautiond internal build`.
pub fn main() -> ExitCode {
    let mut line = String::new();
    let order = io::stdin().lock().read_line(&mut line).ok().and_then(|_| serde_json::from_str(&line).ok());
    let Some(order) = order else { return ExitCode::from(2) };
    // Nobody waits any more: what has begun ends with this process.
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        std::process::exit(1);
    });
    let last = match build(&order) {
        Ok(built) => Line::Built(Box::new(built)),
        Err(Failure { message, fix }) => Line::Failed { message, fix },
    };
    match put(&last) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn build(order: &Order) -> Result<Built, Failure> {
    let repo = Repository::bare(&order.repository).map_err(|e| failure(&e.into()))?;
    let commit: CommitId =
        order.commit.parse().map_err(|e: caution_build::git::GitError| failure(&e.into()))?;
    let release = caution_enclaveos::default_release(&order.cache).map_err(|e| Failure {
        message: chain(&e),
        fix: Some("caution enclaveos build      (on the server)".to_owned()),
    })?;
    let store = order.cache.join("parts");
    let built = caution_build::build(&Request {
        repo: &repo,
        commit: &commit,
        branch: Some(order.branch.clone()),
        release: &release,
        image: None,
        engine: None,
        no_cache: false,
        no_network: false,
        trial: None,
        strict: false,
        limits: caution_build::Limits::default(),
        signer: None,
        output: &order.output,
        store: Some(&store),
        progress: &|progress| say(&progress),
    })
    .map_err(|e| failure(&e))?;
    Ok(Built {
        eif: built.eif,
        sha256: built.sha256,
        size: built.size,
        measurements: built.measurements,
        enclaveos: release.reference().version,
        manifest: String::from_utf8_lossy(&built.manifest.to_bytes()).into_owned(),
    })
}

/// One line for each thing that happens; what cannot be told ends the build.
fn say(progress: &Progress<'_>) {
    let text = match progress {
        Progress::Started(_) => return,
        Progress::EngineLine(line) => format!("            {line}"),
        Progress::Note(line) => (*line).to_owned(),
        Progress::Warning { message, fix } => {
            let fix = fix.as_ref().map_or_else(String::new, |fix| format!("\n  fix: {fix}"));
            format!("warning: {message}{fix}")
        }
        Progress::Step { step, detail, elapsed } => {
            let word = match step {
                Step::Source => "source",
                Step::Container => "container",
                Step::Filesystem => "filesystem",
                Step::Image => "image",
            };
            format!("  {word:<10} {detail} · {:.1} s", elapsed.as_secs_f64())
        }
    };
    if put(&Line::Say(text)).is_err() {
        std::process::exit(1);
    }
}

fn put(line: &Line) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    io::stdout().lock().write_all(&bytes)
}

fn failure(error: &BuildError) -> Failure {
    Failure { message: chain(error), fix: error.fix() }
}

/// An error with its causes as one text.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str("\n  because: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// How long a build may take.
const LIMIT: Duration = Duration::from_hours(1);
/// How much a builder may say, in bytes.
const MAX_OUTPUT: u64 = 256 << 20;
