//! `caution down`: ends the platform on this machine, and the enclaves. What they keep stays.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{self, Platform};
use caution_api::Local;
use caution_host::HostError;
use caution_host::agent::AgentClient;
use std::fs::OpenOptions;
use std::process::Command;

/// Arguments of `caution down`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let Some((_, local)) = Platform::here(context)?.filter(|(platform, _)| platform.answers()) else {
        if context.terminal.json {
            context.terminal.json_result(&serde_json::json!({ "was_running": false, "enclaves": 0 }));
        } else {
            context.terminal.result("no platform runs\n");
        }
        return Ok(());
    };
    context
        .terminal
        .note("  ending the platform and the enclaves of this machine; `caution up` starts both again");
    end(context, &local)?;
    let enclaves = match AgentClient::new(&context.config.host_dirs()).drain() {
        Ok(enclaves) => enclaves,
        // Nothing of it runs.
        Err(HostError::AgentUnreachable { .. }) => 0,
        Err(error) => return Err(error.into()),
    };
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "was_running": true, "enclaves": enclaves }));
    } else {
        let what = match enclaves {
            0 => String::new(),
            1 => ", and 1 enclave with it".to_owned(),
            n => format!(", and {n} enclaves with it"),
        };
        context.terminal.result(&format!("the platform ended{what}\n"));
    }
    Ok(())
}

/// Asks it to end, and waits until it has let its data folder go.
fn end(context: &Context, local: &Local) -> Result<(), CliError> {
    let failed = |cause: String| CliError {
        causes: vec![cause],
        ..CliError::new(Exit::Other, format!("The platform (process {}) cannot be ended.", local.pid))
    };
    // It has just answered with the token that it wrote beside this number: the number is still its own.
    let asked = Command::new("kill").arg(local.pid.to_string()).output();
    let asked = asked.map_err(|e| failed(e.to_string()))?;
    if !asked.status.success() {
        return Err(failed(String::from_utf8_lossy(&asked.stderr).trim().to_owned()));
    }
    let path = platform::data(context).join("cautiond.lock");
    let lock = OpenOptions::new().write(true).open(&path).and_then(|file| file.lock());
    lock.map_err(|e| CliError::io("The platform's end cannot be awaited", &path, &e))
}
