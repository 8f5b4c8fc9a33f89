//! Keys that git is known by.

use super::row::Columns;
use super::{AccountId, StoreError};
use crate::clock::now_ms;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// `SHA256:…` as OpenSSH writes it.
    pub fingerprint: String,
    /// Whose it is.
    pub account: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// Algorithm and key, without a comment.
    pub public_key: String,
    /// When it was added.
    pub created_ms: i64,
    /// When it was used last.
    pub used_ms: Option<i64>,
}

/// Writes a key down.
///
/// # Errors
/// - [`StoreError::Taken`] when some account has it already
pub async fn add(
    db: &mut AnyConnection,
    account: AccountId,
    fingerprint: &str,
    name: &str,
    public_key: &str,
) -> Result<SshKey, StoreError> {
    let row = sqlx::query(
        "INSERT INTO ssh_key (fingerprint, account_id, name, public_key, created_ms)
         VALUES ($1, $2, $3, $4, $5) RETURNING *",
    )
    .bind(fingerprint)
    .bind(account.to_string())
    .bind(name)
    .bind(public_key)
    .bind(now_ms())
    .fetch_one(db)
    .await?;
    of(&row)
}

/// The key of this fingerprint, whoever has it.
pub async fn find(db: &mut AnyConnection, fingerprint: &str) -> Result<Option<SshKey>, StoreError> {
    let query = sqlx::query("SELECT * FROM ssh_key WHERE fingerprint = $1").bind(fingerprint);
    query.fetch_optional(db).await?.as_ref().map(of).transpose()
}

/// The account that has the key of this fingerprint; notes that it was used now.
pub async fn account(db: &mut AnyConnection, fingerprint: &str) -> Result<Option<AccountId>, StoreError> {
    let row = sqlx::query("UPDATE ssh_key SET used_ms = $2 WHERE fingerprint = $1 RETURNING account_id")
        .bind(fingerprint)
        .bind(now_ms())
        .fetch_optional(db)
        .await?;
    row.map(|row| row.id("account_id")).transpose()
}

/// Keys of an account by fingerprint: up to `limit` after the fingerprint `after`.
pub async fn list(
    db: &mut AnyConnection,
    account: AccountId,
    after: &str,
    limit: u32,
) -> Result<Vec<SshKey>, StoreError> {
    let rows = sqlx::query(
        "SELECT * FROM ssh_key WHERE account_id = $1 AND fingerprint > $2 ORDER BY fingerprint LIMIT $3",
    )
    .bind(account.to_string())
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(of).collect()
}

/// How many keys an account has.
pub async fn count(db: &mut AnyConnection, account: AccountId) -> Result<i64, StoreError> {
    let query =
        sqlx::query("SELECT COUNT(*) AS n FROM ssh_key WHERE account_id = $1").bind(account.to_string());
    query.fetch_one(db).await?.number("n")
}

/// Removes a key of an account; false where it has no such key.
pub async fn remove(
    db: &mut AnyConnection,
    account: AccountId,
    fingerprint: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM ssh_key WHERE fingerprint = $1 AND account_id = $2")
        .bind(fingerprint)
        .bind(account.to_string())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn of(row: &AnyRow) -> Result<SshKey, StoreError> {
    Ok(SshKey {
        fingerprint: row.text("fingerprint")?,
        account: row.id("account_id")?,
        name: row.text("name")?,
        public_key: row.text("public_key")?,
        created_ms: row.number("created_ms")?,
        used_ms: row.number_or_none("used_ms")?,
    })
}
