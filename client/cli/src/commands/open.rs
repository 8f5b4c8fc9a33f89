//! `caution open`: an app in the browser.

use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link};
use std::process::{Command, Stdio};

/// Arguments of `caution open`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name or id of an app of the platform; the one that this checkout is linked to when absent.
    app: Option<String>,
    /// Say the address, and open nothing.
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.app.as_deref())?;
    let url = app.url.ok_or_else(|| {
        CliError::new(Exit::Unreachable, format!("{} has no address: nothing of it serves HTTPS.", app.name))
            .hint("caution apps get")
    })?;
    // It goes to another program as an argument, and is to be nothing but an address there.
    if !url.starts_with("https://") {
        return Err(CliError::new(Exit::Other, format!("`{url}` is no address of a page.")));
    }
    if !args.print {
        browser(&url)?;
    }
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "url": url }));
    } else {
        context.terminal.result(&format!("{}\n", caution_appspec::printable(&url)));
    }
    Ok(())
}

fn browser(url: &str) -> Result<(), CliError> {
    let mut opened = Command::new("xdg-open");
    opened.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let failed = |cause: String| CliError {
        causes: vec![cause],
        ..CliError::new(Exit::Other, format!("No browser was opened for {url}."))
            .hint("caution open --print      (and open it yourself)")
    };
    match opened.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("`xdg-open` ended with {status}"))),
        Err(cause) => Err(failed(format!("`xdg-open`: {cause}"))),
    }
}
