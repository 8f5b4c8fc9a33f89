//! `caution apps ps`: the enclaves that run on this machine.

use crate::Context;
use crate::error::CliError;
use caution_abi::control::Phase;
use caution_host::agent::{AgentClient, AppState, AppStatus};
use std::fmt::Write as _;

/// Arguments of `caution apps ps`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Every app that is known: what becomes of it, how often it was started again, and how it last ended.
    #[arg(long, short)]
    all: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let dirs = context.config.host_dirs();
    let records = caution_host::list(&dirs)?;
    if args.all {
        let apps = AgentClient::new(&dirs).list()?;
        show_all(context, &records, &apps);
        return Ok(());
    }
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "enclaves": records }));
        return Ok(());
    }
    if records.is_empty() {
        context.terminal.note("No enclave runs on this machine. Start one: caution apps run");
        return Ok(());
    }
    let mut text = format!("{:<10} {:<20} {:<12} {:<24} {}\n", "ID", "NAME", "PHASE", "PORTS", "ATTESTATION");
    for record in &records {
        let ports: Vec<String> =
            record.ports.iter().map(|(enclave, host)| format!("{host}→{enclave}")).collect();
        let debug = if record.debug { " (debug)" } else { "" };
        let _ = writeln!(
            text,
            "{:<10} {:<20} {:<12} {:<24} {}",
            record.id,
            record.name,
            format!("{}{debug}", phase_word(record.phase)),
            ports.join(" "),
            record.attestation_url
        );
    }
    context.terminal.result(&text);
    Ok(())
}

/// Apps of the agent, and the enclaves that nobody but their terminal looks after.
fn show_all(context: &Context, records: &[caution_host::Record], apps: &[AppStatus]) {
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "enclaves": records, "apps": apps }));
        return;
    }
    let mut text = format!("{:<20} {:<12} {:<10} {:>8}  {}\n", "NAME", "STATE", "ID", "RESTARTS", "LAST END");
    for app in apps {
        let last =
            app.exits.last().map_or_else(String::new, |exit| format!("{} ({})", exit.reason, exit.then));
        let state = match (app.state, app.phase) {
            (AppState::Running, phase) => phase_word(phase).to_owned(),
            (state, _) => state.to_string(),
        };
        let id = app.id.as_deref().unwrap_or("-");
        let last = caution_appspec::printable(&last);
        let _ = writeln!(text, "{:<20} {state:<12} {id:<10} {:>8}  {last}", app.name, app.restarts);
    }
    for record in records.iter().filter(|record| record.generation.is_none()) {
        let (name, state, id) = (&record.name, phase_word(record.phase), &record.id);
        let _ = writeln!(
            text,
            "{name:<20} {state:<12} {id:<10} {:>8}  not looked after: runs in a terminal",
            "-"
        );
    }
    context.terminal.result(&text);
}

fn phase_word(phase: Option<Phase>) -> &'static str {
    match phase {
        None | Some(Phase::Booting) => "booting",
        Some(Phase::Starting) => "starting",
        Some(Phase::Ready) => "ready",
        Some(Phase::BackingOff) => "restarting",
        Some(Phase::Stopping) => "stopping",
    }
}
