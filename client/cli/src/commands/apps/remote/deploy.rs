//! `caution apps deploy`: a commit that was pushed, or a release, in the place of what runs.

use super::{Picked, follow::follow};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::{Job, JobCreate};
use caution_build::git::Repository;
use std::path::Path;

/// Arguments of `caution apps deploy`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    picked: Picked,
    /// Build and deploy this commit, which must have been pushed; HEAD when absent.
    #[arg(long, value_name = "REV", conflicts_with = "release")]
    commit: Option<String>,
    /// Deploy this release, without building.
    #[arg(long, value_name = "NUMBER")]
    release: Option<i64>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<u8, CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.picked.app.as_deref())?;
    let commit = if args.release.is_some() {
        None
    } else {
        let repo = Repository::discover(Path::new("."))?;
        Some(repo.resolve(args.commit.as_deref().unwrap_or("HEAD"))?.as_str().to_owned())
    };
    let asked = JobCreate { commit, release: args.release };
    let job: Job = platform.send(&format!("/v1/apps/{}/jobs", app.id), &asked)?;
    follow(context, &platform, &app, job)
}
