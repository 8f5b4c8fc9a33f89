//! A job, watched to its end.

use super::kind;
use crate::Context;
use crate::error::{CliError, Exit};
use crate::platform::{Platform, link};
use caution_api::{App, Job, JobKind, JobPhase};
use caution_appspec::printable;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// Shows what a job says until it has ended, and then what follows from it; the exit code says how that went.
pub(super) fn follow(context: &Context, platform: &Platform, app: &App, job: Job) -> Result<u8, CliError> {
    let mut job = job;
    loop {
        context.terminal.note(&format!("  job {} of {}: {}", job.number, app.name, kind(job.kind)));
        let path = format!("/v1/apps/{}/jobs/{}", app.id, job.number);
        let log = platform.stream(&format!("{path}/log?follow=true"))?;
        for line in BufReader::new(log).lines() {
            let line = line.map_err(|e| CliError::io("The log broke off", Path::new(&path), &e))?;
            context.terminal.note(&format!("  {}", printable(&line)));
        }
        job = match platform.get(&path) {
            // The last thing that a destruction removes is itself.
            Err(error) if job.kind == JobKind::Destroy && error.exit == Exit::NotFound => {
                link::forget(&app.id.to_string())?;
                return ended(context, app, None);
            }
            got => got?,
        };
        if !job.phase.has_ended() {
            let text = format!("Job {} of {} goes on, and is not watched any more.", job.number, app.name);
            return Err(CliError::new(Exit::Unreachable, text).hint("caution up\ncaution apps events"));
        }
        let deployment = match (job.kind, job.phase, job.release) {
            (JobKind::Build, JobPhase::Done, Some(_)) => deployment_of(platform, app, &job)?,
            _ => None,
        };
        match deployment {
            Some(next) => job = next,
            None => return ended(context, app, Some(&job)),
        }
    }
}

/// The deployment that a build queued.
fn deployment_of(platform: &Platform, app: &App, build: &Job) -> Result<Option<Job>, CliError> {
    let jobs: Vec<Job> = platform.all(&format!("/v1/apps/{}/jobs", app.id))?;
    let of_it =
        |job: &&Job| job.kind == JobKind::Deploy && job.number > build.number && job.release == build.release;
    Ok(jobs.iter().rev().find(of_it).cloned())
}

fn ended(context: &Context, app: &App, job: Option<&Job>) -> Result<u8, CliError> {
    if let Some(job) = job.filter(|job| matches!(job.phase, JobPhase::Failed | JobPhase::Cancelled)) {
        let why = job.failure.clone();
        let message = match &why {
            Some(why) => why.message.clone(),
            None => format!("Job {} of {} was called off.", job.number, app.name),
        };
        return Err(CliError {
            hint: why.and_then(|why| why.fix),
            ..CliError::new(Exit::JobFailed, message)
        });
    }
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "app": app.id, "job": job }));
        return Ok(0);
    }
    let text = match job {
        None => format!("{} is destroyed\n", app.name),
        Some(Job { kind: JobKind::Stop, .. }) => {
            format!("{} is stopped; `caution apps start` runs it again\n", app.name)
        }
        Some(Job { release: Some(number), .. }) => format!("release {number} of {} serves\n", app.name),
        Some(_) => format!("{}: done\n", app.name),
    };
    context.terminal.result(&text);
    Ok(0)
}
