//! Programs that wait for somebody to let them in: only the hash of what they ask with is kept.

use super::row::Columns;
use super::{AccountId, StoreError};
use crate::clock::now_ms;
use caution_measure::Sha256Digest;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A program that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What it shows, and the page that lets it in.
    pub user_code: String,
    /// What it says it is.
    pub name: String,
    /// Whether it asks for reading alone.
    pub read_only: bool,
    /// Who let it in.
    pub account: Option<AccountId>,
    /// When it came.
    pub created_ms: i64,
    /// Until when it waits.
    pub expires_ms: i64,
}

/// Writes down that a program waits; false where too many do.
///
/// # Errors
/// - [`StoreError::Taken`] when another one shows the same code
pub async fn create(
    db: &mut AnyConnection,
    code: Sha256Digest,
    user_code: &str,
    name: &str,
    read_only: bool,
) -> Result<bool, StoreError> {
    let now = now_ms();
    sqlx::query("DELETE FROM device WHERE expires_ms <= $1").bind(now).execute(&mut *db).await?;
    let waiting = sqlx::query("SELECT COUNT(*) AS n FROM device").fetch_one(&mut *db).await?;
    if waiting.number("n")? >= MOST {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO device (code_sha256, user_code, name, read_only, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(code.to_string())
    .bind(user_code)
    .bind(name)
    .bind(i64::from(read_only))
    .bind(now)
    .bind(now + WAITS_MS)
    .execute(db)
    .await?;
    Ok(true)
}

/// The program that shows this code, while nobody let it in.
pub async fn waiting(db: &mut AnyConnection, user_code: &str) -> Result<Option<Device>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM device WHERE user_code = $1 AND expires_ms > $2 AND account_id IS NULL")
            .bind(user_code)
            .bind(now_ms())
            .fetch_optional(db)
            .await?;
    row.as_ref().map(of).transpose()
}

/// Lets a program in, once.
pub async fn approve(
    db: &mut AnyConnection,
    user_code: &str,
    account: AccountId,
) -> Result<Option<Device>, StoreError> {
    let row = sqlx::query(
        "UPDATE device SET account_id = $2
         WHERE user_code = $1 AND expires_ms > $3 AND account_id IS NULL RETURNING *",
    )
    .bind(user_code)
    .bind(account.to_string())
    .bind(now_ms())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(of).transpose()
}

/// Sends a program away; false where none shows this code and waits.
pub async fn refuse(db: &mut AnyConnection, user_code: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM device WHERE user_code = $1 AND account_id IS NULL")
        .bind(user_code)
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// How it stands with a program, by what it asks with.
pub async fn by_code(db: &mut AnyConnection, code: Sha256Digest) -> Result<Option<Device>, StoreError> {
    let row = sqlx::query("SELECT * FROM device WHERE code_sha256 = $1 AND expires_ms > $2")
        .bind(code.to_string())
        .bind(now_ms())
        .fetch_optional(db)
        .await?;
    row.as_ref().map(of).transpose()
}

/// Ends the waiting of a program that was let in: it gets its token once.
pub async fn take(db: &mut AnyConnection, code: Sha256Digest) -> Result<Option<Device>, StoreError> {
    let row = sqlx::query(
        "DELETE FROM device WHERE code_sha256 = $1 AND expires_ms > $2 AND account_id IS NOT NULL RETURNING *",
    )
    .bind(code.to_string())
    .bind(now_ms())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(of).transpose()
}

fn of(row: &AnyRow) -> Result<Device, StoreError> {
    Ok(Device {
        user_code: row.text("user_code")?,
        name: row.text("name")?,
        read_only: row.number("read_only")? != 0,
        account: row.id_or_none("account_id")?,
        created_ms: row.number("created_ms")?,
        expires_ms: row.number("expires_ms")?,
    })
}

/// How long a program waits.
pub const WAITS_MS: i64 = 10 * 60 * 1000;
/// Programs that wait.
const MOST: i64 = 1000;
