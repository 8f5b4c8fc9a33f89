//! `caution apps jobs`: builds, deployments and ends of an app.

use super::{Picked, kind, when};
use crate::Context;
use crate::error::CliError;
use crate::platform::{Platform, link};
use caution_api::{Job, JobPhase, Page};
use caution_appspec::printable;
use std::fmt::Write as _;

pub(crate) fn run(context: &Context, args: &Picked) -> Result<(), CliError> {
    let platform = Platform::required(context)?;
    let app = link::pick(&platform, args.app.as_deref())?;
    let jobs: Page<Job> = platform.get(&format!("/v1/apps/{}/jobs?limit={LAST}", app.id))?;
    if context.terminal.json {
        context.terminal.json_result(&serde_json::json!({ "jobs": jobs.items }));
        return Ok(());
    }
    let mut text = String::new();
    for job in &jobs.items {
        let of = match (job.release, &job.commit) {
            (Some(release), _) => format!("release {release}"),
            (None, Some(commit)) => format!("commit {}", commit.chars().take(7).collect::<String>()),
            (None, None) => String::new(),
        };
        let why = job.failure.as_ref().map_or_else(String::new, |why| printable(&why.message));
        let line = format!(
            "{:>5}  {}  {:<11} {:<9} {of:<14} {why}",
            job.number,
            when(job.created_ms),
            kind(job.kind),
            phase(job.phase),
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    context.terminal.result(&text);
    Ok(())
}

const fn phase(phase: JobPhase) -> &'static str {
    match phase {
        JobPhase::Queued => "queued",
        JobPhase::Building => "building",
        JobPhase::Storing => "storing",
        JobPhase::Starting => "starting",
        JobPhase::Stopping => "stopping",
        JobPhase::Done => "done",
        JobPhase::Live => "live",
        JobPhase::Replaced => "replaced",
        JobPhase::Stopped => "stopped",
        JobPhase::Failed => "failed",
        JobPhase::Cancelled => "cancelled",
    }
}

/// As many as the API gives at once: the last ones.
const LAST: u32 = 100;
