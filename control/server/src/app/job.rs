//! Builds, deployments, and ends.

use super::access::Caller;
use super::app::{note, queue};
use super::{Refused, not_found, page, paged};
use crate::job::phase::{Kind, Phase};
use crate::store::job::{self, Work};
use crate::store::{AppId, app, release};
use caution_api::{ErrorCode, Failure, Job, JobCreate, JobKind, JobPhase, Page, PageQuery, Problem};
use sqlx::AnyConnection;

/// An app's jobs, the last first.
pub async fn list(db: &mut AnyConnection, app: AppId, query: &PageQuery) -> Result<Page<Job>, Refused> {
    let (limit, before) = page::<i64>(query)?;
    let found = job::shown(db, app, before, limit + 1).await?;
    Ok(paged(found, limit, |shown| shown.job.number.to_string(), wire))
}

/// Asks for a build of a commit that was pushed, or for the deployment of a release.
pub async fn create(
    db: &mut AnyConnection,
    caller: &Caller,
    app: &app::App,
    asked: &JobCreate,
) -> Result<Job, Refused> {
    let (work, detail) = match (&asked.commit, asked.release) {
        (Some(commit), None) => (Work::Build(commit_id(commit)?), format!("build {commit}")),
        (None, Some(number)) => {
            let found = release::numbered(&mut *db, app.id, number).await?;
            let found = found.ok_or_else(|| not_found("release"))?;
            (Work::Deploy(found.id), format!("deploy release {number}"))
        }
        _ => {
            let text = "A job has either a `commit` to build or a `release` to deploy.";
            return Err(Problem::new(ErrorCode::InvalidRequest, text).into());
        }
    };
    note(&mut *db, caller, "job_create", app, &detail).await?;
    queue(db, caller, app.id, work).await
}

/// The job of this number.
pub async fn numbered(db: &mut AnyConnection, app: AppId, number: i64) -> Result<job::Job, Refused> {
    let before = number.checked_add(1).ok_or_else(|| not_found("job"))?;
    let found = job::list(db, app, Some(before), 1).await?.into_iter().next();
    Ok(found.filter(|job| job.number == number).ok_or_else(|| not_found("job"))?)
}

/// Says how far a job is.
pub async fn get(db: &mut AnyConnection, app: AppId, number: i64) -> Result<Job, Refused> {
    let before = number.checked_add(1).ok_or_else(|| not_found("job"))?;
    let found = job::shown(db, app, Some(before), 1).await?.into_iter().next();
    let found = found.filter(|shown| shown.job.number == number);
    Ok(found.map(wire).ok_or_else(|| not_found("job"))?)
}

/// Asks for the end of a job before its time.
pub async fn cancel(
    db: &mut AnyConnection,
    caller: &Caller,
    app: &app::App,
    number: i64,
) -> Result<Job, Refused> {
    let found = numbered(&mut *db, app.id, number).await?;
    if !job::cancel(&mut *db, found.id).await? {
        let text = format!("Job {number} is {}; there is nothing to call off.", found.phase);
        return Err(Problem::new(ErrorCode::Conflict, text).into());
    }
    note(&mut *db, caller, "job_cancel", app, &format!("job {number}")).await?;
    get(db, app.id, number).await
}

/// A job as it is on the wire.
fn wire(shown: job::Shown) -> Job {
    let job::Shown { job, release, made_by } = shown;
    let kind = job.work.kind();
    let commit = match job.work {
        Work::Build(commit) => Some(commit),
        Work::Deploy(_) | Work::Stop | Work::Destroy => None,
    };
    Job {
        id: job.id.uuid(),
        number: job.number,
        kind: wire_kind(kind),
        phase: wire_phase(job.phase),
        commit,
        release,
        made_by,
        cancel_requested: job.cancel_ms.is_some(),
        failure: job.failure.map(|why| Failure { message: why.message, fix: why.fix }),
        created_ms: job.created_ms,
        started_ms: job.started_ms,
        ended_ms: job.ended_ms,
    }
}

fn commit_id(text: &str) -> Result<String, Problem> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.len() == 40 && text.bytes().all(hex) {
        return Ok(text.to_owned());
    }
    let problem = Problem::new(ErrorCode::InvalidRequest, "`commit` must be 40 digits of 0-9 and a-f.");
    Err(problem.fix("git rev-parse HEAD"))
}

const fn wire_kind(kind: Kind) -> JobKind {
    match kind {
        Kind::Build => JobKind::Build,
        Kind::Deploy => JobKind::Deploy,
        Kind::Stop => JobKind::Stop,
        Kind::Destroy => JobKind::Destroy,
    }
}

const fn wire_phase(phase: Phase) -> JobPhase {
    match phase {
        Phase::Queued => JobPhase::Queued,
        Phase::Building => JobPhase::Building,
        Phase::Storing => JobPhase::Storing,
        Phase::Starting => JobPhase::Starting,
        Phase::Live => JobPhase::Live,
        Phase::Stopping => JobPhase::Stopping,
        Phase::Done => JobPhase::Done,
        Phase::Replaced => JobPhase::Replaced,
        Phase::Stopped => JobPhase::Stopped,
        Phase::Failed => JobPhase::Failed,
        Phase::Cancelled => JobPhase::Cancelled,
    }
}
