//! `caution apps get`: where an app answers, and what runs of it.

use super::{Picked, state};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use crate::terminal::shell_word;
use caution_api::{AppState, Release};
use caution_appspec::printable;
use caution_host::agent::{AgentClient, Reached};
use std::fmt::Write as _;
use std::path::PathBuf;

pub(crate) fn run(context: &Context, args: &Picked) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.app.as_deref())?;
    let release: Option<Release> = match app.live_release {
        Some(number) => Some(platform.get(&format!("/v1/apps/{}/releases/{number}", app.id))?),
        None => None,
    };
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "app": app, "release": release }));
        return Ok(());
    }
    let mut text = format!("{} · {}\n", app.name, state(app.state));
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<12} {}", printable(value));
    };
    if let Some(url) = &app.url {
        line("URL", url);
    }
    if let Some(url) = &app.attestation_url {
        line("attestation", url);
    }
    line("git", &app.git_url);
    line("deploys", &format!("branch {}", app.deploy_branch));
    line("id", &app.id.to_string());
    if let Some(release) = &release {
        line("release", &release.number.to_string());
        line("commit", &release.commit);
        line("EnclaveOS", &release.enclaveos);
        for (name, pcr) in [("PCR0", &release.pcr0), ("PCR1", &release.pcr1), ("PCR2", &release.pcr2)] {
            line(name, pcr);
        }
    }
    if let (Some(url), Some(root)) = (&app.url, local_root(context)) {
        let root = shell_word(&root.to_string_lossy());
        let _ = writeln!(text, "\ntry it: curl --cacert {root} {}", printable(url));
    }
    context.terminal.result(&text);
    let next = match app.state {
        AppState::Empty => "git push caution main",
        AppState::Live => "caution verify",
        AppState::Stopped => "caution apps start",
        AppState::Destroying => return Ok(()),
    };
    context.terminal.note(&format!("\nnext: {next}"));
    Ok(())
}

/// The certificate of this machine's own authority, where names of this machine are reached by it.
fn local_root(context: &Context) -> Option<PathBuf> {
    match AgentClient::new(&context.config.host_dirs()).ingress() {
        Ok(Reached::By(state)) => Some(state.local_root),
        _ => None,
    }
}
