//! `caution apps stop` of an app of the platform.

use super::follow::follow;
use crate::Context;
use crate::error::CliError;
use crate::platform::Platform;
use caution_api::{App, Job};

pub(crate) fn run(context: &Context, platform: &Platform, app: &App) -> Result<u8, CliError> {
    let job: Job = platform.post(&format!("/v1/apps/{}/stop", app.id))?;
    follow(context, platform, app, job)
}
