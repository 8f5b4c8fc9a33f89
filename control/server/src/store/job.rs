//! Work: builds, deployments and ends of apps, each held by a lease. `specs/platform.md` §5.
//!
//! What an app's job does waits for the app's earlier jobs. Every write of a job that runs names its lease, so that a
//! worker whose lease was taken over changes nothing.

mod read;

pub use read::{
    Shown, count_by_phase, deployment_of, find, list, live, open, served_last, shown, undisturbed,
};

use super::row::Columns;
use super::{AccountId, AppId, JobId, ReleaseId, StoreError};
use crate::clock::now_ms;
use crate::job::phase::{Event, Kind, Phase};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// Of which app.
    pub app: AppId,
    /// The order of the app's work. Work that is asked for has even numbers; what a build leads to comes right behind it.
    pub number: i64,
    /// What is to be done.
    pub work: Work,
    /// How far it is.
    pub phase: Phase,
    /// Who asked for it.
    pub made_by: AccountId,
    /// When.
    pub created_ms: i64,
    /// When it was begun, first.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// When somebody asked for its end.
    pub cancel_ms: Option<i64>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Build this commit.
    Build(String),
    /// Put this release in the place of what runs.
    Deploy(ReleaseId),
    /// End what runs.
    Stop,
    /// End what runs and remove the app.
    Destroy,
}

impl Work {
    /// What kind of job that is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Build(_) => Kind::Build,
            Self::Deploy(_) => Kind::Deploy,
            Self::Stop => Kind::Stop,
            Self::Destroy => Kind::Destroy,
        }
    }
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A sentence.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// Work that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Of which app.
    pub app: AppId,
    /// What is to be done.
    pub work: Work,
    /// Who asks.
    pub made_by: AccountId,
}

/// A job that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The job, as it was when it was taken.
    pub job: Job,
    /// What each write of the worker names.
    pub(super) lease: String,
}

/// How long a lease lasts when it is not renewed.
pub const LEASE_MS: i64 = 30_000;

/// Queues work behind what the app has to do already.
pub async fn queue(db: &mut AnyConnection, new: &NewJob) -> Result<Job, StoreError> {
    queue_as(db, JobId::new()?, new).await
}

/// The same under an id that is known already.
///
/// # Errors
/// - [`StoreError::Taken`] when the job is there
pub async fn queue_as(db: &mut AnyConnection, id: JobId, new: &NewJob) -> Result<Job, StoreError> {
    insert(db, id, new, None).await
}

/// Queues the deployment that a build leads to, before whatever was asked for after the build.
pub(super) async fn queue_deployment(
    db: &mut AnyConnection,
    build: &Job,
    release: ReleaseId,
) -> Result<Job, StoreError> {
    let new = NewJob { app: build.app, work: Work::Deploy(release), made_by: build.made_by };
    insert(db, JobId::new()?, &new, Some(build.number + 1)).await
}

async fn insert(
    db: &mut AnyConnection,
    id: JobId,
    new: &NewJob,
    number: Option<i64>,
) -> Result<Job, StoreError> {
    let (commit, release) = match &new.work {
        Work::Build(commit) => (Some(commit.clone()), None),
        Work::Deploy(release) => (None, Some(release.to_string())),
        Work::Stop | Work::Destroy => (None, None),
    };
    let row = sqlx::query(
        "INSERT INTO job (id, app_id, number, kind, phase, commit_id, release_id, made_by, created_ms)
         VALUES ($1, $2, COALESCE($3, (SELECT COALESCE(MAX(number), 0) / 2 * 2 + 2 FROM job WHERE app_id = $2)),
                 $4, $5, $6, $7, $8, $9)
         RETURNING *",
    )
    .bind(id.to_string())
    .bind(new.app.to_string())
    .bind(number)
    .bind(new.work.kind().word())
    .bind(Phase::Queued.word())
    .bind(commit)
    .bind(release)
    .bind(new.made_by.to_string())
    .bind(now_ms())
    .fetch_one(db)
    .await?;
    of(&row)
}

/// Takes the job that has waited longest and may run now: none of its app's earlier ones is open, nobody holds it, and
/// it is no build where `builds` are held already. What a worker left in the middle is taken before what is queued.
pub async fn take(db: &mut AnyConnection, builds: u32) -> Result<Option<Held>, StoreError> {
    take_other_than(db, &[], builds).await
}

