//! Every change, whoever made it. A line is written in the change that it speaks of.

use super::row::Columns;
use super::{AccountId, AuditId, OrganisationId, StoreError};
use crate::clock::now_ms;
use sqlx::AnyConnection;

/// A line to write.
#[derive(Debug, Clone, Copy)]
pub struct NewLine<'a> {
    /// Whose organisation it concerns.
    pub organisation: Option<OrganisationId>,
    /// Who made the change; nobody: the server itself.
    pub account: Option<AccountId>,
    /// How the account was known.
    pub by_means_of: &'a str,
    /// What was done.
    pub action: &'a str,
    /// The id of what it was done to.
    pub target: &'a str,
    /// In words.
    pub detail: &'a str,
}

/// A line that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its id; later ones are greater.
    pub id: AuditId,
    /// Who made the change.
    pub account: Option<AccountId>,
    /// How the account was known.
    pub by_means_of: String,
    /// What was done.
    pub action: String,
    /// The id of what it was done to.
    pub target: String,
    /// In words.
    pub detail: String,
    /// When.
    pub created_ms: i64,
}

/// Writes a line.
pub async fn add(db: &mut AnyConnection, line: &NewLine<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit (id, organisation_id, account_id, by_means_of, action, target, detail, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(AuditId::new()?.to_string())
    .bind(line.organisation.map(|id| id.to_string()))
    .bind(line.account.map(|id| id.to_string()))
    .bind(line.by_means_of)
    .bind(line.action)
    .bind(line.target)
    .bind(line.detail)
    .bind(now_ms())
    .execute(db)
    .await?;
    Ok(())
}

/// Lines of an organisation, newest first: up to `limit` before the line `before`.
pub async fn list(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    before: Option<AuditId>,
    limit: u32,
) -> Result<Vec<Line>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM audit WHERE organisation_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3")
            .bind(organisation.to_string())
            .bind(before.map_or_else(|| super::AFTER_ALL_IDS.to_owned(), |id| id.to_string()))
            .bind(i64::from(limit))
            .fetch_all(db)
            .await?;
    let line = |row: &sqlx::any::AnyRow| {
        Ok(Line {
            id: row.id("id")?,
            account: row.id_or_none("account_id")?,
            by_means_of: row.text("by_means_of")?,
            action: row.text("action")?,
            target: row.text("target")?,
            detail: row.text("detail")?,
            created_ms: row.number("created_ms")?,
        })
    };
    rows.iter().map(line).collect()
}
