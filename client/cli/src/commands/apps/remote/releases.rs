//! `caution apps releases`: what the platform built of an app.

use super::{Picked, when};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::Release;
use caution_appspec::printable;
use std::fmt::Write as _;

pub(crate) fn run(context: &Context, args: &Picked) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.app.as_deref())?;
    let releases: Vec<Release> = platform.all(&format!("/v1/apps/{}/releases", app.id))?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "releases": releases }));
        return Ok(());
    }
    let mut text = String::new();
    for release in &releases {
        let marked = if release.live { "live" } else { "" };
        let commit: String = release.commit.chars().take(7).collect();
        let line = format!(
            "{:>5}  {commit}  PCR2 {}…  {}  {:<12} {marked}",
            release.number,
            release.pcr2.chars().take(8).collect::<String>(),
            when(release.created_ms),
            printable(&release.made_by),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    context.terminal.result(&text);
    Ok(())
}
