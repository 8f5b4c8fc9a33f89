//! Accounts, their organisations, and as what they belong to them.

use super::row::Columns;
use super::{AccountId, OrganisationId, StoreError};
use crate::app::access::Role;
use crate::clock::now_ms;
use sqlx::AnyConnection;

/// An organisation that an account belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Which one.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
    /// As what.
    pub role: Role,
}

/// Writes a new account down.
///
/// # Errors
/// - [`StoreError::Taken`] when there is one of this name
pub async fn create(db: &mut AnyConnection, id: AccountId, name: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO account (id, name, created_ms) VALUES ($1, $2, $3)")
        .bind(id.to_string())
        .bind(name)
        .bind(now_ms())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes a new organisation down.
///
/// # Errors
/// - [`StoreError::Taken`] when there is one of this name
pub async fn create_organisation(db: &mut AnyConnection, name: &str) -> Result<OrganisationId, StoreError> {
    let id = OrganisationId::new()?;
    sqlx::query("INSERT INTO organisation (id, name, created_ms) VALUES ($1, $2, $3)")
        .bind(id.to_string())
        .bind(name)
        .bind(now_ms())
        .execute(db)
        .await?;
    Ok(id)
}

/// Makes an account a member of an organisation.
pub async fn join(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    account: AccountId,
    role: Role,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO member (organisation_id, account_id, role, created_ms) VALUES ($1, $2, $3, $4)")
        .bind(organisation.to_string())
        .bind(account.to_string())
        .bind(role.word())
        .bind(now_ms())
        .execute(db)
        .await?;
    Ok(())
}

/// The account of this name.
pub async fn named(db: &mut AnyConnection, name: &str) -> Result<Option<AccountId>, StoreError> {
    let row = sqlx::query("SELECT id FROM account WHERE name = $1").bind(name).fetch_optional(db).await?;
    row.map(|row| row.id("id")).transpose()
}

/// An account's name; that of one that is gone is its id.
pub async fn name(db: &mut AnyConnection, id: AccountId) -> Result<String, StoreError> {
    let row =
        sqlx::query("SELECT name FROM account WHERE id = $1").bind(id.to_string()).fetch_optional(db).await?;
    row.map_or_else(|| Ok(id.to_string()), |row| row.text("name"))
}

/// An organisation's name; that of one that is gone is its id.
pub async fn organisation_name(db: &mut AnyConnection, id: OrganisationId) -> Result<String, StoreError> {
    let query = sqlx::query("SELECT name FROM organisation WHERE id = $1").bind(id.to_string());
    query.fetch_optional(db).await?.map_or_else(|| Ok(id.to_string()), |row| row.text("name"))
}

/// The organisations of an account, by name.
pub async fn memberships(db: &mut AnyConnection, id: AccountId) -> Result<Vec<Membership>, StoreError> {
    let rows = sqlx::query(
        "SELECT m.organisation_id, o.name, m.role FROM member m JOIN organisation o ON o.id = m.organisation_id
         WHERE m.account_id = $1 ORDER BY o.name",
    )
    .bind(id.to_string())
    .fetch_all(db)
    .await?;
    let membership = |row: &sqlx::any::AnyRow| {
        Ok(Membership {
            organisation: row.id("organisation_id")?,
            name: row.text("name")?,
            role: Role::of(&row.text("role")?).ok_or(StoreError::Column("role"))?,
        })
    };
    rows.iter().map(membership).collect()
}

/// As what an account belongs to an organisation.
pub async fn role(
    db: &mut AnyConnection,
    organisation: OrganisationId,
    account: AccountId,
) -> Result<Option<Role>, StoreError> {
    let row = sqlx::query("SELECT role FROM member WHERE organisation_id = $1 AND account_id = $2")
        .bind(organisation.to_string())
        .bind(account.to_string())
        .fetch_optional(db)
        .await?;
    row.map(|row| Role::of(&row.text("role")?).ok_or(StoreError::Column("role"))).transpose()
}
