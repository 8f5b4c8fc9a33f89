//! Releases: what a build made, never changed.

use super::job::{Held, Job};
use super::row::Columns;
use super::{AccountId, AppId, JobId, ReleaseId, StoreError, job};
use crate::clock::now_ms;
use crate::job::phase::Event;
use caution_measure::{Measurements, Sha256Digest};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Of which app.
    pub app: AppId,
    /// Counts in the app, from 1.
    pub number: i64,
    /// What it is made of.
    pub made: Made,
    /// Who asked for it.
    pub made_by: AccountId,
    /// When it was written down.
    pub created_ms: i64,
}

/// A release with what people want to see of others beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The release.
    pub release: Release,
    /// The name of who asked for it; the id of one that is gone.
    pub made_by: String,
    /// Whether it is what the app's traffic goes to.
    pub live: bool,
}

/// What a build made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Of which commit.
    pub commit: String,
    /// Digest of all that decides what is built.
    pub plan: Sha256Digest,
    /// Digest of the image.
    pub image: Sha256Digest,
    /// Its length in bytes.
    pub image_bytes: u64,
    /// What it measures.
    pub measurements: Measurements,
    /// The version of the EnclaveOS release it stands on.
    pub enclaveos: String,
    /// The manifest's bytes, which are JSON.
    pub manifest: String,
}

/// Writes the release of a build down, ends the build and queues its deployment.
///
/// # Errors
/// - [`StoreError::LeaseLost`] when another worker has the build
pub async fn write(db: &mut AnyConnection, held: &Held, made: &Made) -> Result<(Release, Job), StoreError> {
    let app = held.job.app;
    job::advance(&mut *db, held, Event::Stored).await?;
    let Measurements { pcr0, pcr1, pcr2 } = made.measurements;
    let row = sqlx::query(
        "INSERT INTO app_release (id, app_id, number, job_id, commit_id, plan_sha256, image_sha256, image_bytes,
                                  pcr0, pcr1, pcr2, enclaveos, manifest, made_by, created_ms)
         VALUES ($1, $2, (SELECT COALESCE(MAX(number), 0) + 1 FROM app_release WHERE app_id = $2),
                 $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         RETURNING *",
    )
    .bind(ReleaseId::new()?.to_string())
    .bind(app.to_string())
    .bind(held.job.id.to_string())
    .bind(&made.commit)
    .bind(made.plan.to_string())
    .bind(made.image.to_string())
    .bind(i64::try_from(made.image_bytes).map_err(|_| StoreError::Column("image_bytes"))?)
    .bind(pcr0.to_string())
    .bind(pcr1.to_string())
    .bind(pcr2.to_string())
    .bind(&made.enclaveos)
    .bind(&made.manifest)
    .bind(held.job.made_by.to_string())
    .bind(now_ms())
    .fetch_one(&mut *db)
    .await?;
    let release = of(&row)?;
    let deployment = job::queue_deployment(db, &held.job, release.id).await?;
    Ok((release, deployment))
}

/// The release of this id.
pub async fn find(db: &mut AnyConnection, id: ReleaseId) -> Result<Option<Release>, StoreError> {
    let query = sqlx::query("SELECT * FROM app_release WHERE id = $1").bind(id.to_string());
    query.fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// The release that a build made.
pub async fn of_build(db: &mut AnyConnection, build: JobId) -> Result<Option<Release>, StoreError> {
    let query = sqlx::query("SELECT * FROM app_release WHERE job_id = $1").bind(build.to_string());
    query.fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// The release of this number.
pub async fn numbered(
    db: &mut AnyConnection,
    app: AppId,
    number: i64,
) -> Result<Option<Release>, StoreError> {
    let query = sqlx::query("SELECT * FROM app_release WHERE app_id = $1 AND number = $2");
    query.bind(app.to_string()).bind(number).fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// The newest release of an app that was made by this plan.
pub async fn by_plan(
    db: &mut AnyConnection,
    app: AppId,
    plan: Sha256Digest,
) -> Result<Option<Release>, StoreError> {
    let query = sqlx::query(
        "SELECT * FROM app_release WHERE app_id = $1 AND plan_sha256 = $2 ORDER BY number DESC LIMIT 1",
    );
    query.bind(app.to_string()).bind(plan.to_string()).fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// Releases of an app, newest first: up to `limit` before the number `before`.
pub async fn list(
    db: &mut AnyConnection,
    app: AppId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Release>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM app_release WHERE app_id = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
    )
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
        "SELECT r.*, COALESCE(a.name, r.made_by) AS made_by_name, CASE WHEN EXISTS (
             SELECT 1 FROM job l WHERE l.app_id = r.app_id AND l.phase = 'live' AND l.release_id = r.id)
             THEN 1 ELSE 0 END AS is_live
         FROM app_release r LEFT JOIN account a ON a.id = r.made_by
         WHERE r.app_id = $1 AND r.number < $2 ORDER BY r.number DESC LIMIT $3",
    )
    .bind(app.to_string())
    .bind(before.unwrap_or(i64::MAX))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    let shown = |row: &AnyRow| {
        let (release, live) = (of(row)?, row.number("is_live")? != 0);
        Ok(Shown { release, made_by: row.text("made_by_name")?, live })
    };
    rows.iter().map(shown).collect()
}

/// Whether any release has this image.
pub async fn has_image(db: &mut AnyConnection, image: Sha256Digest) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT 1 AS n FROM app_release WHERE image_sha256 = $1 LIMIT 1");
    Ok(query.bind(image.to_string()).fetch_optional(db).await?.is_some())
}

fn of(row: &AnyRow) -> Result<Release, StoreError> {
    Ok(Release {
        id: row.id("id")?,
        app: row.id("app_id")?,
        number: row.number("number")?,
        made: Made {
            commit: row.text("commit_id")?,
            plan: row.id("plan_sha256")?,
            image: row.id("image_sha256")?,
            image_bytes: row
                .number("image_bytes")?
                .try_into()
                .map_err(|_| StoreError::Column("image_bytes"))?,
            measurements: Measurements {
                pcr0: row.id("pcr0")?,
                pcr1: row.id("pcr1")?,
                pcr2: row.id("pcr2")?,
            },
            enclaveos: row.text("enclaveos")?,
            manifest: row.text("manifest")?,
        },
        made_by: row.id("made_by")?,
        created_ms: row.number("created_ms")?,
    })
}