/// The same, and none of those that the caller itself works on: their leases do not run out, whatever the clock says and
/// however long they could not be renewed.
pub async fn take_other_than(
    db: &mut AnyConnection,
    busy: &[JobId],
    builds: u32,
) -> Result<Option<Held>, StoreError> {
    let busy: String = busy.iter().map(|id| format!("{id} ")).collect();
    let lease = crate::clock::new_id().map_err(StoreError::Random)?.to_string();
    let now = now_ms();
    let begun = |kind: Kind| Phase::Queued.next(kind, Event::Taken).unwrap_or(Phase::Queued).word();
    let row = sqlx::query(
        "UPDATE job SET
             lease = $1, lease_ms = $2, started_ms = COALESCE(started_ms, $3),
             phase = CASE WHEN phase <> 'queued' THEN phase
                          WHEN kind = 'build' THEN $4 WHEN kind = 'deploy' THEN $5 ELSE $6 END
         WHERE id = (
             SELECT j.id FROM job j
             WHERE j.phase IN ('queued', 'building', 'storing', 'starting', 'stopping')
               AND (j.lease_ms IS NULL OR j.lease_ms < $3) AND $8 NOT LIKE '%' || j.id || '%'
               AND NOT EXISTS (
                   SELECT 1 FROM job e WHERE e.app_id = j.app_id AND e.number < j.number
                   AND e.phase IN ('queued', 'building', 'storing', 'starting', 'stopping'))
               AND (j.kind <> 'build' OR $7 > (
                   SELECT COUNT(*) FROM job b WHERE b.kind = 'build' AND (b.lease_ms >= $3 OR $8 LIKE '%' || b.id || '%')
                   AND b.phase IN ('building', 'storing')))
             ORDER BY CASE WHEN j.phase = 'queued' THEN 1 ELSE 0 END, j.created_ms, j.id LIMIT 1)
           AND phase IN ('queued', 'building', 'storing', 'starting', 'stopping')
           AND (lease_ms IS NULL OR lease_ms < $3)
         RETURNING *",
    )
    .bind(&lease)
    .bind(now + LEASE_MS)
    .bind(now)
    .bind(begun(Kind::Build))
    .bind(begun(Kind::Deploy))
    .bind(begun(Kind::Stop))
    .bind(i64::from(builds))
    .bind(busy)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(|row| Ok(Held { job: of(row)?, lease })).transpose()
}

/// Holds a job for longer. Returns whether somebody asked for its end meanwhile.
///
/// # Errors
/// - [`StoreError::LeaseLost`] when another worker has it
pub async fn renew(db: &mut AnyConnection, held: &Held) -> Result<bool, StoreError> {
    let row = sqlx::query("UPDATE job SET lease_ms = $3 WHERE id = $1 AND lease = $2 RETURNING cancel_ms")
        .bind(held.job.id.to_string())
        .bind(&held.lease)
        .bind(now_ms() + LEASE_MS)
        .fetch_optional(db)
        .await?
        .ok_or(StoreError::LeaseLost)?;
    Ok(row.number_or_none("cancel_ms")?.is_some())
}

/// Writes the phase down that follows an event, and lets the job go where it is the last one.
///
/// # Errors
/// - [`StoreError::LeaseLost`] when another worker has it
/// - [`StoreError::Phase`] when the event cannot happen
pub async fn advance(db: &mut AnyConnection, held: &Held, event: Event) -> Result<Phase, StoreError> {
    let row = sqlx::query("SELECT phase FROM job WHERE id = $1 AND lease = $2")
        .bind(held.job.id.to_string())
        .bind(&held.lease)
        .fetch_optional(&mut *db)
        .await?
        .ok_or(StoreError::LeaseLost)?;
    let before = phase(&row)?;
    let after = before.next(held.job.work.kind(), event).ok_or(StoreError::Phase { before, event })?;
    let ended = (!after.is_open()).then(now_ms);
    let done = sqlx::query(
        "UPDATE job SET phase = $4, ended_ms = $5,
             lease = CASE WHEN $5 IS NULL THEN lease END, lease_ms = CASE WHEN $5 IS NULL THEN lease_ms END
         WHERE id = $1 AND lease = $2 AND phase = $3",
    )
    .bind(held.job.id.to_string())
    .bind(&held.lease)
    .bind(before.word())
    .bind(after.word())
    .bind(ended)
    .execute(db)
    .await?;
    if done.rows_affected() == 1 { Ok(after) } else { Err(StoreError::LeaseLost) }
}

