//! `caution apps stop`: end an enclave on this machine.

use crate::Context;
use crate::commands::apps::pick::{checkout_name, pick};
use crate::error::CliError;
use caution_host::Dirs;
use caution_host::agent::{AgentClient, AppState, AppStatus};

/// Arguments of `caution apps stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id; the one of this checkout when absent.
    app: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let (id, name) = stop(&context.config.host_dirs(), args.app.as_deref())?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "stopped": id, "name": name }));
    } else {
        let id = id.map_or_else(String::new, |id| format!(" ({id})"));
        context.terminal.result(&format!("stopped {name}{id}\n"));
    }
    Ok(())
}

/// Ends what runs, and what is to be started again.
fn stop(dirs: &Dirs, app: Option<&str>) -> Result<(Option<String>, String), CliError> {
    let agent = AgentClient::new(dirs);
    match pick(dirs, app) {
        Ok(record) if record.generation.is_some() => {
            let (name, id) = agent.stop(&record.id)?;
            Ok((id.or(Some(record.id)), name))
        }
        // Nobody but its terminal looks after it.
        Ok(record) => {
            caution_host::stop(dirs, &record.id)?;
            Ok((Some(record.id), record.name))
        }
        Err(error) => {
            let name = app.map(str::to_owned).or_else(checkout_name);
            // One whose enclave runs was asked for in a way that fits several.
            let waits = |known: &AppStatus| {
                Some(&known.name) == name.as_ref() && known.state != AppState::Ended && known.id.is_none()
            };
            let Some(app) = agent.list()?.into_iter().find(waits) else { return Err(error) };
            let (name, id) = agent.stop(&app.name)?;
            Ok((id, name))
        }
    }
}
