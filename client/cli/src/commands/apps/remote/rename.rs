//! `caution apps rename`: another name, at the same address.

use super::Picked;
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::{App, AppRename};

/// Arguments of `caution apps rename`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its new name.
    name: String,
    #[command(flatten)]
    picked: Picked,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.picked.app.as_deref())?;
    let new: App = platform.patch(&format!("/v1/apps/{}", app.id), &AppRename { name: args.name.clone() })?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "app": new }));
    } else {
        context.terminal.result(&format!("{} is now {}; its address stays\n", app.name, new.name));
    }
    Ok(())
}
