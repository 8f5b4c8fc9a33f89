//! `caution apps logs --job`: what a build or deployment said.

use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_appspec::printable;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

pub(crate) fn run(context: &Context, app: Option<&str>, job: i64, follow: bool) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, app)?;
    let path = format!("/v1/apps/{}/jobs/{job}/log?follow={follow}", app.id);
    let log = platform.stream(&path)?;
    for line in BufReader::new(log).lines() {
        let line = line.map_err(|e| CliError::io("The log broke off", Path::new(&path), &e))?;
        let read_on = if context.terminal.json {
            context.terminal.json_line(&serde_json::json!({ "line": line }))
        } else {
            context.terminal.one_of_many(&format!("{}\n", printable(&line)))
        };
        if !read_on {
            return Ok(());
        }
    }
    Ok(())
}
