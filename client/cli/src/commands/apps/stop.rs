//! `caution apps stop`: end an enclave on this machine.

use crate::Context;
use crate::commands::apps::logs::pick;
use crate::error::CliError;

/// Arguments of `caution apps stop`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id; the one of this checkout when absent.
    app: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let dirs = context.config.host_dirs();
    let record = pick(&dirs, args.app.as_deref())?;
    caution_host::stop(&dirs, &record.id)?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "stopped": record.id, "name": record.name }));
    } else {
        context.terminal.result(&format!("stopped {} ({})\n", record.name, record.id));
    }
    Ok(())
}
