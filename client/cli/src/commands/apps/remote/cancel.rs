//! `caution apps cancel`: a job ended before its time.

use super::{Picked, kind};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::{Job, JobPhase};

/// Arguments of `caution apps cancel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The job's number, as `caution apps jobs` shows it.
    job: i64,
    #[command(flatten)]
    picked: Picked,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.picked.app.as_deref())?;
    let job: Job = platform.post(&format!("/v1/apps/{}/jobs/{}/cancel", app.id, args.job))?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "job": job }));
        return Ok(());
    }
    let how = if job.phase == JobPhase::Cancelled { "is called off" } else { "was asked to end" };
    context.terminal.result(&format!("job {} of {}, a {}, {how}\n", job.number, app.name, kind(job.kind)));
    Ok(())
}
