//! Members of organisations.

use super::row::Columns;
use super::{AccountId, OrganisationId, StoreError};
use crate::app::access::Role;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub account: AccountId,
    /// Their name.
    pub name: String,
    /// As what.
    pub role: Role,
    /// Since when.
    pub created_ms: i64,
}

/// Members of an organisation by account: up to `limit` after the account `after`.
pub async fn list(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    after: Option<AccountId>,
    limit: u32,
) -> Result<Vec<Member>, StoreError> {
    let rows = sqlx::query(
        "SELECT m.account_id, a.name, m.role, m.created_ms FROM member m JOIN account a ON a.id = m.account_id
         WHERE m.organisation_id = $1 AND m.account_id > $2 ORDER BY m.account_id LIMIT $3",
    )
    .bind(organisation.to_string())
    .bind(after.map_or_else(String::new, |id| id.to_string()))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(of).collect()
}

/// A member of an organisation.
pub async fn find(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    account: AccountId,
) -> Result<Option<Member>, StoreError> {
    let row = sqlx::query(
        "SELECT m.account_id, a.name, m.role, m.created_ms FROM member m JOIN account a ON a.id = m.account_id
         WHERE m.organisation_id = $1 AND m.account_id = $2",
    )
    .bind(organisation.to_string())
    .bind(account.to_string())
    .fetch_optional(db)
    .await?;
    row.as_ref().map(of).transpose()
}

/// How many owners an organisation has.
pub async fn owners(db: &mut AnyConnection, organisation: OrganisationId) -> Result<i64, StoreError> {
    let query = sqlx::query("SELECT COUNT(*) AS n FROM member WHERE organisation_id = $1 AND role = 'owner'");
    query.bind(organisation.to_string()).fetch_one(db).await?.number("n")
}

/// Gives a member another role.
pub async fn change(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    account: AccountId,
    role: Role,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE member SET role = $3 WHERE organisation_id = $1 AND account_id = $2")
        .bind(organisation.to_string())
        .bind(account.to_string())
        .bind(role.word())
        .execute(db)
        .await?;
    Ok(())
}

/// Ends a membership.
pub async fn remove(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    account: AccountId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM member WHERE organisation_id = $1 AND account_id = $2")
        .bind(organisation.to_string())
        .bind(account.to_string())
        .execute(db)
        .await?;
    Ok(())
}

fn of(row: &AnyRow) -> Result<Member, StoreError> {
    Ok(Member {
        account: row.id("account_id")?,
        name: row.text("name")?,
        role: Role::of(&row.text("role")?).ok_or(StoreError::Column("role"))?,
        created_ms: row.number("created_ms")?,
    })
}
