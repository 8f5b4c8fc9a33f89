//! `caution apps start`: what was live when the app was stopped.

use super::{Picked, follow::follow};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::Job;

pub(crate) fn run(context: &Context, args: &Picked) -> Result<u8, CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.app.as_deref())?;
    let job: Job = platform.post(&format!("/v1/apps/{}/start", app.id))?;
    follow(context, &platform, &app, job)
}
