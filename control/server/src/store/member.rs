//! As what accounts belong to organisations, and the keys that they are known by.

use super::row::Columns;
use super::{AccountId, OrganisationId, StoreError};
use crate::clock::now_ms;
use sqlx::AnyConnection;

/// The account that has the key of this fingerprint, `SHA256:…`; notes that it was used.
pub async fn of_key(db: &mut AnyConnection, fingerprint: &str) -> Result<Option<AccountId>, StoreError> {
    let row = sqlx::query("UPDATE ssh_key SET used_ms = $2 WHERE fingerprint = $1 RETURNING account_id")
        .bind(fingerprint)
        .bind(now_ms())
        .fetch_optional(db)
        .await?;
    row.map(|row| row.id("account_id")).transpose()
}

/// The role of an account in an organisation.
pub async fn role(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    account: AccountId,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT role FROM member WHERE organisation_id = $1 AND account_id = $2")
        .bind(organisation.to_string())
        .bind(account.to_string())
        .fetch_optional(db)
        .await?;
    row.map(|row| row.text("role")).transpose()
}
