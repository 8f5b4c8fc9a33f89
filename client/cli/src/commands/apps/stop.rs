//! `caution apps stop`: end an app of the platform, or an enclave on this machine.

use crate::Context;
use crate::commands::apps::pick::{checkout_name, pick};
use crate::commands::apps::remote;
use crate::error::CliError;
use crate::platform::link;
use caution_host::Dirs;
use caution_host::agent::{AgentClient, AppState, AppStatus};

/// Arguments of `caution apps stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id of an enclave on this machine; when absent the app that this checkout is linked to, where a platform
    /// knows it, else the enclave of this checkout.
    app: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    if args.app.is_none()
        && let Some((platform, app)) = link::of_this_checkout(context)
    {
        return remote::stop::run(context, &platform, &app);
    }
    let (id, name) = stop(&context.config.host_dirs(), args.app.as_deref())?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "stopped": id, "name": name }));
    } else {
        let id = id.map_or_else(String::new, |id| format!(" ({id})"));
        context.terminal.result(&format!("stopped {name}{id}\n"));
    }
    Ok(0)
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
            let known = agent.list()?;
            let Some(app) = known.iter().find(|known| waits(known, name.as_deref())) else {
                return Err(error);
            };
            let (name, id) = agent.stop(&app.name)?;
            Ok((id, name))
        }
    }
}

/// Whether the app of this name is to run and does not at the moment. One that runs was asked for in a way that fits
/// several, or none.
fn waits(app: &AppStatus, name: Option<&str>) -> bool {
    Some(&*app.name) == name && app.state != AppState::Ended && app.id.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_app_without_an_enclave_is_stopped_by_its_name_alone() {
        let app = |state, id: Option<&str>| AppStatus {
            name: "hello".to_owned(),
            state,
            id: id.map(str::to_owned),
            phase: None,
            generation: 1,
            restarts: 0,
            exits: Vec::new(),
        };
        let waiting = app(AppState::BackingOff, None);
        assert!(waits(&waiting, Some("hello")) && waits(&app(AppState::Lost, None), Some("hello")));
        assert!(!waits(&waiting, Some("other")) && !waits(&waiting, None));
        assert!(!waits(&app(AppState::Running, Some("0123abcd")), Some("hello")));
        assert!(!waits(&app(AppState::Ended, None), Some("hello")));
    }
}
