//! `caution apps ps`: the enclaves that run on this machine.

use crate::Context;
use crate::error::CliError;
use caution_abi::control::Phase;
use std::fmt::Write as _;

pub(crate) fn run(context: &Context) -> Result<(), CliError> {
    let records = caution_host::list(&context.config.host_dirs())?;
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

fn phase_word(phase: Option<Phase>) -> &'static str {
    match phase {
        None | Some(Phase::Booting) => "booting",
        Some(Phase::Starting) => "starting",
        Some(Phase::Ready) => "ready",
        Some(Phase::BackingOff) => "restarting",
        Some(Phase::Stopping) => "stopping",
    }
}
