//! Apps.

use super::row::Columns;
use super::{AppId, OrganisationId, StoreError};
use crate::clock::now_ms;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// Apps with what serves of them: one question for a whole page.
macro_rules! with_standing {
    ($which:literal) => {
        concat!(
            "SELECT a.*, r.number AS live_release, CASE WHEN l.id IS NULL THEN 0 ELSE 1 END AS is_live,
                 CASE WHEN EXISTS (SELECT 1 FROM job s WHERE s.app_id = a.id AND s.phase IN ('live', 'stopped'))
                      THEN 1 ELSE 0 END AS has_served
             FROM app a LEFT JOIN job l ON l.app_id = a.id AND l.phase = 'live'
                        LEFT JOIN app_release r ON r.id = l.release_id ",
            $which
        )
    };
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Its id, by which everything of it is found.
    pub id: AppId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Its name, unique in its organisation.
    pub name: String,
    /// The first label of its host name, unique among all apps: the name it was made with, where that was free.
    pub label: String,
    /// The branch that is deployed when it is pushed.
    pub deploy_branch: String,
    /// When it was made.
    pub created_ms: i64,
    /// Since when everything of it is being removed.
    pub destroying_ms: Option<i64>,
}

/// What of an app serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Whether a deployment is live.
    pub live: bool,
    /// The number of the release that is.
    pub release: Option<i64>,
    /// Whether one is, or was when the app was stopped.
    pub served: bool,
}

/// Writes a new app down.
///
/// # Errors
/// - [`StoreError::Taken`] when the organisation has one of this name
pub async fn create(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    name: &str,
    deploy_branch: &str,
) -> Result<App, StoreError> {
    let id = AppId::new()?;
    // The last digits are the random ones.
    let digits = id.uuid().as_simple().to_string();
    let other = format!("{name}-{}", &digits[digits.len() - 8..]);
    let row = sqlx::query(
        "INSERT INTO app (id, organisation_id, name, label, deploy_branch, created_ms)
         VALUES ($1, $2, $3, CASE WHEN EXISTS (SELECT 1 FROM app WHERE label = $3) THEN $4 ELSE $3 END, $5, $6)
         RETURNING *",
    )
    .bind(id.to_string())
    .bind(organisation.to_string())
    .bind(name)
    .bind(other)
    .bind(deploy_branch)
    .bind(now_ms())
    .fetch_one(db)
    .await?;
    of(&row)
}

/// The app of this id, one that is being destroyed included.
pub async fn find(db: &mut AnyConnection, id: AppId) -> Result<Option<App>, StoreError> {
    let row = sqlx::query("SELECT * FROM app WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?;
    row.as_ref().map(of).transpose()
}

/// What of an app serves.
pub async fn standing(db: &mut AnyConnection, id: AppId) -> Result<Standing, StoreError> {
    let query = sqlx::query(with_standing!("WHERE a.id = $1")).bind(id.to_string());
    query.fetch_optional(db).await?.as_ref().map(standing_of).transpose().map(Option::unwrap_or_default)
}

/// Apps of an organisation by name, and what of them serves: up to `limit` after the name `after`, which begins a page. Only
/// the one app `only`, where that is said.
pub async fn list(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    only: Option<AppId>,
    after: &str,
    limit: u32,
) -> Result<Vec<(App, Standing)>, StoreError> {
    let rows = sqlx::query(with_standing!(
        "WHERE a.organisation_id = $1 AND a.name > $2 AND a.destroying_ms IS NULL AND ($4 = '' OR a.id = $4)
         ORDER BY a.name LIMIT $3"
    ))
    .bind(organisation.to_string())
    .bind(after)
    .bind(i64::from(limit))
    .bind(only.map(|only| only.to_string()).unwrap_or_default())
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| Ok((of(row)?, standing_of(row)?))).collect()
}

/// How many apps an organisation has.
pub async fn count(db: &mut AnyConnection, organisation: OrganisationId) -> Result<i64, StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM app WHERE organisation_id = $1")
        .bind(organisation.to_string())
        .fetch_one(db)
        .await?;
    row.number("n")
}

/// Gives an app another name; its label, and so its address, stays.
///
/// # Errors
/// - [`StoreError::Taken`] when the organisation has one of this name
pub async fn rename(db: &mut AnyConnection, id: AppId, name: &str) -> Result<Option<App>, StoreError> {
    let row = sqlx::query("UPDATE app SET name = $2 WHERE id = $1 AND destroying_ms IS NULL RETURNING *")
        .bind(id.to_string())
        .bind(name)
        .fetch_optional(db)
        .await?;
    row.as_ref().map(of).transpose()
}

/// Marks an app as being destroyed; false where it is already, or is not there.
pub async fn begin_destroying(db: &mut AnyConnection, id: AppId) -> Result<bool, StoreError> {
    let done = sqlx::query("UPDATE app SET destroying_ms = $2 WHERE id = $1 AND destroying_ms IS NULL")
        .bind(id.to_string())
        .bind(now_ms())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes what is written down about an app that is being destroyed.
pub async fn forget(db: &mut AnyConnection, id: AppId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM app WHERE id = $1 AND destroying_ms IS NOT NULL")
        .bind(id.to_string())
        .execute(db)
        .await?;
    Ok(())
}

fn standing_of(row: &AnyRow) -> Result<Standing, StoreError> {
    Ok(Standing {
        live: row.number("is_live")? != 0,
        release: row.number_or_none("live_release")?,
        served: row.number("has_served")? != 0,
    })
}

fn of(row: &AnyRow) -> Result<App, StoreError> {
    Ok(App {
        id: row.id("id")?,
        organisation: row.id("organisation_id")?,
        name: row.text("name")?,
        label: row.text("label")?,
        deploy_branch: row.text("deploy_branch")?,
        created_ms: row.number("created_ms")?,
        destroying_ms: row.number_or_none("destroying_ms")?,
    })
}
