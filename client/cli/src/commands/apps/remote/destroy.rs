//! `caution apps destroy`: the end of an app and of everything of it.

use super::{Picked, follow::follow};
use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link};
use caution_api::{App, Job};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

/// Arguments of `caution apps destroy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    picked: Picked,
    /// The app's name, in place of typing it when asked.
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.picked.app.as_deref())?;
    let confirm = match &args.confirm {
        Some(name) => name.clone(),
        None => typed(context, &app)?,
    };
    let path = format!("/v1/apps/{}?confirm={}", app.id, plain_name(&confirm)?);
    let job: Job = platform.delete(&path)?;
    follow(context, &platform, &app, job)
}

fn typed(context: &Context, app: &App) -> Result<String, CliError> {
    context.terminal.warning(
        &format!("This ends {} and removes its releases and its repository on the platform.", app.name),
        None,
    );
    context.terminal.note("Type its name to go on:");
    let mut line = String::new();
    let read = BufReader::new(std::io::stdin().take(200)).read_line(&mut line);
    read.map_err(|e| CliError::io("The name cannot be read", Path::new("stdin"), &e))?;
    Ok(line.trim().to_owned())
}

/// What can be a name stands in an address as it is.
fn plain_name(text: &str) -> Result<&str, CliError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !text.is_empty() && text.bytes().all(plain) {
        return Ok(text);
    }
    Err(CliError::new(Exit::Usage, "The name was not given: nothing was destroyed.")
        .hint("caution apps destroy --confirm NAME"))
}
