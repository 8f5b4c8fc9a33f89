//! `caution apps rollback`: an earlier release in the place of what runs.

use super::{Picked, follow::follow};
use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link};
use caution_api::{App, Job, JobCreate, JobPhase};

/// Arguments of `caution apps rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// To this release; to the one before the live one when absent.
    #[arg(long, value_name = "NUMBER")]
    to: Option<i64>,
    #[command(flatten)]
    picked: Picked,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.picked.app.as_deref())?;
    let number = match args.to {
        Some(number) => number,
        None => before_live(&platform, &app)?,
    };
    let asked = JobCreate { commit: None, release: Some(number) };
    let job: Job = platform.send(&format!("/v1/apps/{}/jobs", app.id), &asked)?;
    follow(context, &platform, &app, job)
}

/// The release that was live before the one that is.
fn before_live(platform: &Platform, app: &App) -> Result<i64, CliError> {
    let jobs: Vec<Job> = platform.all(&format!("/v1/apps/{}/jobs", app.id))?;
    let earlier = jobs
        .iter()
        .filter(|job| matches!(job.phase, JobPhase::Replaced | JobPhase::Stopped))
        .filter_map(|job| job.release)
        .find(|number| Some(*number) != app.live_release);
    earlier.ok_or_else(|| {
        CliError::new(Exit::Other, format!("No other release of {} served before.", app.name))
            .hint("caution apps releases      (then: caution apps rollback --to NUMBER)")
    })
}
