//! `caution invite`: a link by which somebody becomes a member, once.

use crate::Context;
use crate::commands::apps::remote::when;
use crate::commands::members::{RoleName, word};
use crate::error::CliError;
use crate::platform::{Platform, organisation};
use caution_api::{InvitationCreate, InvitationMade};
use caution_appspec::printable;

/// Arguments of `caution invite`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As what they are to belong; not more than you.
    #[arg(long, default_value = "member")]
    role: RoleName,
    /// Days until the link ends, 1 to 7; 7 when absent.
    #[arg(long)]
    days: Option<u32>,
    /// The organisation's name or id; yours when you belong to one.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let of = organisation::pick(&platform, args.organisation.as_deref())?;
    let asked = InvitationCreate { role: args.role.into(), days: args.days };
    let path = format!("/v1/organisations/{}/invitations", of.organisation);
    let made: InvitationMade = platform.send(&path, &asked)?;
    if context.terminal.json {
        let shown = serde_json::json!({ "invitation": made.invitation, "link": made.link });
        context.terminal.json_result(&shown);
        return Ok(());
    }
    let until = when(made.invitation.expires_ms);
    let role = word(made.invitation.role);
    context
        .terminal
        .note(&format!("  whoever opens it first becomes {role}, until {until}; shown this once:"));
    context.terminal.result(&format!("{}\n", printable(&made.link)));
    Ok(())
}
