//! `caution apps restart`: a fresh enclave in the place of the one that runs.

use super::{Picked, follow::follow};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::Job;

pub(crate) fn run(context: &Context, args: &Picked) -> Result<u8, CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.app.as_deref())?;
    let job: Job = platform.post(&format!("/v1/apps/{}/restart", app.id))?;
    follow(context, &platform, &app, job)
}
