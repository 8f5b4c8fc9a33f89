//! `caution apps events`: what happened to an app.

use super::{Picked, when};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::Event;
use caution_appspec::printable;

pub(crate) fn run(context: &Context, args: &Picked) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.app.as_deref())?;
    let mut events: Vec<Event> = platform.all(&format!("/v1/apps/{}/events", app.id))?;
    events.reverse();
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "events": events }));
        return Ok(());
    }
    for event in &events {
        let line = format!("{}  {:<10} {}\n", when(event.created_ms), event.kind, printable(&event.text));
        if !context.terminal.one_of_many(&line) {
            return Ok(());
        }
    }
    Ok(())
}
