//! `caution logout`: this user no longer known to a platform on another machine.

use crate::Context;
use crate::error::CliError;
use crate::platform::login;
use caution_appspec::printable;

/// Arguments of `caution logout`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let Some((platform, token)) = login::kept(context)? else {
        if context.terminal.json {
            context.terminal.json_result(&serde_json::json!({ "was_logged_in": false }));
        } else {
            context.terminal.result("not logged in anywhere\n");
        }
        return Ok(());
    };
    let revoked = platform.remove(&format!("/v1/me/tokens/{token}"));
    // Whatever the platform says, nothing of it stays here.
    login::forget(context)?;
    if let Err(error) = &revoked {
        let text = format!("The token was not revoked: {}", error.summary());
        context.terminal.warning(&text, Some("remove it in the platform's pages, or let it end"));
    }
    if context.terminal.json {
        let shown =
            serde_json::json!({ "was_logged_in": true, "api": platform.api(), "revoked": revoked.is_ok() });
        context.terminal.json_result(&shown);
    } else {
        context.terminal.result(&format!("logged out of {}\n", printable(platform.api())));
    }
    Ok(())
}
