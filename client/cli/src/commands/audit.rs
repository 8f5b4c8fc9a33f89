//! `caution audit`: who changed what in an organisation.

use crate::Context;
use crate::commands::apps::remote::when;
use crate::error::CliError;
use crate::platform::{Platform, organisation};
use caution_api::{AuditLine, Page};
use caution_appspec::printable;

/// Arguments of `caution audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The organisation's name or id; yours when you belong to one.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// How many of the last changes; all of them with `--all`.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
    last: u32,
    /// All changes that are kept.
    #[arg(long, conflicts_with = "last")]
    all: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let organisation = organisation::pick(&platform, args.organisation.as_deref())?;
    let path = format!("/v1/organisations/{}/audit", organisation.organisation);
    let mut lines: Vec<AuditLine> = if args.all {
        platform.all(&path)?
    } else {
        platform.get::<Page<AuditLine>>(&format!("{path}?limit={}", args.last))?.items
    };
    lines.reverse();
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "lines": lines }));
        return Ok(());
    }
    for line in &lines {
        let text = format!(
            "{}  {:<14} {:<16} {}  {}",
            when(line.created_ms),
            printable(&line.by_means_of),
            printable(&line.action),
            printable(&line.target),
            printable(&line.detail)
        );
        if !context.terminal.one_of_many(&format!("{}\n", text.trim_end())) {
            return Ok(());
        }
    }
    Ok(())
}
