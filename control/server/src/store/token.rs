//! Tokens: only the hash of what they are is kept.

use super::row::Columns;
use super::{AccountId, AppId, StoreError, TokenId};
use crate::clock::now_ms;
use caution_measure::Sha256Digest;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Whose it is.
    pub account: AccountId,
    /// What it is for.
    pub name: String,
    /// What it is held to.
    pub scope: Scope,
    /// When it was made.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: i64,
    /// When it was used last, to a minute.
    pub used_ms: Option<i64>,
}

/// What a token is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope {
    /// It changes nothing.
    pub read_only: bool,
    /// It touches this app alone.
    pub app: Option<AppId>,
}

/// A token that somebody asks for.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    /// Whose it is to be.
    pub account: AccountId,
    /// What it is for.
    pub name: &'a str,
    /// What it is held to.
    pub scope: Scope,
    /// Hash of its secret.
    pub secret: Sha256Digest,
    /// When it ends.
    pub expires_ms: i64,
}

/// Writes a token down.
pub async fn create(db: &mut AnyConnection, new: &NewToken<'_>) -> Result<Token, StoreError> {
    let row = sqlx::query(
        "INSERT INTO token (id, account_id, name, secret_sha256, read_only, app_id, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *",
    )
    .bind(TokenId::new()?.to_string())
    .bind(new.account.to_string())
    .bind(new.name)
    .bind(new.secret.to_string())
    .bind(i64::from(new.scope.read_only))
    .bind(new.scope.app.map(|app| app.to_string()))
    .bind(now_ms())
    .bind(new.expires_ms)
    .fetch_one(db)
    .await?;
    of(&row)
}

/// The token of this secret, unless it has ended; it counts as used now.
pub async fn by_secret(db: &mut AnyConnection, secret: Sha256Digest) -> Result<Option<Token>, StoreError> {
    let now = now_ms();
    let row = sqlx::query("SELECT * FROM token WHERE secret_sha256 = $1 AND expires_ms > $2")
        .bind(secret.to_string())
        .bind(now)
        .fetch_optional(&mut *db)
        .await?;
    let Some(token) = row.as_ref().map(of).transpose()? else { return Ok(None) };
    if token.used_ms.is_none_or(|used| used + USED_MS < now) {
        sqlx::query("UPDATE token SET used_ms = $2 WHERE id = $1")
            .bind(token.id.to_string())
            .bind(now)
            .execute(db)
            .await?;
    }
    Ok(Some(token))
}

/// Tokens of an account, newest first: up to `limit` before the token `before`.
pub async fn list(
    db: &mut AnyConnection,
    account: AccountId,
    before: Option<TokenId>,
    limit: u32,
) -> Result<Vec<Token>, StoreError> {
    let rows = sqlx::query("SELECT * FROM token WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3")
        .bind(account.to_string())
        .bind(before.map_or_else(|| super::AFTER_ALL_IDS.to_owned(), |id| id.to_string()))
        .bind(i64::from(limit))
        .fetch_all(db)
        .await?;
    rows.iter().map(of).collect()
}

/// How many tokens an account has.
pub async fn count(db: &mut AnyConnection, account: AccountId) -> Result<i64, StoreError> {
    let query =
        sqlx::query("SELECT COUNT(*) AS n FROM token WHERE account_id = $1").bind(account.to_string());
    query.fetch_one(db).await?.number("n")
}

/// Removes a token of an account; false where it has none of this id.
pub async fn revoke(db: &mut AnyConnection, account: AccountId, id: TokenId) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM token WHERE id = $1 AND account_id = $2")
        .bind(id.to_string())
        .bind(account.to_string())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes the tokens of an account that have this name.
pub async fn revoke_named(db: &mut AnyConnection, account: AccountId, name: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM token WHERE account_id = $1 AND name = $2")
        .bind(account.to_string())
        .bind(name)
        .execute(db)
        .await?;
    Ok(())
}

/// Whether a token has not ended.
pub async fn lasts(db: &mut AnyConnection, id: TokenId) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT id FROM token WHERE id = $1 AND expires_ms > $2");
    Ok(query.bind(id.to_string()).bind(now_ms()).fetch_optional(db).await?.is_some())
}

fn of(row: &AnyRow) -> Result<Token, StoreError> {
    Ok(Token {
        id: row.id("id")?,
        account: row.id("account_id")?,
        name: row.text("name")?,
        scope: Scope { read_only: row.number("read_only")? != 0, app: row.id_or_none("app_id")? },
        created_ms: row.number("created_ms")?,
        expires_ms: row.number("expires_ms")?,
        used_ms: row.number_or_none("used_ms")?,
    })
}

/// How exactly the last use is known: not every request should write.
const USED_MS: i64 = 60_000;