/// Hands `live` over to a deployment that serves: in one change with whatever else the caller writes.
pub async fn hand_over(db: &mut AnyConnection, held: &Held) -> Result<(), StoreError> {
    end_live(&mut *db, held.job.app, Event::Superseded).await?;
    advance(db, held, Event::Serves).await.map(drop)
}

/// Ends the deployment of an app that is live, if one is.
pub async fn end_live(db: &mut AnyConnection, app: AppId, event: Event) -> Result<(), StoreError> {
    let before = Phase::Live;
    let after = before.next(Kind::Deploy, event).ok_or(StoreError::Phase { before, event })?;
    sqlx::query("UPDATE job SET phase = $2, ended_ms = $3 WHERE app_id = $1 AND phase = 'live'")
        .bind(app.to_string())
        .bind(after.word())
        .bind(now_ms())
        .execute(db)
        .await?;
    Ok(())
}

/// Ends a job with the reason why.
pub async fn fail(db: &mut AnyConnection, held: &Held, why: &Failure) -> Result<(), StoreError> {
    sqlx::query("UPDATE job SET failure = $3, fix = $4 WHERE id = $1 AND lease = $2")
        .bind(held.job.id.to_string())
        .bind(&held.lease)
        .bind(&why.message)
        .bind(why.fix.as_deref())
        .execute(&mut *db)
        .await?;
    advance(db, held, Event::Failed).await.map(drop)
}

/// Calls a job off: at once where it waits, else by asking its worker, who may be past the point. False where it has ended.
pub async fn cancel(db: &mut AnyConnection, id: JobId) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE job SET cancel_ms = COALESCE(cancel_ms, $2),
             ended_ms = CASE WHEN phase = 'queued' THEN $2 END,
             phase = CASE WHEN phase = 'queued' THEN 'cancelled' ELSE phase END
         WHERE id = $1 AND kind <> 'destroy' AND phase IN ('queued', 'building', 'storing', 'starting', 'stopping')",
    )
    .bind(id.to_string())
    .bind(now_ms())
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Lets every job go: whoever held them ended, since only one process works in a data folder.
pub async fn forget_leases(db: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query("UPDATE job SET lease = NULL, lease_ms = NULL WHERE lease IS NOT NULL").execute(db).await?;
    Ok(())
}

/// Calls off everything that an app has to do: before it is destroyed.
pub async fn cancel_all(db: &mut AnyConnection, app: AppId) -> Result<(), StoreError> {
    for job in open(&mut *db, app).await? {
        cancel(&mut *db, job.id).await?;
    }
    Ok(())
}

fn phase(row: &AnyRow) -> Result<Phase, StoreError> {
    Phase::of(&row.text("phase")?).ok_or(StoreError::Column("phase"))
}

fn of(row: &AnyRow) -> Result<Job, StoreError> {
    let kind = Kind::of(&row.text("kind")?).ok_or(StoreError::Column("kind"))?;
    let work = match kind {
        Kind::Build => Work::Build(row.text("commit_id")?),
        Kind::Deploy => Work::Deploy(row.id("release_id")?),
        Kind::Stop => Work::Stop,
        Kind::Destroy => Work::Destroy,
    };
    let fix = row.text_or_none("fix")?;
    Ok(Job {
        id: row.id("id")?,
        app: row.id("app_id")?,
        number: row.number("number")?,
        work,
        phase: phase(row)?,
        made_by: row.id("made_by")?,
        created_ms: row.number("created_ms")?,
        started_ms: row.number_or_none("started_ms")?,
        ended_ms: row.number_or_none("ended_ms")?,
        failure: row.text_or_none("failure")?.map(|message| Failure { message, fix }),
        cancel_ms: row.number_or_none("cancel_ms")?,
    })
}
