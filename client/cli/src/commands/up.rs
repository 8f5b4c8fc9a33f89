//! `caution up`: the platform on this machine, and this user known to it.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::files::read_stream_limited;
use crate::platform::{self, Platform, login, ssh};
use caution_api::Local;
use caution_host::agent::{AgentClient, AppState};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Arguments of `caution up`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let began = Instant::now();
    let running = Platform::here(context)?.filter(|(platform, _)| platform.answers());
    let was_running = running.is_some();
    let (platform, local) = match running {
        Some(running) => running,
        None => start(context)?,
    };
    ssh::prepare(context, &platform, &ssh::Server::here(&local))?;
    let again = agent(context)?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({
            "api": local.api,
            "git": local.git.to_string(),
            "started": !was_running,
            "starting_again": again,
        }));
        return Ok(());
    }
    if let Some((other, _)) = login::kept(context)? {
        let text = format!("You are logged in at {}: that is what commands ask.", other.api());
        context.terminal.warning(&text, Some("caution logout      (then they ask this machine's platform)"));
    }
    if was_running {
        context.terminal.note("The platform runs already.");
    } else {
        context.terminal.step("platform", "cautiond serves; this user is known to it", began.elapsed());
    }
    context.terminal.result(&format!("  API         {}\n  git         {}\n", local.api, local.git));
    let next = if again.is_empty() {
        "\nnext: caution init      (in the checkout of an application)".to_owned()
    } else {
        format!("\nstarting again: {}\nnext: caution apps list", again.join(", "))
    };
    context.terminal.note(&next);
    Ok(())
}

/// An agent that was ended with the platform starts again what it kept: the names of those that do not run yet.
fn agent(context: &Context) -> Result<Vec<String>, CliError> {
    let agent = AgentClient::new(&context.config.host_dirs());
    agent.ingress()?;
    let mut apps = agent.list()?;
    apps.retain(|app| !matches!(app.state, AppState::Running | AppState::Ended));
    Ok(apps.into_iter().map(|app| app.name).collect())
}

/// Starts cautiond on its own, and waits until it says that it serves.
fn start(context: &Context) -> Result<(Platform, Local), CliError> {
    let data = platform::data(context);
    fs::create_dir_all(&data).map_err(|e| CliError::io("The data folder cannot be created", &data, &e))?;
    let log = data.join("cautiond.log");
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
    let mut file = opened.map_err(|e| CliError::io("The log cannot be opened", &log, &e))?;
    let said_before = file.seek(SeekFrom::End(0)).unwrap_or_default();
    let binary = binary()?;
    let dirs = context.config.host_dirs();
    context.terminal.begin("platform");
    let started = Command::new(&binary)
        .arg("serve")
        .env("CAUTIOND_DATA", &data)
        .env("CAUTIOND_HOST_STATE", &dirs.state)
        .env("CAUTIOND_HOST_RUNTIME", &dirs.runtime)
        .env("CAUTIOND_HOST_CACHE", &dirs.cache)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .current_dir("/")
        // Ctrl-C in this terminal is not meant for it.
        .process_group(0)
        .spawn();
    let mut child = started.map_err(|e| CliError::io("The platform cannot be started", &binary, &e))?;
    let mut line = String::new();
    if let Some(said) = child.stdout.take() {
        // It says one line when it serves, and nothing when it ends before.
        let _ = BufReader::new(said.take(4096)).read_line(&mut line);
    }
    if line.is_empty() {
        let ended = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        return Err(CliError {
            causes: vec![last_words(&log, said_before).unwrap_or(ended)],
            ..CliError::new(Exit::Other, "The platform ended before it served.")
                .hint(format!("see {}", log.display()))
        });
    }
    Platform::here(context)?
        .ok_or_else(|| CliError::new(Exit::Other, "The platform serves and does not say where."))
}

/// What it wrote since it was started.
fn last_words(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    file.seek(SeekFrom::Start(from)).ok()?;
    let bytes = read_stream_limited(file, 16 * 1024).ok()??;
    let text = String::from_utf8_lossy(&bytes).trim().trim_start_matches("error: ").to_owned();
    (!text.is_empty()).then_some(text)
}

/// cautiond stands beside this command.
fn binary() -> Result<PathBuf, CliError> {
    let own = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("cautiond")));
    own.filter(|path| path.is_file()).ok_or_else(|| {
        CliError::new(Exit::Other, "`cautiond` is not beside this command.")
            .hint("make build      (builds both into target/release)")
    })
}
