//! Answers that are given again for the same `Idempotency-Key`.

use super::row::Columns;
use super::{AccountId, StoreError};
use crate::clock::now_ms;
use caution_measure::Sha256Digest;
use sqlx::AnyConnection;

/// What was asked under a key, and what was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Hash of the question.
    pub question: Sha256Digest,
    /// The answer's body.
    pub answer: String,
}

/// What was answered under this key within a day.
pub async fn find(db: &mut AnyConnection, account: AccountId, key: &str) -> Result<Option<Kept>, StoreError> {
    let since = now_ms() - KEPT_MS;
    sqlx::query("DELETE FROM idempotency WHERE created_ms < $1").bind(since).execute(&mut *db).await?;
    let row = sqlx::query("SELECT body_sha256, answer FROM idempotency WHERE account_id = $1 AND key = $2")
        .bind(account.to_string())
        .bind(key)
        .fetch_optional(db)
        .await?;
    row.map(|row| Ok(Kept { question: row.id("body_sha256")?, answer: row.text("answer")? })).transpose()
}

/// Keeps an answer, in the change that it speaks of.
///
/// # Errors
/// - [`StoreError::Taken`] when another request with this key was faster
pub async fn keep(
    db: &mut AnyConnection,
    account: AccountId,
    key: &str,
    kept: &Kept,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO idempotency (account_id, key, body_sha256, answer, created_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(account.to_string())
    .bind(key)
    .bind(kept.question.to_string())
    .bind(&kept.answer)
    .bind(now_ms())
    .execute(db)
    .await?;
    Ok(())
}

/// How long.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
