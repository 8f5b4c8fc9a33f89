//! `caution apps stop`: end an enclave on this machine.

use crate::Context;
use crate::commands::apps::logs::pick;
use crate::error::CliError;
use caution_host::Dirs;
use caution_host::agent::{AgentClient, AppState};

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
            let apps = agent.list()?;
            let waits = apps.iter().any(|known| Some(&*known.name) == app && known.state != AppState::Ended);
            let Some(app) = app.filter(|_| waits) else { return Err(error) };
            let (name, id) = agent.stop(app)?;
            Ok((id, name))
        }
    }
}
