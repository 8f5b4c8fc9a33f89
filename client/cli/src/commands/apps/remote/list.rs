//! `caution apps list`: the apps of the platform.

use super::state;
use crate::Context;
use crate::error::CliError;
use crate::platform::Platform;
use caution_api::App;
use caution_appspec::printable;
use std::fmt::Write as _;

/// Arguments of `caution apps list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let apps: Vec<App> = Platform::required(context)?.all("/v1/apps")?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "apps": apps }));
        return Ok(());
    }
    if apps.is_empty() {
        context
            .terminal
            .note("The platform has no apps.\n\nnext: caution init      (in the checkout of an application)");
    }
    let mut text = String::new();
    for app in &apps {
        let release = app.live_release.map_or_else(String::new, |number| format!("release {number}"));
        let url = app.url.as_deref().unwrap_or_default();
        let _ = writeln!(text, "{:<24} {:<10} {release:<12} {}", app.name, state(app.state), printable(url));
    }
    context.terminal.result(&text);
    Ok(())
}
