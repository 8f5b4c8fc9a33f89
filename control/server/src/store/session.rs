//! Sessions of browsers: only the hash of what the cookie holds is kept.

use super::row::Columns;
use super::{AccountId, SessionId, StoreError};
use crate::clock::now_ms;
use caution_measure::Sha256Digest;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A session, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// What the browser calls itself.
    pub browser: String,
    /// When somebody signed in.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// When it was used last, to a minute.
    pub used_ms: i64,
    /// When a passkey was shown last.
    pub proved_ms: i64,
}

/// Writes a session down that begins now.
pub async fn create(
    db: &mut AnyConnection,
    account: AccountId,
    secret: Sha256Digest,
    browser: &str,
) -> Result<Session, StoreError> {
    let now = now_ms();
    sqlx::query("DELETE FROM session WHERE expires_ms <= $1").bind(now).execute(&mut *db).await?;
    let row = sqlx::query(
        "INSERT INTO session
             (id, account_id, secret_sha256, browser, created_ms, expires_ms, used_ms, proved_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $5, $5) RETURNING *",
    )
    .bind(SessionId::new()?.to_string())
    .bind(account.to_string())
    .bind(secret.to_string())
    .bind(browser)
    .bind(now)
    .bind(now + LASTS_MS)
    .fetch_one(db)
    .await?;
    of(&row)
}

/// The session of this secret, unless it has ended; it counts as used now.
pub async fn by_secret(db: &mut AnyConnection, secret: Sha256Digest) -> Result<Option<Session>, StoreError> {
    let now = now_ms();
    let row = sqlx::query("SELECT * FROM session WHERE secret_sha256 = $1 AND expires_ms > $2")
        .bind(secret.to_string())
        .bind(now)
        .fetch_optional(&mut *db)
        .await?;
    let Some(session) = row.as_ref().map(of).transpose()? else { return Ok(None) };
    if session.used_ms + USED_MS < now {
        sqlx::query("UPDATE session SET used_ms = $2 WHERE id = $1")
            .bind(session.id.to_string())
            .bind(now)
            .execute(db)
            .await?;
    }
    Ok(Some(session))
}

/// A session of an account.
pub async fn find(
    db: &mut AnyConnection,
    account: AccountId,
    id: SessionId,
) -> Result<Option<Session>, StoreError> {
    let row = sqlx::query("SELECT * FROM session WHERE id = $1 AND account_id = $2")
        .bind(id.to_string())
        .bind(account.to_string())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(of).transpose()
}

/// Sessions of an account that have not ended, newest first: up to `limit` before the session `before`.
pub async fn list(
    db: &mut AnyConnection,
    account: AccountId,
    before: Option<SessionId>,
    limit: u32,
) -> Result<Vec<Session>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM session WHERE account_id = $1 AND expires_ms > $2 AND id < $3 ORDER BY id DESC LIMIT $4",
    )
    .bind(account.to_string())
    .bind(now_ms())
    .bind(before.map_or_else(|| super::AFTER_ALL_IDS.to_owned(), |id| id.to_string()))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(of).collect()
}

/// Notes that the session's owner showed a passkey now.
pub async fn proved(db: &mut AnyConnection, id: SessionId) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE session SET proved_ms = $2 WHERE id = $1");
    query.bind(id.to_string()).bind(now_ms()).execute(db).await?;
    Ok(())
}

/// Ends a session of an account; false where it has none of this id.
pub async fn revoke(db: &mut AnyConnection, account: AccountId, id: SessionId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM session WHERE id = $1 AND account_id = $2")
        .bind(id.to_string())
        .bind(account.to_string())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a session has not ended.
pub async fn lasts(db: &mut AnyConnection, id: SessionId) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT id FROM session WHERE id = $1 AND expires_ms > $2");
    Ok(query.bind(id.to_string()).bind(now_ms()).fetch_optional(db).await?.is_some())
}

fn of(row: &AnyRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.id("id")?,
        account: row.id("account_id")?,
        browser: row.text("browser")?,
        created_ms: row.number("created_ms")?,
        expires_ms: row.number("expires_ms")?,
        used_ms: row.number("used_ms")?,
        proved_ms: row.number("proved_ms")?,
    })
}

/// How long a session lasts.
pub const LASTS_MS: i64 = 24 * 60 * 60 * 1000;
/// How exactly the last use is known: not every request should write.
const USED_MS: i64 = 60_000;
