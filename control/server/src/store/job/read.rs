//! Work as it is written down: one job, an app's, or all that are in some phase.

use super::{Job, of};
use crate::store::row::Columns;
use crate::store::{AppId, JobId, ReleaseId, StoreError};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A job with what people want to see of others beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The job.
    pub job: Job,
    /// The number of the release that it made, or deploys.
    pub release: Option<i64>,
    /// The name of who asked for it; the id of one that is gone.
    pub made_by: String,
}

/// The job of this id.
pub async fn find(db: &mut AnyConnection, id: JobId) -> Result<Option<Job>, StoreError> {
    let row = sqlx::query("SELECT * FROM job WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?;
    row.as_ref().map(of).transpose()
}

/// The deployment of an app that is live.
pub async fn live(db: &mut AnyConnection, app: AppId) -> Result<Option<Job>, StoreError> {
    let query = sqlx::query("SELECT * FROM job WHERE app_id = $1 AND phase = 'live'").bind(app.to_string());
    query.fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// The deployments that are live, of apps that have nothing to do.
pub async fn undisturbed(db: &mut AnyConnection) -> Result<Vec<Job>, StoreError> {
    let query = sqlx::query(
        "SELECT * FROM job j WHERE j.phase = 'live' AND NOT EXISTS (
             SELECT 1 FROM job o WHERE o.app_id = j.app_id
             AND o.phase IN ('queued', 'building', 'storing', 'starting', 'stopping'))
         ORDER BY j.created_ms",
    );
    query.fetch_all(db).await?.iter().map(of).collect()
}

/// What an app has to do, the last first.
pub async fn open(db: &mut AnyConnection, app: AppId) -> Result<Vec<Job>, StoreError> {
    let query = sqlx::query(
        "SELECT * FROM job WHERE app_id = $1
         AND phase IN ('queued', 'building', 'storing', 'starting', 'stopping') ORDER BY number DESC",
    );
    query.bind(app.to_string()).fetch_all(db).await?.iter().map(of).collect()
}

/// The deployment of an app that served last, whether or not it still does.
pub async fn served_last(db: &mut AnyConnection, app: AppId) -> Result<Option<Job>, StoreError> {
    let query = sqlx::query(
        "SELECT * FROM job WHERE app_id = $1 AND phase IN ('live', 'stopped') ORDER BY number DESC LIMIT 1",
    );
    query.bind(app.to_string()).fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// The last deployment of a release.
pub async fn deployment_of(db: &mut AnyConnection, release: ReleaseId) -> Result<Option<Job>, StoreError> {
    let query = sqlx::query("SELECT * FROM job WHERE release_id = $1 ORDER BY number DESC LIMIT 1");
    query.bind(release.to_string()).fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// Jobs of an app, newest first: up to `limit` before the number `before`.
pub async fn list(
    db: &mut AnyConnection,
    app: AppId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Job>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM job WHERE app_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3")
            .bind(app.to_string())
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?;
    rows.iter().map(of).collect()
}

/// The same, each with what is shown beside it: one question for a whole page.
pub async fn shown(
    db: &mut AnyConnection,
    app: AppId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Shown>, StoreError> {
    let rows = sqlx::query(
        "SELECT j.*, COALESCE(a.name, j.made_by) AS made_by_name, COALESCE(
             (SELECT d.number FROM app_release d WHERE d.id = j.release_id),
             (SELECT b.number FROM app_release b WHERE b.job_id = j.id)) AS release_number
         FROM job j LEFT JOIN account a ON a.id = j.made_by
         WHERE j.app_id = $1 AND j.number < $2 ORDER BY j.number DESC LIMIT $3",
    )
    .bind(app.to_string())
    .bind(before.unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    let shown = |row: &AnyRow| {
        let release = row.number_or_none("release_number")?;
        Ok(Shown { job: of(row)?, release, made_by: row.text("made_by_name")? })
    };
    rows.iter().map(shown).collect()
}

/// How many jobs are in which phase.
pub async fn count_by_phase(db: &mut AnyConnection) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query("SELECT phase, COUNT(*) AS n FROM job GROUP BY phase ORDER BY phase");
    let rows = rows.fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.text("phase")?, row.number("n")?))).collect()
}
